"""What extraArgs and env say, by the names of vLLM's flags and variables. What that means for memory is not said."""

from ..api import InferenceServiceSpec

UNREAD = ""
"""The value of a variable that only the pod gets, from a ConfigMap or a field of its own."""


def value_of(spec: InferenceServiceSpec, flag: str) -> str | None:
    """The value that extraArgs gives a flag (performance-mode); None: it is not there."""
    start = f"--{flag}="
    return next((one.removeprefix(start) for one in reversed(spec.extra_args or []) if one.startswith(start)), None)


def switch_of(spec: InferenceServiceSpec, flag: str) -> bool | None:
    """Whether extraArgs turns a switch on or off; None: neither."""
    forms = {f"--{flag}": True, f"--no-{flag}": False}
    return next((forms[one] for one in reversed(spec.extra_args or []) if one in forms), None)


def variable_of(spec: InferenceServiceSpec, name: str) -> str | None:
    """The value that env gives a variable; UNREAD where the spec does not say it; None: it is not set."""
    found = next((one for one in reversed(spec.env or []) if one.name == name), None)
    return None if found is None else UNREAD if found.value is None else found.value

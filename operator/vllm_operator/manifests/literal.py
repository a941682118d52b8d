"""Keeps Kubernetes from reading a reference in what a container is given: `$(NAME)` would become that variable's value.

What users write could else put a Secret of the environment into an argument, which vLLM shows when it cannot read it.
Used on whole lists of `args` and `env`, whoever wrote an item; decides nothing else.
"""

from typing import Any


def literal(text: str) -> str:
    """The text as it must stand in `args`, `command` or an `env` value to arrive as it is.

    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """
    return text.replace("$", "$$")


def plain(text: str) -> str:
    """The text that arrives where `literal` text stands in `args`."""
    return text.replace("$$", "$")


def literal_values(env: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Variables of a container; each `value` arrives as it is, and references to other objects need nothing."""
    return [{**variable, "value": literal(variable["value"])} if "value" in variable else variable for variable in env]

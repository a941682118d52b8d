"""What a pod template asks for that the platform team decides on: of two templates, whether they ask for the same.

Pure. Whether it is allowed is decided in assess/kept.py. Nothing that the API server fills in by itself is looked at.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..api import GROUP
from ..api.flags.allowed import REQUEST_LOGS
from .names import OF_QUEUED_SET, TOPOLOGY_ANNOTATION, is_gpu

_OURS = ("app.kubernetes.io/", f"{GROUP}/")
# The one is looked at by its value; the others bring nothing in, and the deployed template has them where Kueue is.
_NO_MERE_KEYS = (TOPOLOGY_ANNOTATION, *OF_QUEUED_SET)
_REMOTE_CODE = "--trust-remote-code"
_PLUGINS = ("--reasoning-parser-plugin", "--tool-parser-plugin")


class Privileges(NamedTuple):
    """What may be allowed or not."""

    image: str
    remote_code: bool
    """Whether vLLM runs code from the model's repository."""
    parser_plugins: bool
    """Whether vLLM runs code of the team's own."""
    request_logs: tuple[str, ...]
    """Flags that write what clients send into the log."""
    environment: tuple[str, ...]
    """Names of variables."""
    labels: tuple[str, ...]
    annotations: tuple[str, ...]
    """Keys of labels and annotations that are not the operator's own."""
    priority_class: str | None
    runtime_class: str | None
    service_account: str | None
    groups: tuple[int, ...]
    """Groups beside the pod's own."""
    capabilities: tuple[str, ...]
    devices: tuple[str, ...]
    """Extended resources beside GPUs."""
    model_images: tuple[str, ...] = ()
    """Images that are mounted as volumes."""
    topology: str | None = None
    """The label of nodes whose domains groups have to themselves."""

    def digest(self) -> str:
        """Short hash: what asks for the same has the same."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:16]


def privileges(template: Mapping[str, Any]) -> Privileges:
    """What a pod template asks for. Raises KeyError, IndexError, TypeError or AttributeError for what is none."""
    meta, spec = template["metadata"], template["spec"]
    container = spec["containers"][0]
    flags = [str(argument).partition("=")[0] for argument in container.get("args") or ()]
    limits = (container.get("resources") or {}).get("limits") or {}
    return Privileges(
        image=container["image"],
        remote_code=any(flag.startswith(_REMOTE_CODE) for flag in flags),
        parser_plugins=any(flag in _PLUGINS for flag in flags),
        request_logs=tuple(sorted({flag for flag in flags if flag in REQUEST_LOGS})),
        environment=tuple(sorted({str(one["name"]) for one in container.get("env") or ()})),
        labels=_keys(meta.get("labels")),
        annotations=tuple(key for key in _keys(meta.get("annotations")) if key not in _NO_MERE_KEYS),
        priority_class=spec.get("priorityClassName"),
        runtime_class=spec.get("runtimeClassName"),
        service_account=spec.get("serviceAccountName"),
        model_images=tuple(str(one["image"]["reference"]) for one in spec.get("volumes") or () if "image" in one),
        topology=(meta.get("annotations") or {}).get(TOPOLOGY_ANNOTATION),
        groups=tuple(sorted((spec.get("securityContext") or {}).get("supplementalGroups") or ())),
        capabilities=tuple((container.get("securityContext") or {}).get("capabilities", {}).get("add") or ()),
        devices=tuple(sorted(name for name in limits if "/" in name and not is_gpu(name))),
    )


def _keys(keys: Mapping[str, str] | None) -> tuple[str, ...]:
    return tuple(sorted(key for key in keys or () if not key.startswith(_OURS)))

"""What a pod template asks for that the platform team decides on: of two templates, whether they ask for the same.

Pure. Whether it is allowed is decided in assess/kept.py. Nothing that the API server fills in by itself is looked at.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..api import GROUP
from .names import is_gpu

_OURS = ("app.kubernetes.io/", f"{GROUP}/")
_REMOTE_CODE = "--trust-remote-code"


class Privileges(NamedTuple):
    """What may be allowed or not."""

    image: str
    remote_code: bool
    """Whether vLLM runs code from the model's repository."""
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

    def digest(self) -> str:
        """Short hash: what asks for the same has the same."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:16]


def privileges(template: Mapping[str, Any]) -> Privileges:
    """What a pod template asks for. Raises KeyError, IndexError, TypeError or AttributeError for what is none."""
    meta, spec = template["metadata"], template["spec"]
    container = spec["containers"][0]
    limits = (container.get("resources") or {}).get("limits") or {}
    return Privileges(
        image=container["image"],
        remote_code=any(str(argument).startswith(_REMOTE_CODE) for argument in container.get("args") or ()),
        environment=tuple(sorted({str(one["name"]) for one in container.get("env") or ()})),
        labels=_keys(meta.get("labels")),
        annotations=_keys(meta.get("annotations")),
        priority_class=spec.get("priorityClassName"),
        runtime_class=spec.get("runtimeClassName"),
        service_account=spec.get("serviceAccountName"),
        model_images=tuple(str(one["image"]["reference"]) for one in spec.get("volumes") or () if "image" in one),
        groups=tuple(sorted((spec.get("securityContext") or {}).get("supplementalGroups") or ())),
        capabilities=tuple((container.get("securityContext") or {}).get("capabilities", {}).get("add") or ()),
        devices=tuple(sorted(name for name in limits if "/" in name and not is_gpu(name))),
    )


def _keys(keys: Mapping[str, str] | None) -> tuple[str, ...]:
    return tuple(sorted(key for key in keys or () if not key.startswith(_OURS)))

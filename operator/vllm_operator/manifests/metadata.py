"""Metadata of a child: labels and owner reference, which all children share."""

from typing import Any

from ..api import API_VERSION, KIND
from ..api.resource import InferenceService
from .names import INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL

Manifest = dict[str, Any]


def identity(service: InferenceService) -> dict[str, str]:
    """Labels that select the service's pods. A Deployment's selector is immutable: nothing else may ever go in here."""
    return {"app.kubernetes.io/name": "vllm", INSTANCE_LABEL: service.name}


def labels(service: InferenceService) -> dict[str, str]:
    """Labels of every child."""
    return {**identity(service), MANAGED_BY_LABEL: MANAGED_BY}


def metadata(service: InferenceService, name: str | None = None, *, owned: bool = True) -> Manifest:
    """Metadata of a child: in the service's namespace, deleted with the service when `owned`."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": service.name,
        "uid": service.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return compact(
        {
            "name": name or service.name,
            "namespace": service.namespace,
            "labels": labels(service),
            "ownerReferences": [owner] if owned and service.uid else None,
        }
    )


def compact(manifest: Manifest) -> Manifest:
    """The manifest without its None values, at any depth. Empty strings, 0, False and {} stay."""
    return {key: _compact(value) for key, value in manifest.items() if value is not None}


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        return compact(value)
    return [_compact(item) for item in value] if isinstance(value, list) else value

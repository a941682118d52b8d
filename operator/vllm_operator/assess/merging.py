"""How the value of a ServingClass joins a spec: added to it, left out, or contradicting it. Pure, on plain manifests.

A service's own value wins. What says where pods may run holds together: labels of nodes, tolerations, affinity and pull
secrets of the class are added to the service's own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..manifests.metadata import Manifest

# Of two ways to say one thing, the class's yields to the service's; and a claim of the user's own needs none of ours.
_YIELDS = {
    "kvCache.memoryPerGPU": "kvCache.gpuMemoryUtilizationPercent",
    "kvCache.gpuMemoryUtilizationPercent": "kvCache.memoryPerGPU",
    "apiKeySecretRef": "apiKeySecretRefs",
    "apiKeySecretRefs": "apiKeySecretRef",
    "accelerator.memory": "accelerator.product",
    "cache.claim.storage": "cache.existingClaim",
    "cache.claim.storageClassName": "cache.existingClaim",
    "cache.claim.accessMode": "cache.existingClaim",
}
# What pins the pods to nodes cannot have two values.
_PINNED = ("accelerator.resource", "accelerator.product")
# A claim is made where its size is known.
_NEEDS = {"cache.claim.storageClassName": "cache.claim.storage", "cache.claim.accessMode": "cache.claim.storage"}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class ContradictionError(Exception):
    """The spec says one thing and the class another, and both cannot hold. The text is about the field."""


def at(manifest: Mapping[str, Any], path: str) -> Any:
    """The value of a field by its path, like kvCache.dtype; None where it is left out."""
    node: Any = manifest
    for step in path.split("."):
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def join(manifest: Manifest, given: Mapping[str, Any], path: str, value: Any) -> bool:
    """Adds the class's value of a field to `manifest`; returns whether anything of it came in.

    `given` is what the user wrote. Raises ContradictionError.
    """
    own = at(given, path)
    if own is None:
        if at(given, _YIELDS.get(path, "-")) is not None or (path in _NEEDS and at(manifest, _NEEDS[path]) is None):
            return False
        _put(manifest, path, value)
        return True
    if path in _PINNED and own != value:
        raise ContradictionError(f"{path} is {value}, and this service's is {own}")
    combined = _COMBINED[path](own, value) if path in _COMBINED else own
    _put(manifest, path, combined)
    return bool(combined != own)


def _put(manifest: Manifest, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        manifest = manifest.setdefault(step, {})
    manifest[last] = value


def _labels(own: Manifest, added: Manifest) -> Manifest:
    for key in sorted(own.keys() & added.keys()):
        if own[key] != added[key]:
            raise ContradictionError(f"pod.nodeSelector has {key}: {added[key]}, and this service's has {own[key]}")
    return {**added, **own}


def _unequal(own: Sequence[Any], added: Sequence[Any]) -> list[Any]:
    return [*own, *(one for one in added if one not in own)]


def _by_name(own: Sequence[Manifest], added: Sequence[Manifest]) -> list[Manifest]:
    names = {one["name"] for one in own}
    return [*own, *(one for one in added if one["name"] not in names)]


def _terms(own: Sequence[Manifest], added: Sequence[Manifest]) -> list[Manifest]:
    """Terms for nodes are alternatives: for both to hold, each is joined with each."""
    keys = ("matchExpressions", "matchFields")
    pairs = [{key: _unequal(one.get(key, ()), other.get(key, ())) for key in keys} for one in own for other in added]
    return [{key: value for key, value in pair.items() if value} for pair in pairs]


_COMBINED: dict[str, Callable[[Any, Any], Any]] = {
    "pod.nodeSelector": _labels,
    "pod.tolerations": _unequal,
    "pod.imagePullSecrets": _by_name,
    "env": _by_name,
    f"pod.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms": _terms,
    **{
        f"pod.affinity.{part}.{strength}": _unequal
        for part in ("nodeAffinity", "podAffinity", "podAntiAffinity")
        for strength in (_REQUIRED, _PREFERRED)
    },
}

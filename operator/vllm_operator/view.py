"""What the watches have shown, by service. kopf's indices hold it; this gives them names and types."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .observed import Child, PodSnapshot

# (namespace, name) of an InferenceService.
Key = tuple[str, str]
# Children by kind and name.
ChildKey = tuple[str, str]
Live = Mapping[ChildKey, Child]


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """An InferenceService as it was last seen."""

    uid: str
    generation: int
    resource_version: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """Read-only, and always the newest that the watches have shown."""

    by_key: Mapping[Key, Iterable[ServiceSnapshot]]
    children_by_key: Mapping[Key, Iterable[Child]]
    pods_by_key: Mapping[Key, Iterable[PodSnapshot]]

    def service(self, key: Key) -> ServiceSnapshot | None:
        """The service, or None after it was deleted."""
        return next(iter(self.by_key.get(key, ())), None)

    def children(self, key: Key) -> Live:
        """The service's children."""
        found = self.children_by_key.get(key, ())
        return {(child.kind, child.name): child for child in found}

    def pods(self, key: Key) -> list[PodSnapshot]:
        """The service's pods that are not being deleted, by name."""
        found = self.pods_by_key.get(key, ())
        return sorted((pod for pod in found if not pod.terminating), key=lambda pod: pod.name)

    def known(self) -> list[Key]:
        """All services."""
        return list(self.by_key)

"""What the watches have shown, by service. kopf's indices hold it; this gives them names and types."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..snapshots.child import Child, Live
from ..snapshots.inspection_pod import InspectionPod
from ..snapshots.node import Node
from ..snapshots.pod import PodSnapshot

# (namespace, name) of an InferenceService.
Key = tuple[str, str]


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
    inspections_by_key: Mapping[Key, Iterable[InspectionPod]]
    # By name; empty where the operator may not see nodes.
    nodes_by_name: Mapping[str, Iterable[Node]]

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

    def all_pods(self) -> Iterator[tuple[Key, PodSnapshot]]:
        """The pods of all services, those that are being deleted too: they hold their GPUs until they have ended."""
        for key, found in self.pods_by_key.items():
            for pod in found:
                yield key, pod

    def inspection(self, key: Key, inspected: str) -> InspectionPod | None:
        """The pod of an inspect Job that is about `inspected`; None before it exists."""
        found = [pod for pod in self.inspections_by_key.get(key, ()) if pod.key == inspected]
        return max(found, key=lambda pod: pod.ended, default=None)

    def nodes(self) -> list[Node]:
        """All nodes with GPUs."""
        return [node for found in self.nodes_by_name.values() for node in found]

    def known(self) -> list[Key]:
        """All services."""
        return list(self.by_key)

"""What a plan needs to know of a node. Pure: a node's body in, a snapshot out."""

from dataclasses import dataclass

from ..api.limits import count_of
from ..api.resource import Body
from ..manifests.names import is_gpu

# A node that is made ready, or drained, for a while: its GPUs are still there to plan for.
_PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")


@dataclass(frozen=True, slots=True)
class Taint:
    """Keeps pods away that do not tolerate it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """key=value:effect, as kubectl writes a taint."""
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Node:
    """What a plan needs to know of a node. Equal snapshots mean that no plan changes."""

    name: str
    labels: tuple[tuple[str, str], ...]
    devices: tuple[tuple[str, int], ...]
    taints: tuple[Taint, ...]

    def count(self, resource: str) -> int:
        """Devices of a resource (nvidia.com/gpu, amd.com/gpu, a MIG slice) that the node has for pods, used or not."""
        return dict(self.devices).get(resource, 0)


def snapshot(body: Body) -> Node:
    """Snapshot of a node."""
    metadata = body["metadata"]
    allocatable = (body.get("status") or {}).get("allocatable") or {}
    return Node(
        name=metadata["name"],
        labels=tuple(sorted((metadata.get("labels") or {}).items())),
        devices=tuple(
            (resource, count)
            for resource, quantity in sorted(allocatable.items())
            if is_gpu(resource) and (count := count_of(quantity))
        ),
        taints=tuple(
            Taint(taint["key"], taint.get("value", ""), taint["effect"])
            for taint in (body.get("spec") or {}).get("taints") or ()
            if taint["effect"] != "PreferNoSchedule" and not taint["key"].startswith(_PASSING)
        ),
    )

"""Replicas that are groups of pods: which of them serve, and what ended one. Pure: snapshots in, snapshots out.

A group serves through its leader, rank 0. The leader's server says that all is well until the next request after a
rank was lost: a group is as ready as the least ready of its pods. LeaderWorkerSet replaces a group at the first
container that ends, and with it what tells why: so the last one that ended is remembered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .pod import PodSnapshot

# Of a pod that is being deleted: asked to end, and then killed.
_ASKED_TO_END = (0, 137, 143)


def leaders(pods: Iterable[PodSnapshot]) -> list[PodSnapshot]:
    """One pod for each replica: those with a server."""
    return [pod for pod in pods if pod.rank == 0]


def judged(pods: Sequence[PodSnapshot], nodes: int) -> list[PodSnapshot]:
    """The pods of groups of so many, each leader as ready as all of its group.

    Of a group of another rendering, whose size is not told, as all of its pods that are there.
    """
    groups: dict[str, list[PodSnapshot]] = {}
    for pod in pods:
        if pod.group:
            groups.setdefault(pod.group, []).append(pod)

    def whole(group: list[PodSnapshot]) -> bool:
        size = max(nodes, 1 + max(pod.rank for pod in group))
        return sum(pod.ready for pod in group) >= size

    return [
        replace(pod, ready=pod.ready and whole(groups[pod.group])) if pod.group and pod.rank == 0 else pod
        for pod in pods
    ]


def place(pod: PodSnapshot) -> str:
    """Which rank a pod of a group is, and where, for people."""
    return f"rank {pod.rank} of group {pod.group}{f' on node {pod.node}' if pod.node else ''}"


def ended_at(pod: PodSnapshot) -> datetime | None:
    """When its container ended last; None where it has not, or nobody knows when."""
    ending = pod.ending
    if ending is None or not ending.started:
        return None
    start = datetime.fromisoformat(ending.started).replace(tzinfo=None)
    return start + timedelta(seconds=ending.seconds)


@dataclass(slots=True)
class Fallen:
    """The pod that brought a group of a service down last. Losing it costs an explanation."""

    pod: PodSnapshot | None = None

    def note(self, pods: Iterable[PodSnapshot], revision: str) -> PodSnapshot | None:
        """Takes in all pods, those that are being deleted too; None once all groups serve, and of another rendering.

        As long as there is one that is being deleted on a lost node, that one: its group is not made anew before.
        """
        own = [pod for pod in pods if pod.group and pod.revision == revision]
        if self.pod and (self.pod.revision != revision or (own and all(pod.ready for pod in own))):
            self.pod = None
        first = min((pod for pod in own if _ended_by_itself(pod)), key=_end, default=None)
        if first and (self.pod is None or _end(first) > _end(self.pod) or first.uid == self.pod.uid):
            self.pod = first
        return next((pod for pod in own if pod.terminating and pod.lost), self.pod)


def _end(pod: PodSnapshot) -> datetime:
    return ended_at(pod) or datetime.min


def _ended_by_itself(pod: PodSnapshot) -> bool:
    ending = pod.ending
    if ending is None:
        return False
    # Of a pod that is being deleted no container is started anew: that was before, and is why it is deleted.
    before = not pod.terminating or ending.replaced
    return before or ending.reason == "OOMKilled" or ending.exit_code not in _ASKED_TO_END

"""Reads the Events of a pod in trouble, where its status does not tell the cause. They are never watched.

A pod that waits on its node is looked at again and again: its status does not change while the kubelet tries.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..again import Again
from ..api.limits import OverLimitError
from ..diagnosis import is_held, unstarted, waits, wants_events
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod_event import PodEvent
from ..status.evidence import Evidence
from .queued import about_named, about_workload
from .reader import Clock

# Most pods are started by then.
FIRST_LOOK_SECONDS = 3.0
NEXT_LOOK_SECONDS = 5.0
# Once a cause is known, as another may take its place; and while an image is pulled, which may take long.
LATER_LOOK_SECONDS = 30.0
# Pods of one service fail alike.
MOST_PODS = 3

ReadEvents = Callable[[str], Awaitable[tuple[PodEvent, ...]]]


@dataclass(slots=True)
class _Look:
    """What was read of one pod in one state, and when to read it again; None: never, while the state lasts."""

    pod: str
    state: str
    due: float | None
    looks: int = 0
    events: tuple[PodEvent, ...] = ()
    odd: str = ""
    """Why they cannot be looked at."""


class EventReader:
    """The Events of one service's pods. `read(about)` gets those that a field selector names."""

    def __init__(self, read: ReadEvents, clock: Clock) -> None:
        self._read, self._clock = read, clock
        self._looks: dict[str, _Look] = {}

    async def read(self, evidence: Evidence) -> Evidence:
        """The pods, with the Events of those that are in trouble."""
        evidence = evidence.with_ranks(await self.fill(evidence.ranks))
        odd = sorted(f"the Events of pod {look.pod}: {look.odd}" for look in self._looks.values() if look.odd)
        return evidence.without(*odd)

    def waits(self) -> Iterator[Again]:
        """A pod that waits on its node is due again."""
        for look in self._looks.values():
            if look.due is not None:
                yield Again(max(look.due - self._clock(), 0.1), "the Events of a pod in trouble are due")

    async def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """As `read`, for the pods alone."""
        troubled = [pod for pod in pods if wants_events(pod)][:MOST_PODS]
        self._looks = {pod.uid: await self._look(pod) for pod in troubled}
        return [replace(pod, events=self._looks[pod.uid].events) if pod.uid in self._looks else pod for pod in pods]

    async def _look(self, pod: PodSnapshot) -> _Look:
        # Which container ended; none has, where the pod still waits to be started.
        state = f"{pod.ending.started if pod.ending else ''} {pod.sandboxed} {pod.silent} {is_held(pod)}"
        now = self._clock()
        look = self._looks.get(pod.uid)
        if look is None or look.state != state:
            look = _Look(pod.name, state, now + FIRST_LOOK_SECONDS if _stays(pod) else now)
        if look.due is not None and look.due <= now:
            look.looks += 1
            try:
                # What a queue said an hour ago is gone, and still holds.
                look.events, look.odd = await self._read(_about(pod)) or look.events, ""
            except OverLimitError as error:
                look.odd = str(error)
            look.due = now + _pause(replace(pod, events=look.events), look.looks) if _stays(pod) else None
        return look


def _stays(pod: PodSnapshot) -> bool:
    """Whether more may be said of the pod while its status stays as it is."""
    return waits(pod) or is_held(pod)


def _about(pod: PodSnapshot) -> str:
    """Whose Events tell of the pod. A queue says why it holds a pod back of an object of its own."""
    if is_held(pod):
        if pod.asked.queued_as:
            return about_named(pod.asked.queued_as)
        return about_workload("Pod", pod.name, pod.uid)
    return f"involvedObject.uid={pod.uid}"


def _pause(pod: PodSnapshot, looks: int) -> float:
    """Seconds until the Events of a pod that waits are worth another look."""
    if unstarted(pod) or (is_held(pod) and pod.events):
        return LATER_LOOK_SECONDS
    return min(NEXT_LOOK_SECONDS * looks, LATER_LOOK_SECONDS) if pod.sandboxed else NEXT_LOOK_SECONDS

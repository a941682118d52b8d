"""Reads the Events of a pod in trouble, where its status does not tell the cause. They are never watched.

A pod that waits on its node is looked at again and again: its status does not change while the kubelet tries. The API
server goes through all Events of the namespace for each read. So they are read in the background, a few at a time for
all services, and none that has become needless while it waited for its turn.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..again import Again
from ..api.limits import OverLimitError
from ..diagnosis import is_held, unstarted, waits, wants_events
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod_event import PodEvent
from ..status.evidence import Evidence
from .queued import about_named, about_workload
from .reader import Clock, Turn

# Most pods are started by then.
FIRST_LOOK_SECONDS = 3.0
NEXT_LOOK_SECONDS = 5.0
# Once a cause is known, as another may take its place; and while an image is pulled, which may take long.
LATER_LOOK_SECONDS = 30.0
# At a time, for all objects.
MOST_READS_OF_EVENTS = 2
# Pods of one service fail alike.
MOST_PODS = 3

# What they say of a container that was killed is worth waiting for; an API server that is busy is not.
PATIENCE_SECONDS = 3.0

ReadEvents = Callable[[str], Awaitable[tuple[PodEvent, ...]]]
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Look:
    """What was read of one pod in one state, and when to read it again; None: never, while the state lasts."""

    pod: str
    state: str
    due: float | None
    stays: bool
    """Whether more may be said while the state lasts."""
    looks: int = 0
    events: tuple[PodEvent, ...] = ()
    odd: str = ""
    """Why they cannot be looked at."""
    asked_at: float | None = None
    """Since when they are being read; None while they are not."""


class EventReader:
    """The Events of one service's pods. `read(about)` gets those that a field selector names.

    `turn(work)` does it when it is this service's turn; `done()` is called when they were read.
    """

    def __init__(self, read: ReadEvents, clock: Clock, turn: Turn, done: Callable[[], None]) -> None:
        self._read, self._clock, self._turn, self._done = read, clock, turn, done
        self._looks: dict[str, _Look] = {}
        # Most services never have one, and there may be ten thousand.
        self._tasks: set[asyncio.Task[None]] | None = None

    async def read(self, evidence: Evidence) -> Evidence:
        """The pods, with the Events of those that are in trouble."""
        evidence = evidence.with_ranks(self.fill(evidence.ranks))
        odd = sorted(f"the Events of pod {look.pod}: {look.odd}" for look in self._looks.values() if look.odd)
        return evidence.without(*odd)

    def waits(self) -> Iterator[Again]:
        """What is being read says why a container ended; or a pod that waits on its node is due again."""
        for look in self._looks.values():
            if look.asked_at is not None:
                left = look.asked_at + PATIENCE_SECONDS - self._clock()
                if not look.stays and left > 0:
                    yield Again(left, "the Events of a pod whose container ended are being read", holds_status=True)
            elif look.due is not None:
                yield Again(max(look.due - self._clock(), 0.1), "the Events of a pod in trouble are due")

    def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """As `read`, for the pods alone."""
        troubled = [pod for pod in pods if wants_events(pod)][:MOST_PODS]
        self._looks = {pod.uid: self._look(pod) for pod in troubled}
        return [replace(pod, events=self._looks[pod.uid].events) if pod.uid in self._looks else pod for pod in pods]

    def _look(self, pod: PodSnapshot) -> _Look:
        # Which container ended; none has, where the pod still waits to be started.
        ended = pod.ending.started if pod.ending else ""
        state = f"{ended} {pod.sandboxed} {pod.silent} {is_held(pod)} {waits(pod)}"
        now = self._clock()
        look = self._looks.get(pod.uid)
        if look is None or look.state != state:
            stays = _stays(pod)
            look = _Look(pod.name, state, now + FIRST_LOOK_SECONDS if stays else now, stays)
        if look.asked_at is None and look.due is not None and look.due <= now:
            look.asked_at = now
            task = asyncio.create_task(self._fetch(pod, look))
            self._tasks = {task} if self._tasks is None else self._tasks
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return look

    async def _fetch(self, pod: PodSnapshot, look: _Look) -> None:
        async def read() -> tuple[PodEvent, ...]:
            wanted = self._looks.get(pod.uid) is look
            return await self._read(_about(pod)) if wanted else ()

        look.looks += 1
        try:
            # What a queue said an hour ago is gone, and still holds.
            look.events, look.odd = await self._turn(read) or look.events, ""
        except OverLimitError as error:
            look.odd = str(error)
        except Exception:
            log.exception("the Events of pod %s cannot be read", pod.name)
        finally:
            look.asked_at = None
            pause = _pause(replace(pod, events=look.events), look.looks)
            look.due = self._clock() + pause if look.stays else None
        self._done()


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

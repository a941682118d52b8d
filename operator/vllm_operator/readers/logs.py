"""Reads the log of a container that failed, once, where the 2 KiB that the kubelet keeps do not tell the cause."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..again import Again
from ..api.limits import OverLimitError
from ..diagnosis import wants_log
from ..snapshots.pod import Ending, PodSnapshot
from ..status.evidence import Evidence
from .reader import Clock, Pending

# Of containers of one pod, one after the other. A pod that fails again and again mostly says the same each time: from
# then on its log is read so often at most.
MOST_READS = 6
LATER_SECONDS = 300.0
# At a time, for all objects.
MOST_LOGS = 8
# Pods of one service fail alike.
MOST_PODS = 3
# The kubelet may not have the log yet, while it puts another container in the place of the one that ended.
RETRY_SECONDS = (0.0, 1.0, 3.0)
# What a log tells is worth waiting for; a kubelet that does not answer is not.
PATIENCE_SECONDS = 5.0

ReadLog = Callable[[PodSnapshot], Awaitable[str]]


@dataclass(slots=True)
class _Logs:
    """What was read of the containers of one pod, which has not been ready since."""

    started: str | None = None
    """When the container started whose log was asked for last; None before one was."""
    replaced: bool = False
    """Whether another had taken its place. Then its log moves, and what is read on the way is that one's."""
    containers: int = 0
    """Those whose logs were asked for."""
    asked_at: float = 0.0
    of: str = ""
    """When the container started that said the text."""
    packed: bytes = b""
    """The last text that was not empty: there may be thousands, of 64 KiB."""
    odd: str = ""
    """Why a log cannot be looked at."""

    def note(self, ending: Ending, now: float) -> None:
        """The log of a container that ended is asked for."""
        self.containers += self.started != ending.started
        self.started, self.replaced, self.asked_at = ending.started, ending.replaced, now

    def due(self, ending: Ending) -> float:
        """When the log of a container may be asked for that was not yet: some are read at once."""
        is_next = self.containers >= MOST_READS and self.started != ending.started
        return self.asked_at + LATER_SECONDS if is_next else 0.0


class LogReader:
    """The logs of one service's failed containers. `done()` is called when one has been read."""

    def __init__(self, read: ReadLog, clock: Clock, done: Callable[[], None]) -> None:
        self._read, self._clock = read, clock
        # By the pod's name.
        self._logs: dict[str, _Logs] = {}
        self._later: list[float] = []
        self._pending = Pending[str](clock, done, PATIENCE_SECONDS)

    async def read(self, evidence: Evidence) -> Evidence:
        """The pods, with the log of what failed in them as far as it was read; what is missing is being read."""
        evidence = evidence.with_ranks(self.fill(evidence.ranks))
        odd = ((name, logs.odd) for name, logs in self._logs.items())
        return evidence.without(*sorted(f"the log of pod {name}: {why}" for name, why in odd if why))

    def waits(self) -> Iterator[Again]:
        """A log that is being read is worth waiting for; one that is read later is not."""
        yield from self._pending.waits("a log is being read")
        for due in self._later:
            yield Again(max(due - self._clock(), 0.1), "the log of a pod that fails again and again is due")

    def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """As `read`, for the pods alone."""
        failed = [pod.name for pod in pods if pod.ending][:MOST_PODS]
        # A pod that became ready may fail by something else.
        self._logs, self._later = {name: self._logs.get(name, _Logs()) for name in failed}, []
        return [self._filled(pod) if pod.name in failed and wants_log(pod) else pod for pod in pods]

    def _filled(self, pod: PodSnapshot) -> PodSnapshot:
        ending, logs, now = pod.ending, self._logs[pod.name], self._clock()
        if not ending:
            return pod
        asked = (logs.started, logs.replaced) == (ending.started, ending.replaced)
        if not asked and logs.due(ending) > now:
            self._later.append(logs.due(ending))
        elif not asked and pod.name not in self._pending:
            logs.note(ending, now)
            self._pending.start(pod.name, self._fetch(logs, pod, ending.started))
        # Of another container what the kubelet keeps says more.
        if not logs.packed or logs.of != ending.started:
            return pod
        return replace(pod, ending=replace(ending, log=zlib.decompress(logs.packed).decode()))

    async def _fetch(self, logs: _Logs, pod: PodSnapshot, started: str) -> None:
        try:
            for seconds in RETRY_SECONDS:
                await asyncio.sleep(seconds)
                if text := await self._read(pod):
                    logs.of, logs.packed, logs.odd = started, zlib.compress(text.encode(), 1), ""
                    break
        except OverLimitError as error:
            logs.odd = str(error)

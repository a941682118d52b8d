"""Reads the log of a container that failed, once, where the 2 KiB that the kubelet keeps do not tell the cause."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..again import Again
from ..api.limits import OverLimitError
from ..diagnosis import wants_log
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Evidence
from .reader import Clock, Pending

# A pod that fails again and again says the same each time.
MOST_READS = 6
# At a time, for all objects.
MOST_LOGS = 8
# Pods of one service fail alike.
MOST_PODS = 3
# The kubelet may not have the log yet, while it puts another container in the place of the one that ended.
RETRY_SECONDS = (0.0, 1.0, 3.0)
# What a log tells is worth waiting for; a kubelet that does not answer is not.
PATIENCE_SECONDS = 5.0

ReadLog = Callable[[PodSnapshot], Awaitable[str]]


class _Ended(NamedTuple):
    """A container that ended. When another takes its place its log moves, and what is read on the way is that one's."""

    pod: str
    started: str
    replaced: bool


class LogReader:
    """The logs of one service's failed containers. `done()` is called when one has been read."""

    def __init__(self, read: ReadLog, clock: Clock, done: Callable[[], None]) -> None:
        self._read = read
        self._texts: dict[_Ended, str] = {}
        self._odd: dict[_Ended, str] = {}
        self._pending = Pending[_Ended](PATIENCE_SECONDS, clock, done)

    async def read(self, evidence: Evidence) -> Evidence:
        """The pods, with the log of what failed in them as far as it was read; what is missing is being read."""
        evidence = evidence.with_ranks(self.fill(evidence.ranks))
        return evidence.without(*sorted(f"the log of pod {key.pod}: {why}" for key, why in self._odd.items()))

    def waits(self) -> Iterator[Again]:
        """A log that is being read is worth waiting for."""
        return self._pending.waits("a log is being read")

    def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """As `read`, for the pods alone."""
        names = {pod.name for pod in pods}
        self._texts = {key: text for key, text in self._texts.items() if key.pod in names}
        self._odd = {key: why for key, why in self._odd.items() if key.pod in names}
        failed = [pod.name for pod in pods if pod.ending][:MOST_PODS]
        return [self._filled(pod) if pod.name in failed and wants_log(pod) else pod for pod in pods]

    def _filled(self, pod: PodSnapshot) -> PodSnapshot:
        if not pod.ending:
            return pod
        key = _Ended(pod.name, pod.ending.started, pod.ending.replaced)
        earlier = {other: text for other, text in self._texts.items() if other.pod == pod.name}
        if key not in earlier and key not in self._pending and len(earlier) < MOST_READS:
            self._pending.start(key, self._fetch(key, pod))
        text = earlier.get(key) or next(filter(None, reversed(earlier.values())), "")
        return replace(pod, ending=replace(pod.ending, log=text)) if text else pod

    async def _fetch(self, key: _Ended, pod: PodSnapshot) -> None:
        text = ""
        try:
            for seconds in RETRY_SECONDS:
                await asyncio.sleep(seconds)
                if text := await self._read(pod):
                    break
        except OverLimitError as error:
            self._odd[key] = str(error)
        finally:
            self._texts[key] = text

"""Reads the log of a container that failed, once, where the 2 KiB that the kubelet keeps do not tell the cause."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from .diagnosis import wants_log
from .observed import PodSnapshot

# A pod that fails again and again says the same each time.
MOST_READS = 3

Read = Callable[[PodSnapshot], Awaitable[str]]


class LogReader:
    """The logs of one service's failed containers. `done()` is called when one has been read."""

    def __init__(self, read: Read, done: Callable[[], None]) -> None:
        self._read, self._done = read, done
        self._found: dict[tuple[str, int], str] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """The pods, with the log of what failed in them as far as it was read; what is missing is being read."""
        names = {pod.name for pod in pods}
        self._found = {key: text for key, text in self._found.items() if key[0] in names}
        return [self._filled(pod) if wants_log(pod) else pod for pod in pods]

    def _filled(self, pod: PodSnapshot) -> PodSnapshot:
        key = (pod.name, pod.restarts)
        earlier = {other: text for other, text in self._found.items() if other[0] == pod.name}
        if key not in earlier and key not in self._tasks and len(earlier) < MOST_READS:
            self._tasks[key] = asyncio.create_task(self._fetch(key, pod))
        text = earlier.get(key) or next(reversed(earlier.values()), "")
        return replace(pod, ending=replace(pod.ending, log=text)) if text and pod.ending else pod

    async def _fetch(self, key: tuple[str, int], pod: PodSnapshot) -> None:
        try:
            self._found[key] = await self._read(pod)
        finally:
            del self._tasks[key]
        self._done()

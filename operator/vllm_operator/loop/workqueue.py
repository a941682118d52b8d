"""A keyed work queue: a key waits at most once, is worked on by one worker at a time, and comes back after a failure.

Keys that are due wait in groups, which take turns: three hundred keys of one group do not delay the one key of another.
Within a group, the key that was due first is first, and one that is more urgent before all that are less.

Knows nothing of Kubernetes. Times are seconds of the event loop's clock. An error that is expected to pass
says as `retry_after` how many seconds the key has to wait at least.
"""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from .. import metrics
from ..turns.turns import Turns

log = logging.getLogger(__name__)
Queued = TypeVar("Queued", bound=Hashable)

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0


class WorkQueue(Generic[Queued]):
    """Calls `work(key)` for every added key. `work` returns seconds after which it wants the key again, or None.

    `group(key)` names those with whom a key shares its turns. One group has all workers but one at most, so that what
    waits long for something of its own holds no other up.
    """

    def __init__(
        self, work: Callable[[Queued], Awaitable[float | None]], workers: int, group: Callable[[Queued], Hashable]
    ) -> None:
        self._work = work
        self._workers = workers
        # When each key that waits is due, with the number of its entry in the heap: an older entry counts no more.
        self._due: dict[Queued, tuple[float, int]] = {}
        # Those that are due, and have left the heap, with the number of the entry.
        self._group = group
        self._turns = Turns[tuple[Queued, int]](lambda entry: group(entry[0]))
        # How urgent those are that come before others of their group.
        self._urgency: dict[Queued, int] = {}
        self._heap: list[tuple[float, int, Queued]] = []
        self._sequence = 0
        # With how urgent they were.
        self._running: dict[Queued, int] = {}
        # Wanted again while being worked on: queued when the worker ends.
        self._again: dict[Queued, float] = {}
        self._failures: dict[Queued, int] = {}
        # No event brings a key back earlier.
        self._not_before: dict[Queued, float] = {}
        self._wake = asyncio.Event()

    def add(self, key: Queued, delay: float = 0.0, urgency: int = 0) -> None:
        """Wants the key worked on in `delay` seconds, or earlier if it waits for an earlier time already.

        `urgency`: what is larger comes first in its group; it holds until the work has succeeded.
        """
        hurries = urgency > self._urgency.get(key, 0)
        if hurries:
            self._urgency[key] = urgency
        self._add_at(key, asyncio.get_running_loop().time() + delay, hurries=hurries)

    def _add_at(self, key: Queued, due: float, *, hurries: bool = False) -> None:
        """`hurries`: one that waits already has become more urgent."""
        if key in self._running:
            self._again[key] = min(due, self._again.get(key, due))
            return
        due = max(due, self._not_before.get(key, due))
        if key in self._due and self._due[key][0] <= due:
            if not hurries:
                return
            due = self._due[key][0]
        self._sequence += 1
        self._due[key] = (due, self._sequence)
        heapq.heappush(self._heap, (due, self._sequence, key))
        self._wake.set()

    def _overdue(self, now: float) -> list[float]:
        """For how many seconds each key that waits for a worker has been due."""
        return [now - due for due, _ in list(self._due.values()) if due <= now]

    async def run(self) -> None:
        """Works until cancelled. The metrics ask from another thread when they are scraped."""
        clock = asyncio.get_running_loop().time
        metrics.queue_depth.set_function(lambda: len(self._overdue(clock())))
        metrics.queue_age.set_function(lambda: max(self._overdue(clock()), default=0.0))
        slots = asyncio.Semaphore(self._workers)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await slots.acquire()
                key = await self._next()
                self._running[key] = self._urgency.pop(key, 0)
                tasks.create_task(self._run_one(key, slots))

    async def _next(self) -> Queued:
        """Waits for a key that is due, and takes it off the queue."""
        while True:
            wait = self._collect_due()
            while entry := self._turns.take(self._full()):
                key, number = entry
                # One that became more urgent meanwhile has another entry.
                if self._due.get(key, (0.0, 0))[1] == number:
                    del self._due[key]
                    return key
            self._wake.clear()
            with suppress(TimeoutError):
                # Not wait_for: that of Python 3.11 forgets a cancellation that comes together with an event.
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def _full(self) -> set[Hashable]:
        """Groups that have as many workers as one may have."""
        holders = Counter(map(self._group, self._running))
        return {group for group, held in holders.items() if held >= max(1, self._workers - 1)}

    def _collect_due(self) -> float | None:
        """Gives keys that have become due their turns. Returns seconds until the next is due; None without one."""
        now = asyncio.get_running_loop().time()
        while self._heap:
            due, number, key = self._heap[0]
            # Of a key that was moved to an earlier time, the later entry is still there.
            counts = self._due.get(key) == (due, number)
            if counts and due > now:
                return due - now
            heapq.heappop(self._heap)
            if counts:
                self._turns.add((key, number), self._urgency.get(key, 0))
        return None

    async def _run_one(self, key: Queued, slots: asyncio.Semaphore) -> None:
        again: float | None = None
        urgency = 0
        try:
            self._not_before.pop(key, None)
            again = await self._work(key)
            self._failures.pop(key, None)
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            again = min(FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16), LONGEST_BACKOFF_SECONDS)
            urgency = self._running[key]
            wait: float | None = getattr(error, "retry_after", None)
            if wait:
                self._not_before[key] = asyncio.get_running_loop().time() + wait
            metrics.reconcile_errors.labels(type(error).__name__).inc()
            trace = failures == 1 and wait is None
            log.warning("%s failed (%s: %s), again in %.1f s", key, type(error).__name__, error, again, exc_info=trace)
        finally:
            del self._running[key]
            if again is not None:
                self.add(key, again, urgency)
            if key in self._again:
                self._add_at(key, self._again.pop(key))
            slots.release()
            self._wake.set()  # its group may have had all that it may have

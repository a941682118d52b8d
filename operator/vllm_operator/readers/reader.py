"""What all readers are: they fill in what the watches do not show, read in the background while the loop goes on."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, Protocol, TypeVar

from ..again import Again
from ..status.evidence import Evidence

log = logging.getLogger(__name__)
Clock = Callable[[], float]
Topic = TypeVar("Topic")


class Reader(Protocol):
    """Reads one kind of thing about one service. Losing a reader costs requests, never correctness."""

    async def read(self, evidence: Evidence) -> Evidence:
        """The evidence with this reader's part of it, as far as that is known now. Raises nothing for a failed read."""

    def waits(self) -> Iterator[Again]:
        """What is still being read, or due later. Only after `read`."""


class Pending(Generic[Topic]):
    """Reads that are under way, by what they are about. `done()` is called after each.

    `patience`: the seconds for which an unwritten status waits for one of them.
    """

    def __init__(self, patience: float, clock: Clock, done: Callable[[], None]) -> None:
        self._patience, self._clock, self._done = patience, clock, done
        self._tasks: dict[Topic, tuple[asyncio.Task[None], float]] = {}

    def __contains__(self, topic: Topic) -> bool:
        return topic in self._tasks

    def start(self, topic: Topic, read: Coroutine[Any, Any, None]) -> None:
        """Begins to read, and returns at once."""
        self._tasks[topic] = asyncio.create_task(self._run(topic, read)), self._clock()

    def waits(self, why: str) -> Iterator[Again]:
        """The status waits for the newest read, as long as that is worth it."""
        left = max((at for _, at in self._tasks.values()), default=0.0) + self._patience - self._clock()
        if self._tasks and left > 0:
            yield Again(left, why, holds_status=True)

    async def _run(self, topic: Topic, read: Coroutine[Any, Any, None]) -> None:
        try:
            await read
        except Exception:
            log.exception("what is read about %s fails", topic)
        finally:
            del self._tasks[topic]
        self._done()

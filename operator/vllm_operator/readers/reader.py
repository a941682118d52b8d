"""What all readers are: they fill in what the watches do not show, read in the background while the loop goes on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Generic, Protocol, TypeVar

from ..again import Again
from ..cluster import UnavailableError
from ..status.evidence import Evidence

log = logging.getLogger(__name__)
Clock = Callable[[], float]
Topic = TypeVar("Topic")
Result = TypeVar("Result")


class Turn(Protocol):
    """Does a piece of work when it is its turn (turns/few.py)."""

    async def __call__(self, work: Callable[[], Awaitable[Result]], /) -> Result:
        """What the work returns or raises."""


class Reader(Protocol):
    """Reads one kind of thing about one service. Losing a reader costs requests, never correctness."""

    async def read(self, evidence: Evidence) -> Evidence:
        """The evidence with this reader's part of it, as far as that is known now.

        Raises UnavailableError where the API server does not answer and nothing can be decided without: all of it is
        tried again. What only tells more fails without an error.
        """

    def waits(self) -> Iterator[Again]:
        """What is still being read, or due later. Only after `read`."""


async def told_by(reader: Reader, evidence: Evidence) -> Evidence:
    """The evidence with a reader's part of it; where a fault of ours keeps it from that, without: the rest is told.

    Raises UnavailableError: whoever decides without what could not be read would make pods that do not fit.
    """
    try:
        return await reader.read(evidence)
    except UnavailableError:
        raise
    except Exception as error:
        log.exception("%s: %s fails", evidence.service.key, type(reader).__name__)
        return evidence.without(f"what the operator's {type(reader).__name__} reads ({type(error).__name__})")


class Pending(Generic[Topic]):
    """Reads that are under way, by what they are about. `done()` is called after each, also after one that fails.

    `patience`: the seconds for which an unwritten status waits for one of them.
    """

    __slots__ = ("_clock", "_done", "_patience", "_tasks")  # each service has some of them

    def __init__(self, clock: Clock, done: Callable[[], None], patience: float = 0.0) -> None:
        self._patience, self._clock, self._done = patience, clock, done
        self._tasks: dict[Topic, tuple[asyncio.Task[None], float]] = {}

    def __contains__(self, topic: Topic) -> bool:
        return topic in self._tasks

    def start(self, topic: Topic, read: Coroutine[Any, Any, None], is_news: Callable[[], bool] = lambda: True) -> None:
        """Begins to read, and returns at once. `is_news()`: whether what came of it is worth `done()`."""
        self._tasks[topic] = asyncio.create_task(self._run(topic, read, is_news)), self._clock()

    def waits(self, why: str) -> Iterator[Again]:
        """The status waits for the newest read, as long as that is worth it."""
        left = max((at for _, at in self._tasks.values()), default=0.0) + self._patience - self._clock()
        if self._tasks and left > 0:
            yield Again(left, why, holds_status=True)

    async def _run(self, topic: Topic, read: Coroutine[Any, Any, None], is_news: Callable[[], bool]) -> None:
        tells = True
        try:
            await read
            tells = is_news()
        except Exception:
            log.exception("what is read about %s fails", topic)
        finally:
            del self._tasks[topic]
        if tells:
            self._done()

"""What is being read in the background, and for how long that is worth waiting for."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")


class Pending(Generic[Key]):
    """Reads by what they are about; `done()` is called after each. `patience`: the seconds that one is waited for."""

    def __init__(self, patience: float, done: Callable[[], None]) -> None:
        self._patience, self._done = patience, done
        self._tasks: dict[Key, tuple[asyncio.Task[None], float]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._tasks

    def start(self, key: Key, read: Coroutine[Any, Any, None]) -> None:
        """Lets it run."""
        self._tasks[key] = asyncio.create_task(self._run(key, read)), time.monotonic()

    def wait(self) -> float | None:
        """Seconds for which one of them is still worth waiting for; None: none is."""
        begun = [at for _, at in self._tasks.values()]
        left = max(begun, default=0.0) + self._patience - time.monotonic()
        return left if begun and left > 0 else None

    async def _run(self, key: Key, read: Coroutine[Any, Any, None]) -> None:
        try:
            await read
        finally:
            del self._tasks[key]
        self._done()

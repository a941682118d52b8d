"""Work that may take long, off the event loop: in a thread, one piece at a time, with turns between namespaces.

One thread, so that the loop has half of the interpreter at least. That a piece ends is up to who brings it: a thread
cannot be ended.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from .turns import Turns

Result = TypeVar("Result")


class _Waiting(NamedTuple):
    group: str
    turn: asyncio.Future[None]


class Aside:
    """Does one piece of work after the other."""

    def __init__(self) -> None:
        self._turns = Turns[_Waiting](lambda one: one.group)
        self._thread = ThreadPoolExecutor(1, "aside")
        self._busy = False

    async def do(self, group: str, work: Callable[[], Result]) -> Result:
        """What `work()` returns or raises. It must share nothing with the loop that either of them changes."""
        loop = asyncio.get_running_loop()
        mine = _Waiting(group, loop.create_future())
        self._turns.add(mine)
        self._give_turn()
        try:
            await mine.turn
            return await loop.run_in_executor(self._thread, work)
        finally:
            if mine.turn.done() and not mine.turn.cancelled():
                self._busy = False
                self._give_turn()

    def _give_turn(self) -> None:
        while not self._busy and (waiting := self._turns.take()):
            if not waiting.turn.done():
                self._busy = True
                waiting.turn.set_result(None)

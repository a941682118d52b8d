"""Work of which only a few pieces may go on at a time, for all namespaces together: they take turns."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from .turns import Turns

Result = TypeVar("Result")


class _Waiting(NamedTuple):
    group: str
    turn: asyncio.Future[None]


class Few:
    """Does so many pieces of work at a time."""

    def __init__(self, most: int) -> None:
        self._turns = Turns[_Waiting](lambda one: one.group)
        self._free = most

    async def do(self, group: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """What `work()` returns or raises. It is called when it is this piece's turn."""
        mine = _Waiting(group, asyncio.get_running_loop().create_future())
        self._turns.add(mine)
        self._give_turns()
        try:
            await mine.turn
            return await work()
        finally:
            if mine.turn.done() and not mine.turn.cancelled():
                self._free += 1
                self._give_turns()

    def _give_turns(self) -> None:
        while self._free and (waiting := self._turns.take()):
            if not waiting.turn.done():
                self._free -= 1
                waiting.turn.set_result(None)

"""Work that may take long, off the event loop: in a thread, one piece at a time, with turns between namespaces.

One thread, so that the loop has half of the interpreter at least. That a piece ends is up to who brings it: a thread
cannot be ended.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..turns.few import Few

Result = TypeVar("Result")


class Aside:
    """Does one piece of work after the other."""

    def __init__(self) -> None:
        self._few = Few(1)
        self._thread = ThreadPoolExecutor(1, "aside")

    async def do(self, group: str, work: Callable[[], Result]) -> Result:
        """What `work()` returns or raises. It must share nothing with the loop that either of them changes."""
        loop = asyncio.get_running_loop()
        return await self._few.do(group, lambda: loop.run_in_executor(self._thread, work))

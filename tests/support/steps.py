"""How long the steps of some work in the event loop are, and the most that a tenant may ask of nodes."""

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any

MOST_SECONDS = 0.05
"""Of CPU, that docs/architecture.md promises for a step of the loop."""
_EXPRESSIONS = [
    {"key": f"label-{at}", "operator": "NotIn", "values": [str(of) for of in range(64)]} for at in range(16)
]
_UNMET = {"key": "host", "operator": "Gt", "values": ["1"]}
_TERMS = [{"matchExpressions": [*_EXPRESSIONS[:15], _UNMET]} for _ in range(16)]
_REQUIRED = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": _TERMS}}
MOST_ASKED_OF_NODES: dict[str, Any] = {
    "pod": {
        "affinity": {"nodeAffinity": _REQUIRED},
        "tolerations": [{"key": f"key-{at}", "operator": "Exists"} for at in range(32)],
    }
}


class Timed:
    """Is awaited in the place of what it is made of, and notes the longest step, in seconds of CPU."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work, self.longest = work, 0.0

    def __await__(self) -> Generator[Any]:
        steps = self._work.__await__()
        while True:
            before = time.process_time()
            try:
                waits = next(steps)
            except StopIteration:
                return
            finally:
                self.longest = max(self.longest, time.process_time() - before)
            yield waits


def longest(work: Coroutine[Any, Any, Any]) -> float:
    """The longest step of some work in the event loop."""

    async def timed() -> float:
        await (steps := Timed(work))
        return steps.longest

    return asyncio.run(timed())

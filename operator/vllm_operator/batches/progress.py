"""How far the pods of one batch are, asked of those that answer, and how fast: read in the background.

A pod that has ended left the same as its last word. Losing this costs requests, and that the pace is not known for a
while; what is told never falls.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..again import Again
from ..readers.pod_http import TIMEOUT_SECONDS, read_progress
from ..readers.reader import Clock, Pending, Turn
from ..snapshots.batch import BatchPod
from ..vllm.batch import RUN
from .evidence import Pace, Progress, progress_in

# How often the pods are asked.
ASK_SECONDS = 10.0
# The pace is that of so long.
PACE_SECONDS = 60.0
_TOPIC = "progress"


class ProgressReader:
    """Of the pods of one batch. `done()` is called when they have been asked.

    `turn(work)` does it when it is this batch's turn.
    """

    def __init__(self, clock: Clock, turn: Turn, done: Callable[[], None]) -> None:
        self._clock, self._turn = clock, turn
        self._pending = Pending[str](clock, done)
        self._known: dict[int, Progress] = {}
        self._samples: list[tuple[float, Progress]] = []
        self._asked_at: float | None = None
        self._asks = False

    def read(self, pods: Sequence[BatchPod]) -> Progress:
        """How far all pods of the run are, as far as that is known; where it is due, they are asked anew."""
        mine = [pod for pod in pods if pod.step == RUN]
        for pod in mine:
            if pod.ended and pod.message:
                self._note(pod.index, progress_in(pod.message))
        asked = {pod.index: pod.pod.ip for pod in mine if pod.pod.ready and pod.pod.ip and not pod.ended}
        self._asks = bool(asked)
        now = self._clock()
        if asked and _TOPIC not in self._pending and (self._asked_at is None or now >= self._asked_at + ASK_SECONDS):
            self._asked_at = now
            self._pending.start(_TOPIC, self._ask({index: str(ip) for index, ip in asked.items()}))
        return self._sum()

    def pace(self) -> Pace | None:
        """How fast they are; None where that is not known, or nothing is answered now."""
        if not self._asks or len(self._samples) < 2:
            return None
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        seconds = ended - began
        requests = last.done + last.failed - first.done - first.failed
        tokens = last.prompt_tokens + last.output_tokens - first.prompt_tokens - first.output_tokens
        return Pace(tokens / seconds, requests / seconds) if seconds > 0 else None

    def waits(self) -> Iterator[Again]:
        """Pods that answer are asked again."""
        if self._asks and self._asked_at is not None:
            least = TIMEOUT_SECONDS if _TOPIC in self._pending else 0.1
            left = self._asked_at + ASK_SECONDS - self._clock()
            yield Again(max(left, least), "pods that answer are asked how far they are")

    def _sum(self) -> Progress:
        total = Progress()
        for one in self._known.values():
            total = total.plus(one)
        return total

    def _note(self, index: int, said: Progress) -> None:
        """A pod that was made anew has not read yet what the one before it wrote."""
        known = self._known.get(index, Progress())
        self._known[index] = Progress(*(max(pair) for pair in zip(known, said, strict=True)))

    async def _ask(self, addresses: dict[int, str]) -> None:
        await asyncio.gather(*map(self._ask_one, addresses, addresses.values()))
        now = self._clock()
        self._samples = [one for one in self._samples if one[0] >= now - PACE_SECONDS]
        self._samples.append((now, self._sum()))

    async def _ask_one(self, index: int, ip: str) -> None:
        if (said := await self._turn(partial(read_progress, ip))) is not None:
            self._note(index, progress_in(said))

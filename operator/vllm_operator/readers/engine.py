"""Reads what vLLM reports of itself, version and KV cache size, once per container that became ready."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ..again import Again
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Engine, Evidence
from .pod_http import TIMEOUT_SECONDS, EngineError, OddAnswerError, container_of, read_engine
from .reader import Clock, Pending, Turn

log = logging.getLogger(__name__)
_TOPIC = "the engine"
RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0)


class EngineReader:
    """One service's engine. `done()` is called when one has answered, or has not in time.

    `turn(work)` does it when it is this service's turn.
    """

    def __init__(self, clock: Clock, turn: Turn, done: Callable[[], None]) -> None:
        self._clock, self._turn = clock, turn
        self._answer: tuple[str, Engine] | None = None
        self._asks = False
        self._attempts = 0
        self._next = 0.0
        self._pending = Pending[str](clock, done)
        self._odd: tuple[str, str] = ("", "")

    async def read(self, evidence: Evidence) -> Evidence:
        """What one of the pods reported; until one has, what the status says stands."""
        self._asks = False
        if evidence.service.spec.on_ray:  # no server of vLLM's, and so none of our middleware
            return evidence
        if engine := self.get(evidence.pods):
            return replace(evidence, engine=engine)
        container, odd = self._odd
        asked = any(container_of(pod) == container for pod in evidence.pods)
        return evidence.without(f"what vLLM says of itself: {odd}") if odd and asked else evidence

    def waits(self) -> Iterator[Again]:
        """Another try is due, while one is worth it."""
        if self._asks and self._attempts:
            least = TIMEOUT_SECONDS if _TOPIC in self._pending else 0.1
            yield Again(max(self._next - self._clock(), least), "vLLM is asked again for its KV cache size")

    def get(self, pods: Sequence[PodSnapshot]) -> Engine | None:
        """What one of these pods reported; None while that is not known, and then a ready one is being asked."""
        ready = {container_of(pod): pod.ip for pod in pods if pod.ready and pod.ip}
        if self._answer and self._answer[0] in ready:
            return self._answer[1]
        self._asks = bool(ready)
        if ready and self._clock() >= self._next and _TOPIC not in self._pending:
            container, ip = next(iter(ready.items()))
            self._next = self._clock() + RETRY_SECONDS[min(self._attempts, len(RETRY_SECONDS) - 1)]
            self._attempts += 1
            self._pending.start(_TOPIC, self._ask(container, str(ip)))
        return None

    async def _ask(self, container: str, ip: str) -> None:
        try:
            self._answer = (container, await self._turn(partial(read_engine, ip)))
            self._attempts, self._next, self._odd = 0, 0.0, ("", "")
        except EngineError as error:
            self._odd = (container, str(error)) if isinstance(error, OddAnswerError) else ("", "")
            log.info("vLLM in %s does not tell its KV cache size: %s", container, error)

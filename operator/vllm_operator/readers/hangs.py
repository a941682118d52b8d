"""Asks pods that fail their readiness probe whether their engine hangs.

The kubelet tells of it too, by an Event; but it keeps Events back where a pod has had many, as while it started.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ..again import Again
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Evidence
from .pod_http import PATIENCE_SECONDS, container_of, read_state
from .reader import Clock, Pending, Turn


class HangReader:
    """The hangs of one service's pods. `done()` is called when one has answered, or has not in time.

    `turn(work)` does it when it is this service's turn.
    """

    def __init__(self, clock: Clock, turn: Turn, done: Callable[[], None]) -> None:
        self._turn = turn
        self._hangs: dict[str, bool] = {}
        self._pending = Pending[str](clock, done, PATIENCE_SECONDS)

    async def read(self, evidence: Evidence) -> Evidence:
        """The pods, with what is known of those that are silent; they are asked once for as long as they are."""
        if evidence.service.spec.on_ray:  # no server of vLLM's, and so none of our middleware
            return evidence
        return replace(evidence, pods=self.fill(evidence.pods))

    def waits(self) -> Iterator[Again]:
        """A pod that is being asked is worth waiting for."""
        return self._pending.waits("a pod that is not ready any more is being asked")

    def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """As `read`, for the pods alone."""
        silent = {container_of(pod): pod.ip for pod in pods if pod.silent and pod.ip}
        self._hangs = {container: hangs for container, hangs in self._hangs.items() if container in silent}
        for container, ip in silent.items():
            if container not in self._hangs and container not in self._pending:
                self._pending.start(container, self._ask(container, str(ip)))
        return [replace(pod, hangs=True) if self._hangs.get(container_of(pod)) else pod for pod in pods]

    async def _ask(self, container: str, ip: str) -> None:
        state = await self._turn(partial(read_state, ip))
        self._hangs[container] = state is not None and state.hangs

"""Asks ready pods, now and then, which Secrets and ConfigMaps have changed since they started."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ..again import Again
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Evidence
from ..vllm.environment import configuration
from ..vllm.middleware import hidden
from .pod_http import read_state
from .reader import Clock

# The kubelet takes as long to renew the files of a Secret or ConfigMap that has changed.
CONFIGURATION_SECONDS = 60.0


class ConfigurationReader:
    """What has changed for one service's pods. `done()` is called when that is another answer than before."""

    def __init__(self, clock: Clock, done: Callable[[], None]) -> None:
        self._clock, self._done = clock, done
        self._changed: tuple[str, ...] | None = None
        self._asked: set[str] = set()
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    async def read(self, evidence: Evidence) -> Evidence:
        """What has changed, as kind/name; None while that is not known."""
        if evidence.service.spec.on_ray:  # no server of vLLM's, and so none of our middleware
            return evidence
        read = {f"{kind}/{name}" for kind, name in configuration(evidence.service.spec)}
        if not read:
            return evidence
        changed = self.get(evidence.pods)
        if changed is None:
            return replace(evidence, changed=None)
        # A pod may say what it likes. Those of earlier versions say the names.
        uid = evidence.service.uid
        return replace(evidence, changed=tuple(name for name in sorted(read) if {name, hidden(uid, name)} & {*changed}))

    def waits(self) -> Iterator[Again]:
        """Another look is due as long as there are pods to ask."""
        if self._task:
            yield Again(max(self._next - self._clock(), 0.1), "the pods are asked again what has changed")

    def get(self, pods: Sequence[PodSnapshot]) -> tuple[str, ...] | None:
        """As `read`, for the pods alone."""
        if not pods:
            return ()
        addresses = {pod.ip for pod in pods if pod.ready and pod.ip}
        if addresses and (self._clock() >= self._next or addresses != self._asked):
            self._asked, self._next = addresses, self._clock() + CONFIGURATION_SECONDS
            self._task = asyncio.create_task(self._ask(addresses))
        return self._changed

    async def _ask(self, addresses: Iterable[str]) -> None:
        answers = [state.stale for state in await asyncio.gather(*map(read_state, addresses)) if state]
        before = self._changed
        if answers:
            self._changed = tuple(sorted(set[str]().union(*answers)))
        if self._changed != before:
            self._done()

"""Asks ready pods, now and then, which Secrets and ConfigMaps have changed since they started."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..again import Again
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Evidence
from ..vllm.environment import configuration
from ..vllm.middleware import hidden
from .pod_http import TIMEOUT_SECONDS, read_state
from .reader import Clock, Pending, Turn

# The kubelet takes as long to renew the files of a Secret or ConfigMap that has changed.
CONFIGURATION_SECONDS = 60.0
_TOPIC = "changed Secrets and ConfigMaps"


class ConfigurationReader:
    """What has changed for one service's pods. `done()` is called when that is another answer than before.

    `turn(work)` does it when it is this service's turn.
    """

    def __init__(self, clock: Clock, turn: Turn, done: Callable[[], None]) -> None:
        self._clock, self._turn = clock, turn
        self._changed: frozenset[str] | None = None
        # Addresses of the pods that were ready at the last look, and of those that were asked last.
        self._ready: set[str] = set()
        self._asked: set[str] = set()
        self._next = 0.0
        self._pending = Pending[str](clock, done)

    async def read(self, evidence: Evidence) -> Evidence:
        """What has changed, as kind/name; None while that is not known."""
        self._ready = set()
        if evidence.service.spec.on_ray:  # no server of vLLM's, and so none of our middleware
            return evidence
        read = {f"{kind}/{name}" for kind, name in configuration(evidence.service.spec)}
        if not read:
            return evidence
        # A pod may say what it likes. Those of earlier versions say the names.
        uid = evidence.service.uid
        names = {said: name for name in read for said in (name, hidden(uid, name))}
        changed = self.get(evidence.pods, names)
        if changed is None:
            return replace(evidence, changed=None)
        return replace(evidence, changed=tuple(name for name in sorted(read) if name in changed))

    def waits(self) -> Iterator[Again]:
        """Another look is due as long as there are pods to ask."""
        if self._ready:
            least = TIMEOUT_SECONDS if _TOPIC in self._pending else 0.1
            yield Again(max(self._next - self._clock(), least), "the pods are asked again what has changed")

    def get(self, pods: Sequence[PodSnapshot], names: Mapping[str, str]) -> frozenset[str] | None:
        """As `read`, for the pods alone. `names`: what pods may say, and what it means."""
        if not pods:
            return frozenset()
        self._ready = {pod.ip for pod in pods if pod.ready and pod.ip}
        due = self._clock() >= self._next or self._ready != self._asked
        if self._ready and due and _TOPIC not in self._pending:
            self._asked, self._next = self._ready, self._clock() + CONFIGURATION_SECONDS
            self._pending.start(_TOPIC, self._ask(names), partial(self._is_news, self._changed))
        return self._changed

    def _is_news(self, before: frozenset[str] | None) -> bool:
        """Whether the answer is another one than before, or other pods are to be asked by now."""
        return self._changed != before or bool(self._ready - self._asked)

    async def _ask(self, names: Mapping[str, str]) -> None:
        said = await asyncio.gather(*(self._ask_one(ip, names) for ip in self._asked))
        answers = [one for one in said if one is not None]
        if answers:
            self._changed = frozenset[str]().union(*answers)

    async def _ask_one(self, ip: str, names: Mapping[str, str]) -> frozenset[str] | None:
        """What has changed for the pod at an address; None where it does not say."""
        state = await self._turn(partial(read_state, ip))
        return frozenset(names[said] for said in state.stale if said in names) if state else None

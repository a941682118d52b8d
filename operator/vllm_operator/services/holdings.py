"""Who holds the GPUs, for a service that waits for some: worked out for all that wait together."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..again import Again
from ..api.spec import InferenceServiceSpec
from ..assess.nodes import looks_at
from ..assess.supply import Barred, Held, barred, held_by, supply
from ..diagnosis import asks_for_gpus
from ..snapshots.node import Node
from ..status.evidence import Evidence
from ..turns.few import Few
from .stock import Pace
from .view import View

# Where GPUs are short, hundreds of services ask this one after another.
HELD_SECONDS = 1.0


class SupplyReader:
    """Fills in which GPUs there are for a service that waits for some, where the operator sees nodes.

    One for all services: what their pods hold is `HELD_SECONDS` old at most.
    """

    def __init__(self, view: View, clock: Callable[[], float]) -> None:
        self._view, self._clock = view, clock
        self._known: tuple[float, Held] | None = None
        self._few = Few(1)

    async def read(self, evidence: Evidence) -> Evidence:
        """The evidence with that."""
        if asks_for_gpus(evidence.deployment, evidence.ranks) and (nodes := self._view.nodes()):
            service = evidence.service
            looked = await self._few.do(service.namespace, lambda: _looked_at(service.spec, nodes))
            return replace(evidence, supply=supply(service.namespace, service.spec, looked, self.held()))
        return evidence

    def waits(self) -> Iterator[Again]:
        """Nothing: the watches bring it."""
        return iter(())

    def held(self) -> Held:
        """What the pods of all services hold."""
        now = self._clock()
        if self._known is None or now - self._known[0] >= HELD_SECONDS:
            self._known = now, held_by(self._view.all_pods())
        return self._known[1]


async def _looked_at(spec: InferenceServiceSpec, nodes: Iterable[Node]) -> list[tuple[Node, Barred | None]]:
    """Those with such devices, and what bars the pods from each."""
    looked, pace, looks = list[tuple[Node, Barred | None]](), Pace(), looks_at(spec)
    for node in nodes:
        if node.count(spec.accelerator.resource):
            await pace.go(looks)
            looked.append((node, barred(spec, node)))
    return looked

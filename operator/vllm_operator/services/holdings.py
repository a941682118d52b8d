"""Who holds the GPUs, for a service that waits for some: worked out for all that wait together."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..again import Again
from ..assess.supply import Held, held_by, supply
from ..diagnosis import asks_for_gpus
from ..status.evidence import Evidence
from .view import View

# Where GPUs are short, hundreds of services ask this one after another.
HELD_SECONDS = 1.0


class Holdings:
    """What the pods of all services hold, `HELD_SECONDS` old at most."""

    def __init__(self, view: View, clock: Callable[[], float]) -> None:
        self._view, self._clock = view, clock
        self._known: tuple[float, Held] | None = None

    def held(self) -> Held:
        """What they hold."""
        now = self._clock()
        if self._known is None or now - self._known[0] >= HELD_SECONDS:
            self._known = now, held_by(self._view.all_pods())
        return self._known[1]


class SupplyReader:
    """Fills in which GPUs there are for a service that waits for some, where the operator sees nodes."""

    def __init__(self, view: View, holdings: Holdings) -> None:
        self._view, self._holdings = view, holdings

    async def read(self, evidence: Evidence) -> Evidence:
        """The evidence with that."""
        if asks_for_gpus(evidence.deployment, evidence.ranks) and (nodes := self._view.nodes()):
            service = evidence.service
            found = supply(service.namespace, service.spec, nodes, self._holdings.held())
            return replace(evidence, supply=found)
        return evidence

    def waits(self) -> Iterator[Again]:
        """Nothing: the watches bring it."""
        return iter(())

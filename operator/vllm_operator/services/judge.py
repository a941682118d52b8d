"""Whether a service fits: worked out beside the event loop, and anew only when what it rests on has changed."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Protocol

from ..api.groups import MOST_NODES
from ..api.resource import Key
from ..api.spec import AUTO, InferenceServiceSpec
from ..assess.choice import Terrain, choose
from ..assess.fits import Assessment, Outlook, assess, learned_by
from ..assess.spread import over, spread
from ..loop.aside import Aside
from ..loop.kinds import Surroundings
from ..snapshots.node import Node
from ..status.evidence import Evidence
from .stock import Offer, Stock


class Remembered(Protocol):
    """What is remembered of one object's last assessment."""

    asked: object
    """What was to be assessed, nodes aside."""
    assessed: tuple[object, Assessment] | None
    """What the assessment was made of, and what came of it."""


class Judge:
    """Of all services. `nodes()`: all that have GPUs, as the watch shows them now."""

    def __init__(self, surroundings: Surroundings, nodes: Callable[[], Iterable[Node]]) -> None:
        self._surroundings = surroundings
        self._stock = Stock(nodes)
        self._aside = Aside()

    async def look_at_nodes(self) -> None:
        """Queues the services whose plan rests on other kinds of nodes now."""
        for key in await self._stock.look():
            self._surroundings.requeue(key)

    async def assess(self, evidence: Evidence, memory: Remembered) -> Assessment:
        """The verdict; as it was where spec, model and the kinds of nodes are."""
        service = evidence.service
        told = (tuple(evidence.resolved), evidence.bounds, evidence.inspection, evidence.claimed)
        asked = (service.generation, *told, evidence.spreads)
        if memory.asked != asked:
            memory.asked = asked
            # Pods may be rendered of this, once: a node that came a moment ago counts.
            await self.look_at_nodes()
        # Of groups, the domains of nodes count as well, and their number.
        demand = over(service.spec, MOST_NODES) if evidence.spreads else service.spec
        offer = self._stock.offer(service.key, demand, waits=evidence.supply is not None)
        made_of = (asked, offer.kinds)
        if memory.assessed is None or memory.assessed[0] != made_of:
            # A plan, and what else would fit, take up to a tenth of a second of a large model's config.
            work = self._work(evidence, offer)
            memory.assessed = (made_of, await self._aside.do(service.namespace, work))
        return memory.assessed[1]

    def forget(self, key: Key) -> None:
        """A service is gone, or another operator sees to it."""
        self._stock.forget(key)

    def _work(self, evidence: Evidence, offer: Offer) -> Callable[[], Assessment]:
        """What is to be worked out: whether the GPUs of the spec fit or, where it leaves them open, which do."""
        service, settings = evidence.service, self._surroundings.settings
        image = settings.default_image(service.spec.accelerator.resource, on_ray=service.spec.on_ray)
        learned = learned_by(evidence.resolved)
        if service.spec.tensor_parallel_size == AUTO:
            terrain = Terrain(offer.nodes, settings.gpu_prices, evidence.bounds, image, learned)
            return partial(choose, service, evidence.inspection, terrain)
        outlook = Outlook(settings.gpu_prices, learned, evidence.claimed, fixed_nodes=settings.fixed_nodes)
        if not evidence.spreads:
            return partial(assess, service, evidence.inspection, offer.nodes, image, outlook)

        def verdict(spec: InferenceServiceSpec) -> Assessment:
            return assess(replace(service, spec=spec), evidence.inspection, offer.nodes, image, outlook)

        return partial(spread, service.spec, offer.nodes, verdict, evidence.bounds)

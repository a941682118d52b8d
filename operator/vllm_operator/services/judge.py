"""Whether a service fits: worked out beside the event loop, and anew only when what it rests on has changed."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from ..api.groups import MOST_NODES
from ..api.resource import Key
from ..api.spec import AUTO, InferenceServiceSpec
from ..assess.choice import Terrain, choose
from ..assess.fits import Assessment, Outlook, assess, learned_by
from ..assess.spread import over, spread
from ..diagnosis import asks_for_gpus
from ..loop.kinds import Surroundings
from ..snapshots.node import Node
from ..status.evidence import Evidence
from .stock import Offer, Stock
from .verdicts import Verdicts


class Judge:
    """Of all services. `nodes()`: all that have GPUs, as the watch shows them now."""

    def __init__(self, surroundings: Surroundings, nodes: Callable[[], Iterable[Node]]) -> None:
        self._surroundings = surroundings
        self._stock = Stock(nodes)
        self._verdicts = Verdicts(surroundings.requeue)

    async def look_at_nodes(self) -> None:
        """Queues those whose plan may be another one with other kinds of nodes, and those that wait for GPUs."""
        concerned = await self._stock.look()
        waiting = {key for key in concerned if self._stock.waits(key)}
        for key in waiting:
            self._surroundings.requeue(key)
        self._verdicts.doubt(concerned - waiting)

    async def assess(self, evidence: Evidence) -> Assessment:
        """The verdict; as it was where spec, model and the kinds of nodes are."""
        service = evidence.service
        told = _told(evidence)
        verdict = self._verdicts.of(service.key, told)
        if verdict is None:
            # Pods may be rendered of this, once: a node that came a moment ago counts.
            await self.look_at_nodes()
            verdict = self._verdicts.join(service.key, told, hashlib.sha256(repr(told).encode()).hexdigest())
        # Of groups, the domains of nodes count as well, and their number.
        demand = over(service.spec, MOST_NODES) if evidence.spreads else service.spec
        waits = asks_for_gpus(evidence.deployment, evidence.ranks)
        async with verdict.working:
            offer = await self._stock.offer(service.key, demand, waits=waits)
            while verdict.assessment is None or verdict.kinds != offer.kinds:
                # A plan, and what else would fit, take up to a tenth of a second of a large model's config.
                found = await self._surroundings.queues.aside.do(service.namespace, self._work(evidence, offer))
                self._verdicts.settle(service.key, verdict, found, offer.kinds)
                # Nodes may have changed meanwhile, and whoever is to find that out may be this one.
                offer = await self._stock.offer(service.key, demand, waits=waits)
            verdict.doubted_by = None
            return verdict.assessment

    def give_up(self, key: Key) -> None:
        """A service could not be looked at: whether its verdict still holds, another one of it finds out."""
        self._verdicts.give_up(key)

    def forget(self, key: Key) -> None:
        """A service is gone, or another operator sees to it."""
        self._stock.forget(key)
        self._verdicts.leave(key)

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


def _told(evidence: Evidence) -> tuple[object, ...]:
    """What the verdict rests on beside the nodes. Names of objects are in none of it."""
    model = evidence.inspection
    known = (model.key, model.packed, model.error and (model.error.reason, str(model.error)), model.pending)
    spec, resolved = evidence.service.spec, tuple(evidence.resolved)
    return (spec, resolved, evidence.bounds, known, evidence.claimed, evidence.spreads)

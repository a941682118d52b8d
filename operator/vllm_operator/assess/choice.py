"""Which GPUs a service gets that leaves it to the plan (tensorParallelSize: auto): the cheapest shape that fits. Pure.

Chosen from the nodes' products and counts, within the class's limits, without what is free now. What is chosen is kept
with the pod template: nothing here may be asked again while that holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..planner.accelerators import priced
from ..planner.plan import plan
from ..planner.shapes import ModelShape
from ..planner.speed import speed_of
from ..planner.survey import Shape, sized, sizes_of, smallest
from ..snapshots.node import Node
from .fits import Assessment, Candidate, Inspection, of_model, products_of
from .limits import Bounds
from .resolution import PLAN, TENSOR_SIZE, Resolved

PRODUCT = "accelerator.product"
_WAY_OUT = "tensorParallelSize: auto cannot choose without a plan: set a number"
_MOST_TOLD = 4


@dataclass(frozen=True, slots=True)
class Terrain:
    """What there is to choose from, and what bounds the choice."""

    nodes: Sequence[Node]
    prices: Mapping[str, float]
    bounds: Bounds
    image: str
    """What runs where the spec names none."""
    learned: Mapping[str, int] = field(default_factory=dict)
    """By product, the bytes of KV cache on a GPU that other engines got more, or less, than planned."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a product comes to: its smallest shape that fits, or why it has none."""

    product: str
    shape: Shape | None = None
    why_not: str = ""

    @property
    def fits(self) -> bool | None:
        """Whether its shape fits; None: that is not known."""
        return self.shape.plan.fits if self.shape else False


def choose(service: InferenceService, inspection: Inspection, terrain: Terrain) -> Assessment:
    """The cheapest shape that fits, as values that are resolved; without one, why, and nothing resolved."""
    spec = service.spec.model_copy(update={"image": service.spec.image or terrain.image})
    found = of_model(inspection, lambda model: _cheapest(spec, model, [*_kinds(spec, model, terrain)]))
    known = found.pending or found.chosen or found.reason is Reason.NOTHING_FITS
    return found if known else replace(found, message=f"{found.message}; {_WAY_OUT}")


def _kinds(spec: InferenceServiceSpec, model: ModelShape, terrain: Terrain) -> Iterator[_Kind]:
    for one in products_of(spec, terrain.nodes):
        yield _kind(spec, model, one, terrain)


def _kind(spec: InferenceServiceSpec, model: ModelShape, one: Candidate, terrain: Terrain) -> _Kind:
    gpu, own = priced(one.gpu, terrain.prices), _on(spec, one.product)
    sizes = sizes_of(own, model, gpu, one.most)
    refusals = {size: terrain.bounds.refuses(sized(own, size)) for size in sizes}
    allowed = [size for size in sizes if not refusals[size]]
    if sizes and not allowed:
        return _Kind(one.product, why_not=refusals[sizes[0]])
    learned = terrain.learned.get(one.product, 0)
    shape = smallest(allowed, lambda size: plan(sized(own, size), model, gpu, one.most, learned))
    if not shape.plan.fits and len(allowed) < len(sizes):
        limit = next(why for why in refusals.values() if why)
        return _Kind(one.product, shape, f"{shape.plan.message}; more than {shape.tensor} may not be: {limit}")
    return _Kind(one.product, shape, shape.plan.message)


def _on(spec: InferenceServiceSpec, product: str) -> InferenceServiceSpec:
    """The spec with a product."""
    return spec.model_copy(update={"accelerator": spec.accelerator.model_copy(update={"product": product})})


def _cheapest(spec: InferenceServiceSpec, model: ModelShape, kinds: Sequence[_Kind]) -> Assessment:
    fitting = [(one.shape.order, one.product, one.shape) for one in kinds if one.shape and one.fits]
    if not fitting:
        return _nothing(kinds)
    _, product, shape = min(fitting, key=lambda entry: entry[:2])
    why = _why(product, shape, sorted(fitting, key=lambda entry: entry[:2])[1:])
    chosen = [Resolved(TENSOR_SIZE, shape.tensor, PLAN, why)]
    if not spec.accelerator.product:
        chosen.append(Resolved(PRODUCT, product, PLAN, why))
    best = shape.plan
    speed = speed_of(sized(spec, shape.tensor), model, best)
    return Assessment(True, best.reason, best.message, plan=best, product=product, chosen=tuple(chosen), speed=speed)


def _why(product: str, shape: Shape, others: Sequence[tuple[object, str, Shape]]) -> str:
    count = shape.plan.gpus_per_replica
    if not others:
        return f"{count} x {product}: the only kind of GPU of this cluster that fits"
    _, other, following = others[0]
    then = f"then {following.plan.gpus_per_replica} x {other}, {following.price:g}"
    return f"{count} x {product}: the cheapest of {len(others) + 1} kinds that fit (price rank {shape.price:g}; {then})"


def _nothing(kinds: Sequence[_Kind]) -> Assessment:
    if not kinds:
        return Assessment(
            False,
            Reason.NOTHING_FITS,
            "tensorParallelSize: auto finds no node that the pods could be on with GPUs of which labels tell the kind "
            "and its memory: add one, or set a number and accelerator.product",
        )
    unknown = [one.shape for one in kinds if one.shape and one.fits is None]
    if len(unknown) == len(kinds) and unknown[0].plan.capacity is None:
        plan = unknown[0].plan
        return Assessment(None, plan.reason, plan.message, plan=plan, product=kinds[0].product)
    told = [f"{_name(one)}: {one.why_not}" for one in kinds[:_MOST_TOLD]]
    more = f"; and {len(kinds) - _MOST_TOLD} more kinds" if len(kinds) > _MOST_TOLD else ""
    message = f"tensorParallelSize: auto finds no GPUs of this cluster that fit: {'; '.join(told)}{more}"
    return Assessment(None if unknown else False, Reason.NOTHING_FITS, message)


def _name(kind: _Kind) -> str:
    return f"{kind.shape.plan.gpus_per_replica} x {kind.product}" if kind.shape else kind.product

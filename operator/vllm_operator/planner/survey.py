"""The smallest shape of each kind of GPU that a service fits: so many of them, as its tensor parallel size.

Each is planned like the spec itself. What the GPUs cost, and how many a node has, is given.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..api import InferenceServiceSpec
from ..api.reasons import Reason
from .accelerators import Gpu
from .effective import engine_of
from .plan import Plan, plan
from .quantization import scheme_of
from .rules import Question
from .shapes import ModelShape
from .splits import tensor_sizes

_OF_MEMORY = frozenset({Reason.WEIGHTS_TOO_LARGE, Reason.CONTEXT_TOO_LONG, Reason.WITHIN_MARGIN})
"""What more GPUs may mend."""
GPUS_PER_NODE = 8
"""GPUs of a node, where it is not known."""

PerNode = int | Mapping[str, int] | None
"""GPUs of the largest node; by the name of the GPU, where that is known; None: not known."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The fewest GPUs of a kind that fit; where none do, the most that a node has."""

    tensor: int
    plan: Plan

    @property
    def price(self) -> float:
        """Price rank of one replica, in no unit; infinite where the GPU's is not known."""
        return self.plan.gpu.cost * self.plan.gpus_per_replica

    @property
    def order(self) -> tuple[float, int]:
        """Cheapest first; of equal price, fewer GPUs first."""
        return self.price, self.plan.gpus_per_replica


def survey(spec: InferenceServiceSpec, model: ModelShape, gpus: Iterable[Gpu], per_node: PerNode) -> list[Shape]:
    """One shape for each GPU, in their order, whatever tensor parallel size the spec has."""
    found: list[Shape] = []
    sizes: list[int] = []
    for gpu in gpus:
        sizes = sizes or sizes_of(spec, model, gpu)
        most = known(per_node, gpu)
        room = (
            (most or GPUS_PER_NODE)
            * spec.nodes
            // ((spec.pipeline_parallel_size or 1) * (spec.data_parallel_size or 1))
        )
        planned = partial(_planned, spec, model, (gpu, most))
        found.append(smallest([size for size in sizes if size <= room], planned))
    return found


def _planned(spec: InferenceServiceSpec, model: ModelShape, on: tuple[Gpu, int | None], size: int) -> Plan:
    return plan(sized(spec, size), model, *on)


def known(per_node: PerNode, gpu: Gpu) -> int | None:
    """The most of these GPUs that a node has, where that is known."""
    return per_node.get(gpu.name) if isinstance(per_node, Mapping) else per_node


def sizes_of(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, most: int | None = None) -> list[int]:
    """Tensor parallel sizes that the model can be split by; with `most`, that so many GPUs of a node allow."""
    engine, scheme = engine_of(spec, model, gpu), scheme_of(model, spec.quantization)
    question = Question(spec, model, engine, gpu, scheme, most)
    others = engine.ranks.pipeline * engine.ranks.data
    sizes = tensor_sizes(question, most * spec.nodes // others) if most else tensor_sizes(question)
    return [size for size in sizes if size * others % spec.nodes == 0]


def sized(spec: InferenceServiceSpec, tensor: int) -> InferenceServiceSpec:
    """The spec with another tensor parallel size."""
    return spec.model_copy(update={"tensor_parallel_size": tensor})


def smallest(sizes: Sequence[int], planned: Callable[[int], Plan]) -> Shape:
    """The first of these sizes that fits; without one, the first that more GPUs do not mend, or the last."""
    tried: Shape | None = None
    for size in sizes:
        if tried and size != sizes[-1] and _is_hopeless(tried, size):
            continue
        tried = Shape(size, planned(size))
        if tried.plan.fits or tried.plan.reason not in _OF_MEMORY:
            return tried
    return tried or Shape(1, planned(1))


def _is_hopeless(tried: Shape, size: int) -> bool:
    """Whether a rank's weights alone will be more than the GPU has: no split makes them smaller than their share."""
    capacity = tried.plan.capacity
    return capacity is not None and capacity.memory.weights * tried.tensor > capacity.memory.total * size

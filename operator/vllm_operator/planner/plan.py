"""Whether a service fits a GPU, and what it can serve. Pure arithmetic on the model, the spec and the GPU.

vLLM's own check (v1/core/kv_cache_utils.py) is repeated: what is left of the share of the GPU's memory after weights
and overhead must hold one sequence of the full length, and one block more.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil

from ..api import InferenceServiceSpec
from .accelerators import GIB, Gpu
from .engine import Engine, engine_of
from .kv_cache import KNOWN_KV_DTYPES, Layout, layout
from .overhead import Overhead, overhead
from .quantization import Scheme, method_of, scheme_of
from .refusals import Question, Refusal, first_refusal
from .shapes import Model
from .weights import Storage, Weights, rank_weights

PLANNED_VERSION = "0.26.0"
"""The vLLM whose engines the constants were measured on."""


class Reason(StrEnum):
    """One word for the verdict, where no rule refuses. They are API: conditions carry them."""

    FITS = "Fits"
    WEIGHTS_TOO_LARGE = "WeightsTooLarge"
    CONTEXT_TOO_LONG = "ContextTooLong"
    WITHIN_MARGIN = "WithinMargin"
    UNKNOWN_QUANTIZATION = "QuantizationNotPlanned"
    UNKNOWN_KV_DTYPE = "KVCacheTypeNotPlanned"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A change of the service with which it fits."""

    change: str
    """What to write, or which GPU to take."""
    gpu: str
    gpus_per_replica: int
    kv_cache_tokens: int
    max_concurrency: float
    max_model_len: int
    loss: int
    """How much is given up: 0 nothing, then more."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest GPU of a replica."""

    total: int
    requested: int
    """The share that vLLM may use."""
    weights: int
    activation: int
    graphs: int
    other: int
    kv_cache: int

    @property
    def overhead(self) -> int:
        """What vLLM needs besides weights and KV cache."""
        return self.activation + self.graphs + self.other


@dataclass(frozen=True, slots=True)
class Plan:
    """The verdict, and what it rests on. Numbers are of one GPU, or of one replica where they say so."""

    fits: bool | None
    """None: unknown, also where it is too close to say."""
    reason: str
    message: str
    gpu: str
    gpus_per_replica: int
    memory: Memory
    kv_cache_tokens: int
    max_concurrency: float
    max_model_len: int
    max_model_len_that_fits: int
    block_size: int
    margin_bytes: int
    approximate: bool
    vllm_version: str = PLANNED_VERSION
    alternatives: tuple[Alternative, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Budget:
    """What the stages of a replica have for the KV cache; all get as many blocks as the poorest."""

    weights: Weights
    overhead: Overhead
    layout: Layout
    requested: int
    available: int


def plan(spec: InferenceServiceSpec, model: Model, gpu: Gpu, gpus_per_node: int | None = None) -> Plan:
    """The plan for one service, without alternatives (see alternatives.py). Takes well under a millisecond."""
    engine = engine_of(spec, model, gpu)
    scheme = scheme_of(model, spec.quantization)
    refusal = first_refusal(Question(spec, model, engine, gpu, scheme, gpus_per_node))
    if refusal and engine.ranks.pipeline > len(model.layers):
        return _without_numbers(refusal, engine, gpu)
    used = scheme or Scheme("unknown", 16)
    budgets = [_budget(model, engine, gpu, used, stage) for stage in range(engine.ranks.pipeline)]
    poorest = min(budgets, key=lambda budget: budget.available)
    result = _verdict(model, engine, gpu, poorest)
    if refusal:
        return _changed(result, False, refusal.rule, refusal.message)
    if scheme is None:
        name = method_of(model) or str(spec.quantization)
        message = f"the planner does not know how {name} stores weights, so it cannot say whether the model fits"
        return _changed(result, None, Reason.UNKNOWN_QUANTIZATION, message)
    if engine.kv_dtype not in KNOWN_KV_DTYPES:
        message = f"the planner does not know how large a KV cache of type {engine.kv_dtype} is"
        return _changed(result, None, Reason.UNKNOWN_KV_DTYPE, message)
    return result


def _budget(model: Model, engine: Engine, gpu: Gpu, scheme: Scheme, stage: int) -> _Budget:
    weights = rank_weights(model, storage(scheme, gpu), engine.ranks, stage)
    extra = overhead(model, engine)
    requested = ceil(gpu.total_bytes * engine.utilization)
    left = requested - weights.total - extra.total
    return _Budget(weights, extra, layout(model, engine, stage), requested, engine.kv_cache_bytes or left)


def storage(scheme: Scheme, gpu: Gpu) -> Storage:
    """How the GPU's kernels want the matrices: MXFP4 experts are padded to the tile of the kernel that vLLM picks."""
    return Storage(scheme, (1, 64) if gpu.capability == (9, 0) else (256, 128))


def _verdict(model: Model, engine: Engine, gpu: Gpu, budget: _Budget) -> Plan:
    available, places = budget.available, budget.layout
    margin = _margin(model, gpu, budget)
    longest = places.longest(available, model.longest, engine)
    length = max(1, min(engine.max_model_len, longest)) if engine.auto else engine.max_model_len
    tokens, concurrency = places.tokens(available, length, engine)
    needed = places.needed_bytes(1 if engine.auto else length, engine)
    spare = available - needed
    fits = None if abs(spare) < margin else spare >= 0
    reason, message = _words(model, engine, gpu, (fits, longest, needed, available, margin, concurrency))
    memory = Memory(
        gpu.total_bytes, budget.requested, budget.weights.total, budget.overhead.activation, budget.overhead.graphs,
        budget.overhead.other, max(0, available),
    )  # fmt: skip
    block = max((group.block_size for group in places.groups), default=0)
    return Plan(
        fits, reason, message, gpu.name, engine.ranks.gpus, memory, tokens, concurrency, length, longest, block, margin,
        model.approximate,
    )  # fmt: skip


def _margin(model: Model, gpu: Gpu, budget: _Budget) -> int:
    """How far the budget may be off: overhead is the uncertain part."""
    part = 0.05 if not model.approximate else 0.5
    weights = 0.1 * budget.weights.total if model.approximate else 0
    return int(part * budget.overhead.total + weights + gpu.margin * gpu.total_bytes)


Numbers = tuple[bool | None, int, int, int, int, float]


def _words(model: Model, engine: Engine, gpu: Gpu, numbers: Numbers) -> tuple[Reason, str]:
    fits, longest, needed, available, margin, concurrency = numbers
    count = engine.ranks.gpus
    each = f"each {gpu.name}" if count > 1 else gpu.name
    if fits:
        return Reason.FITS, f"fits {each}: {concurrency:.2f} sequences of {engine.max_model_len:,} tokens at once"
    if fits is None:
        return Reason.WITHIN_MARGIN, (
            f"too close to say: {_gib(needed)} GiB of KV cache are needed and {_gib(available)} GiB are expected to be "
            f"left of {each}, give or take {_gib(margin)} GiB"
        )
    if available <= 0 or longest == 0:
        return Reason.WEIGHTS_TOO_LARGE, (
            f"weights and overhead leave no memory for the KV cache: {_gib(-min(0, available))} GiB are missing "
            f"on {each}"
        )
    return Reason.CONTEXT_TOO_LONG, (
        f"one sequence of {engine.max_model_len:,} tokens needs {_gib(needed)} GiB of KV cache and {each} has "
        f"{_gib(available)} GiB left: set maxModelLen to at most {longest}"
    )


def _gib(count: int) -> str:
    return f"{count / GIB:.2f}"


def _changed(result: Plan, fits: bool | None, reason: str, message: str) -> Plan:
    return Plan(
        fits, reason, message, result.gpu, result.gpus_per_replica, result.memory, result.kv_cache_tokens,
        result.max_concurrency, result.max_model_len, result.max_model_len_that_fits, result.block_size,
        result.margin_bytes, result.approximate,
    )  # fmt: skip


def _without_numbers(refusal: Refusal, engine: Engine, gpu: Gpu) -> Plan:
    memory = Memory(gpu.total_bytes, ceil(gpu.total_bytes * engine.utilization), 0, 0, 0, 0, 0)
    return Plan(
        False, refusal.rule, refusal.message, gpu.name, engine.ranks.gpus, memory, 0, 0.0, engine.max_model_len, 0, 0,
        0, False,
    )  # fmt: skip

"""Whether a service fits a GPU, and what it can serve. Pure arithmetic on the model, the spec and the GPU.

vLLM's own check (v1/core/kv_cache_utils.py) is repeated: what is left of the share of the GPU's memory after weights
and overhead must hold one sequence of the full length, and one block more.
"""

from dataclasses import dataclass, replace
from math import ceil

from ..api import InferenceServiceSpec
from ..api.reasons import Reason
from . import slices
from .accelerators import GIB, MIB, Gpu
from .asked import HYBRID_OFF, as_asked, may_be_one_kind
from .drafts import with_draft
from .effective import BLOCKS, EngineSettings, engine_of
from .headers import Weighed, weighed
from .kv_cache import KNOWN_KV_DTYPES, Layout, layout
from .margin import Case, margin_bytes, reasons, two_sided_bytes
from .overhead import CPU_STARTED_BYTES, STARTED_BYTES, Overhead, overhead
from .quantization import Scheme, method_of, scheme_of
from .refusals import first_refusal
from .rules import SPLITS, Question
from .shapes import Cached, ModelShape
from .tiles import FLASHINFER_TILE, MARLIN_TILES, Fp4, Tiles
from .uncounted import uncounted
from .versions import is_since
from .weights import Storage

MACHETE_GROUPS = frozenset({-1, 0, 64, 128})
"""Inputs to a scale that Machete takes (quantization/utils/machete_utils.py); Marlin has the others."""

_FLASHINFER = ("auto", "flashinfer_trtllm", "flashinfer_cutedsl")
"""Values of --moe-backend with which FlashInfer's kernels that pad have the experts."""


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
    left: int
    """What remains for the KV cache; negative where weights and overhead alone are more than the share."""

    @property
    def overhead(self) -> int:
        """What vLLM needs besides weights and KV cache."""
        return self.activation + self.graphs + self.other

    @property
    def kv_cache(self) -> int:
        """Size of the KV cache."""
        return max(0, self.left)

    @property
    def used(self) -> int:
        """All of it together."""
        return self.weights + self.overhead + self.kv_cache


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a replica can serve, and where its memory goes."""

    memory: Memory
    kv_cache_tokens: int
    """Tokens that the KV cache holds, as vLLM prints it; 0 for a model without one."""
    max_concurrency: float | None
    """Sequences of full length at once; None for a model without a KV cache."""
    max_model_len: int
    """Longest sequence in tokens; with maxModelLen auto, what vLLM makes of it."""
    max_model_len_that_fits: int
    """Longest that vLLM would estimate as fitting, up to the model's own limit; 0: not even one token."""
    safe_max_model_len: int
    """The same, with the margin of error taken off: what to set."""
    block_size: int
    needed_bytes: int
    """Least KV cache with which vLLM starts."""
    margin_bytes: int
    """How far the budget of the KV cache may be off."""
    learned_bytes: int = 0
    """By how much what other engines got has moved the budget; at most the margin."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The verdict, and what it rests on."""

    fits: bool | None
    """None: unknown, also where it is too close to say."""
    reason: Reason
    message: str
    gpu: Gpu
    gpus_per_replica: int
    capacity: Capacity | None
    """None where a replica could not be laid out at all."""
    approximate: tuple[str, ...]
    """Why the numbers are approximate, as clauses; none where they are not."""
    vllm_version: str
    """The vLLM whose measurements were used."""

    @property
    def note(self) -> str:
        """That the numbers are approximate, and why; "" where they are not, or there are none."""
        return (
            f"the numbers are approximate: {'; '.join(self.approximate)}" if self.approximate and self.capacity else ""
        )


@dataclass(frozen=True, slots=True)
class _Budget:
    """What a stage of a replica has for the KV cache; all stages get as many blocks as the poorest."""

    weighed: Weighed
    overhead: Overhead
    layout: Layout
    requested: int
    available: int

    @property
    def blocks(self) -> float:
        """Blocks that it holds."""
        return self.available / self.layout.block_bytes if self.layout.block_bytes else self.available

    @property
    def taken(self) -> int:
        """Bytes that a GPU of the stage has to hold."""
        return self.weighed.weights.total + self.overhead.total + self.available


def plan(
    spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, gpus_per_node: int | None = None, learned: int = 0
) -> Plan:
    """The plan for one service on one kind of GPU. `gpus_per_node`: of the largest node, where it is known.

    `learned`: bytes of KV cache on a GPU that other engines got more, or less, than planned.
    """
    best = _plan(spec, model, gpu, gpus_per_node, learned)
    doubt = may_be_one_kind(spec, model)
    if not doubt or best.fits is False:
        return best
    whole = spec.model_copy(update={"extra_args": [*(spec.extra_args or []), f"--{HYBRID_OFF}"]})
    worst = _plan(whole, model, gpu, gpus_per_node, learned)
    worst = replace(worst, approximate=(*worst.approximate, doubt))
    if worst.fits is not False:
        return worst
    message = f"{doubt}: if it does, vLLM does not start"
    return replace(worst, fits=None, reason=Reason.UNKNOWN_SETTING, message=message)


def _plan(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, gpus_per_node: int | None, learned: int) -> Plan:
    model = as_asked(spec, model)
    engine = _with_sparse_cache(engine_of(spec, model, gpu), model, gpu)
    model = replace(model, dtype=engine.dtype)  # whatever the checkpoint has, weights are loaded as this
    scheme = scheme_of(model, spec.quantization)
    question = Question(spec, model, engine, gpu, scheme, gpus_per_node)
    refusal = slices.check(question) or first_refusal(question)
    unknown = _unknown(spec, model, engine, scheme)
    gpus, doubt = engine.ranks.gpus, (model.approximate,) if model.approximate else ()
    if refusal and (unknown or refusal.rule in SPLITS):
        return Plan(False, refusal.rule, refusal.message, gpu, gpus, None, doubt, engine.release.version)
    if unknown or scheme is None:
        reason, message = unknown or (Reason.UNKNOWN_QUANTIZATION, "")
        return Plan(None, reason, message, gpu, gpus, None, doubt, engine.release.version)
    budgets = [_budget(model, engine, gpu, scheme, stage) for stage in range(engine.ranks.pipeline)]
    budget = min(budgets, key=lambda budget: (budget.blocks, -budget.taken))
    result = _taught(model, engine, gpu, budget, learned)
    if engine.blocks and not result.fits:
        result = replace(
            result, message=f"{result.message}; --{BLOCKS} sets it: use kvCache.memoryPerGPU, or leave it out"
        )
    if not budget.weighed.sure:
        result = _unsure(result, budget.weighed.why)
    if refusal:
        return replace(result, fits=False, reason=refusal.rule, message=refusal.message)
    requested = budgets[0].requested
    if share := slices.over_share(engine, gpu, requested) or _share_is_taken(engine, gpu, requested):
        return replace(result, fits=False, reason=Reason.SHARE_TOO_LARGE, message=share)
    return result


# The vLLM whose source says so; earlier ones that were looked at have it otherwise, or not at all.
_READ = (0, 32)
_FP8_BY_DEFAULT = frozenset({"GlmMoeDsaForCausalLM"})
"""Models whose KV cache is fp8 on GPUs of compute capability 10, where nobody says another (models/config.py)."""
# Types of the cache of sparse latent attention for which some GPUs have a format of their own, by their capability's
# first number (layers/attention/mla_attention.py, `_canonicalize_sparse_mla_kv_cache_dtype`).
_PACKED = {9: frozenset({"fp8", "fp8_e4m3"}), 12: frozenset({"auto", "fp8", "fp8_e4m3"})}


def _with_sparse_cache(engine: EngineSettings, model: ModelShape, gpu: Gpu) -> EngineSettings:
    """With the format that the KV cache of sparse latent attention has on the GPU."""
    major = gpu.capability[0]
    by_default = model.architecture in _FP8_BY_DEFAULT and is_since(engine.version, _READ)
    if engine.kv_dtype == "auto" and major == 10 and by_default:
        return replace(engine, kv_dtype="fp8_e4m3")
    sparse = any(cache.kind is Cached.INDEX and cache.token_bytes for layer in model.layers for cache in layer.more)
    packed = sparse and engine.kv_dtype in _PACKED.get(major, ())
    return replace(engine, kv_dtype="fp8_ds_mla") if packed else engine


def _unsure(result: Plan, why: str) -> Plan:
    """Neither yes nor no, and no numbers: what they would rest on is a guess."""
    message = f"{why}: whether it fits can be told only from the checkpoint's safetensors headers"
    return replace(result, fits=None, reason=Reason.UNKNOWN_ARCHITECTURE, message=message, capacity=None)


def _share_is_taken(engine: EngineSettings, gpu: Gpu, requested: int) -> str | None:
    """vLLM refuses where less is free at its start than its share (v1/worker/utils.py; on the CPU, v1/worker)."""
    started = CPU_STARTED_BYTES if engine.on_cpu else STARTED_BYTES
    if requested <= gpu.total_bytes - started or (engine.on_cpu and engine.kv_cache_bytes):
        return None
    most = int(100 * (gpu.total_bytes - 2 * started) / gpu.total_bytes)
    return (
        f"vLLM is to take {_size(requested)} of {gpu.name}'s {_size(gpu.total_bytes)}, and its processes take "
        f"{_size(started)} or more before: set kvCache.gpuMemoryUtilizationPercent to at most {max(1, most)}"
    )


def _unknown(
    spec: InferenceServiceSpec, model: ModelShape, engine: EngineSettings, scheme: Scheme | None
) -> tuple[Reason, str] | None:
    """Why nothing can be reckoned; None: it can."""
    if scheme is None:
        name = method_of(model) or str(spec.quantization)
        return Reason.UNKNOWN_QUANTIZATION, (
            f"the planner does not know how {name} stores weights, so it cannot say whether the model fits"
        )
    if scheme.rules.undecided:
        return Reason.UNKNOWN_QUANTIZATION, (
            f"the planner cannot run a pattern in the {scheme.method} settings of config.json, so it does not know "
            "which weights are quantized"
        )
    if engine.kv_dtype not in KNOWN_KV_DTYPES:
        return Reason.UNKNOWN_KV_DTYPE, f"the planner does not know how large a KV cache of type {engine.kv_dtype} is"
    layers, stages = len(model.layers), engine.ranks.pipeline
    if stages > layers:
        message = f"the planner does not know what vLLM does with {layers} layers in {stages} pipeline stages"
        return Reason.UNKNOWN_PIPELINE, message
    said = uncounted(spec, model)
    return (Reason.UNKNOWN_SETTING, said) if said else None


def _budget(model: ModelShape, engine: EngineSettings, gpu: Gpu, scheme: Scheme, stage: int) -> _Budget:
    found = weighed(model, engine, storage(scheme, engine), stage)
    extra = overhead(model, engine, scheme, stage)
    requested = ceil(gpu.total_bytes * engine.utilization)
    left = requested - found.weights.total - extra.total
    places = layout(with_draft(model, engine), engine, stage)
    own = engine.blocks * places.block_bytes if engine.blocks else engine.kv_cache_bytes
    return _Budget(found, extra, places, requested, own or left)


def storage(scheme: Scheme, engine: EngineSettings) -> Storage:
    """How the kernels that vLLM picks for the GPU want the matrices: tiles of experts, and zero points."""
    # GPTQ's zero points are all alike: no kernel reads them, and they stay packed.
    wide = engine.capability == (9, 0) and scheme.group in MACHETE_GROUPS and scheme.method != "gptq"
    return Storage(scheme, _tiles(engine), wide)


def _tiles(engine: EngineSettings) -> Tiles:
    """FlashInfer's kernels are of compute capability 10 and take no adapters; before it, NVFP4 is Marlin's
    (layers/fused_moe/oracle/unquantized.py, nvfp4.py, mxfp4.py)."""
    mxfp4 = (1, 64) if engine.capability == (9, 0) and not engine.lora else MARLIN_TILES
    major, named = engine.capability[0], engine.moe_backend
    if not is_since(engine.version, _READ):
        return Tiles(mxfp4)
    if major == 10 and not engine.lora and named in _FLASHINFER:
        return Tiles(mxfp4, Fp4.FLASHINFER, FLASHINFER_TILE)
    marlin = 0 < major < 10 or engine.lora or named == "marlin"
    return Tiles(mxfp4, Fp4.MARLIN if marlin else Fp4.NONE)


def _taught(model: ModelShape, engine: EngineSettings, gpu: Gpu, budget: _Budget, learned: int) -> Plan:
    """The verdict with what is learned, within the margin: what others say alone keeps nothing from running."""
    result = _verdict(model, engine, gpu, budget)
    if not learned or engine.sets_cache or result.capacity is None:
        return result
    most = result.capacity.margin_bytes
    moved = max(-most, min(most, learned))
    extra = replace(budget.overhead, other=budget.overhead.other - moved)
    again = _verdict(model, engine, gpu, replace(budget, overhead=extra, available=budget.available + moved))
    capacity = replace(again.capacity or result.capacity, margin_bytes=most, learned_bytes=moved)
    fits = None if result.fits is None and again.fits is False else again.fits
    reason, message = _words(capacity, gpu, engine.ranks.gpus, fits=fits)
    return replace(again, fits=fits, reason=reason, message=message, capacity=capacity)


def _verdict(model: ModelShape, engine: EngineSettings, gpu: Gpu, budget: _Budget) -> Plan:
    capacity, case = _capacity(model, engine, gpu, budget), _case(model, engine, gpu, budget)
    spare, exact = capacity.memory.left - capacity.needed_bytes, False
    if engine.sets_cache:
        # vLLM takes it without asking whether the rest has room beside it; what it holds is no estimate.
        exact = spare < 0
        spare = spare if exact else slices.room(gpu) - capacity.memory.used
    fits = None if -two_sided_bytes(case) < spare < capacity.margin_bytes and not exact else spare >= 0
    if fits is False and model.approximate and not _too_large(budget, gpu):
        fits = None  # only the weights are known, from their bytes
    reason, message = _words(capacity, gpu, engine.ranks.gpus, fits=fits)
    return Plan(fits, reason, message, gpu, engine.ranks.gpus, capacity, reasons(case), engine.release.version)


def _case(model: ModelShape, engine: EngineSettings, gpu: Gpu, budget: _Budget) -> Case:
    needed = budget.layout.needed_bytes(engine.max_model_len, engine)
    return Case(model, engine, gpu, budget.weighed, budget.overhead, needed)


def _too_large(budget: _Budget, gpu: Gpu) -> bool:
    """Whether the weights alone, at the least that they can be, are more than vLLM may use."""
    weights = budget.weighed.weights
    least = weights.parameters - weights.offloaded - budget.weighed.margin
    return least > min(budget.requested, gpu.total_bytes)


def _capacity(model: ModelShape, engine: EngineSettings, gpu: Gpu, budget: _Budget) -> Capacity:
    available, places = budget.available, budget.layout
    margin = margin_bytes(_case(model, engine, gpu, budget))
    limit = max(model.longest, engine.max_model_len)
    longest = places.longest(available, limit, engine) if available >= 0 else 0
    length = max(1, min(engine.max_model_len, longest)) if engine.auto else engine.max_model_len
    tokens, concurrency = places.tokens(available, length, engine)
    engines = engine.ranks.data
    memory = Memory(
        gpu.total_bytes, budget.requested, budget.weighed.weights.total, budget.overhead.activation,
        budget.overhead.graphs, budget.overhead.other, available,
    )  # fmt: skip
    return Capacity(
        memory, engines * tokens, engines * concurrency if places.groups else None, length, longest,
        places.longest(available - margin, limit, engine) if available >= margin else 0,
        max((group.block_size for group in places.groups), default=0),
        places.needed_bytes(1 if engine.auto else length, engine), margin,
    )  # fmt: skip


def _words(capacity: Capacity, gpu: Gpu, gpus: int, *, fits: bool | None) -> tuple[Reason, str]:
    each, memory = f"each {gpu.name}" if gpus > 1 else gpu.name, capacity.memory
    needed, left, length = _size(capacity.needed_bytes), _size(memory.kv_cache), f"{capacity.max_model_len:,} tokens"
    if fits and capacity.max_concurrency is None:
        return Reason.FITS, f"fits {each}; the model keeps no KV cache"
    if fits:
        return Reason.FITS, f"fits {each}: {capacity.max_concurrency:.2f} sequences of {length} at once"
    if fits is None:
        return Reason.WITHIN_MARGIN, (
            f"too close to say: {needed} of KV cache are needed and {left} are expected to be left of {each}, "
            f"give or take {_size(capacity.margin_bytes)}"
        )
    most = slices.room(gpu)
    if memory.used > most or memory.left <= 0 or capacity.max_model_len_that_fits == 0:
        rest = f"and the KV cache of {left} " if memory.left > 0 else ""
        return Reason.WEIGHTS_TOO_LARGE, (
            f"weights of {_size(memory.weights)}, overhead of {_size(memory.overhead)} {rest}do not fit the "
            f"{_size(min(memory.requested, most))} that vLLM may use of {each}"
        )
    return Reason.CONTEXT_TOO_LONG, (
        f"one sequence of {length} needs {needed} of KV cache and {each} has {left} left, enough for "
        f"{capacity.max_model_len_that_fits:,} tokens"
    )


def _size(count: int) -> str:
    """For people: GiB, or MiB where that would hide a small number."""
    return f"{count / GIB:.2f} GiB" if count >= GIB / 10 or count <= 0 else f"{count / MIB:.2f} MiB"

"""What vLLM makes of the spec: its own defaults for the GPU at hand, filled in. Nothing of memory is decided here.

Defaults: vLLM 0.26 to 0.32, engine/arg_utils.py (`get_batch_defaults`), config/cache.py, config/vllm.py.
"""

import json
from dataclasses import dataclass
from typing import Any

from ..api import InferenceServiceSpec
from ..api.base import bytes_of
from ..api.speculation import Speculative
from ..api.tuning import Compilation, Tuning
from .accelerators import GIB, Gpu
from .extras import switch_of, value_of, variable_of
from .items import least_batch
from .quantization import kv_dtype_of
from .shapes import Cached, ModelShape
from .uncounted import unmeasured
from .versions import Planned, Release, planned_for
from .weights import Ranks

UTILIZATION_PERCENT = 92
BLOCK_SIZE = 16
CPU_BLOCK_SIZE = 128
DEFAULT_LORA_RANK = 16
BLOCKS = "num-gpu-blocks-override"
# Mixture-of-experts models that the second model runner of vLLM 0.26 serves by default; it serves all dense ones.
_V2_EXPERTS = frozenset({"DeepseekV2ForCausalLM", "GraniteMoeForCausalLM", "Qwen2MoeForCausalLM"})

# Ways to speculate that only the first model runner knows (config/vllm.py).
_FIRST_RUNNER_DRAFTS = frozenset({"suffix", "medusa", "mlp_speculator"})

_POOLING_TYPES = ("pooling_type", "seq_pooling_type", "tok_pooling_type")
_OF_TOKENS = frozenset({"ALL", "STEP"})
_OF_ALL = frozenset({"CLS", "MEAN", "STEP"})
"""Ways to pool for which vLLM reads a prompt in one go."""
_BY_STEPS = "ForProcessRewardModel"
"""Models that are pooled by steps unless they are told otherwise."""

# Models that vLLM does not run with float16 (config/model.py), and what people call them.
UNSTABLE_IN_FLOAT16 = {
    "Gemma2ForCausalLM": "Gemma 2", "Gemma3ForCausalLM": "Gemma 3", "Gemma3ForConditionalGeneration": "Gemma 3",
    "Glm4ForCausalLM": "GLM-4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Adapters beside the model."""

    rank: int
    slots: int
    """Adapters on the GPU at once."""
    sharded: bool = False
    """Whether ranks share out what each would have whole otherwise (--fully-sharded-loras)."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """vLLM's effective settings for one replica."""

    ranks: Ranks
    max_model_len: int
    """Longest sequence; with `auto`, the longest that is tried."""
    auto: bool
    """Whether vLLM shortens it to what fits."""
    max_num_seqs: int
    max_num_batched_tokens: int
    utilization: float
    kv_cache_bytes: int | None
    """Size of the KV cache on each GPU, where the user sets it."""
    offloaded_bytes: int
    """Weights of each GPU's share that the host's memory is to hold."""
    kv_dtype: str
    block_size: int
    prefix_caching: bool
    eager: bool
    quantization: str | None
    """What the user asks for."""
    dtype: str
    lora: LoraSettings | None
    speculative_tokens: int
    speculative_method: str | None
    draft_ranks: int | None
    """GPUs that a draft model is split over, where the user says so."""
    draft_logits: bool
    """Whether a draft model's logits are kept for each token that it guesses."""
    second_runner: bool
    """Whether vLLM uses its second model runner."""
    on_cpu: bool
    planned: Planned
    """The vLLM whose measurements are used."""
    capability: tuple[int, int]
    """CUDA's compute capability; (0, 0) where there is none, or it is not known."""
    most_graph_tokens: int | None = None
    """The largest batch that graphs are captured for, where the user sets it; 0: there are none."""
    own_graph_sizes: tuple[int, ...] = ()
    """The batches that graphs are captured for, where the user names them, smallest first."""
    tuned: str = ""
    """What of the spec has vLLM take other memory than what was measured; "" for nothing."""
    blocks: int | None = None
    """Blocks of the KV cache, where the user sets their number; it goes before bytes."""
    chunked: bool = True
    """Whether a prompt may be read in parts, over several batches; otherwise a batch holds the longest."""
    async_scheduling: bool = True
    """Whether a batch is scheduled before the one before it has ended."""
    moe_backend: str = "auto"
    """The kernel of experts that the user names."""
    fuses_sums: bool = True
    """Whether a sum over ranks and the norm after it are one kernel, where the GPU has such a one."""

    @property
    def release(self) -> Release:
        """The row of the table of versions."""
        return self.planned.release

    @property
    def version(self) -> str | None:
        """Of vLLM; None: the image's tag does not tell it."""
        return self.planned.version

    @property
    def sets_cache(self) -> bool:
        """Whether the user sets the size of the KV cache, so that vLLM does not ask what is left for it."""
        return bool(self.kv_cache_bytes or self.blocks)

    @property
    def in_flight_tokens(self) -> int:
        """Tokens scheduled and not yet settled: a batch for each step under way (config/vllm.py)."""
        pipeline = batches = self.ranks.pipeline
        if self.async_scheduling:
            batches = pipeline + 1 if self.second_runner else 2 if pipeline == 1 else pipeline
        return batches * self.max_num_batched_tokens


def engine_of(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu) -> EngineSettings:
    """The settings for a service of this model on this GPU."""
    ranks = Ranks(
        spec.tensor_size, spec.pipeline_parallel_size or 1, bool(spec.expert_parallel), spec.data_parallel_size or 1
    )
    on_cpu = spec.accelerator.resource == "cpu"
    length = spec.max_model_len if isinstance(spec.max_model_len, int) else model.default_length
    chunked = _chunked(spec, model)
    seqs, tokens = _batch(spec, gpu, ranks, length, max(least_batch(spec, model), 0 if chunked else length))
    cache = spec.kv_cache
    kv_dtype = (cache.dtype if cache else None) or "auto"
    planned = planned_for(spec.image)
    return EngineSettings(
        ranks=ranks,
        max_model_len=length,
        auto=spec.max_model_len == "auto",
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        utilization=((cache and cache.gpu_memory_utilization_percent) or UTILIZATION_PERCENT) / 100,
        kv_cache_bytes=bytes_of(cache.memory_per_gpu) if cache and cache.memory_per_gpu else None,
        offloaded_bytes=bytes_of(spec.weights_cpu_offload_per_gpu) if spec.weights_cpu_offload_per_gpu else 0,
        kv_dtype=kv_dtype_of(model) if kv_dtype == "auto" else kv_dtype,
        block_size=(cache.block_size if cache else None) or (CPU_BLOCK_SIZE if on_cpu else BLOCK_SIZE),
        prefix_caching=not model.pooling and (cache is None or cache.prefix_caching is not False),
        eager=bool(spec.enforce_eager) or on_cpu or _extra(spec, "optimization-level") == 0,
        quantization=spec.quantization,
        dtype=_dtype(spec, model, gpu),
        lora=_lora(spec),
        **_speculation(spec.speculative),
        second_runner=_second_runner(model, spec, planned.release),
        on_cpu=on_cpu,
        planned=planned,
        capability=gpu.capability,
        most_graph_tokens=_most_graph_tokens(spec),
        own_graph_sizes=_own_graph_sizes(spec),
        tuned=_tuned(spec),
        blocks=_extra(spec, BLOCKS),
        chunked=chunked,
        async_scheduling=switch_of(spec, "async-scheduling") is not False,
        moe_backend=value_of(spec, "moe-backend") or "auto",
        fuses_sums=_passes(spec).get("fuse_allreduce_rms", True),
    )


def _speculation(guess: Speculative | None) -> dict[str, Any]:
    return {
        "speculative_tokens": guess.num_speculative_tokens if guess else 0,
        "speculative_method": guess.method if guess else None,
        "draft_ranks": guess.draft_tensor_parallel_size if guess else None,
        "draft_logits": bool(guess and guess.draft_sample_method == "probabilistic"),
    }


def _lora(spec: InferenceServiceSpec) -> LoraSettings | None:
    if spec.lora is None:
        return None
    rank, slots = spec.lora.max_rank or DEFAULT_LORA_RANK, _extra(spec, "max-loras") or 1
    return LoraSettings(rank, slots, sharded=bool(switch_of(spec, "fully-sharded-loras")))


def _most_graph_tokens(spec: InferenceServiceSpec) -> int | None:
    """Tokens of the largest batch with a graph, where the user says so; 0: there are no graphs."""
    compilation = _compilation(spec)
    sizes, most = compilation.cudagraph_capture_sizes, compilation.max_cudagraph_capture_size
    if compilation.cudagraph_mode == "NONE":
        return 0
    return max(sizes) if sizes else _extra(spec, "max-cudagraph-capture-size") if most is None else most


def _own_graph_sizes(spec: InferenceServiceSpec) -> tuple[int, ...]:
    return tuple(sorted(set(_compilation(spec).cudagraph_capture_sizes or ())))


def _passes(spec: InferenceServiceSpec) -> dict[str, bool]:
    """The passes over the compiled graph that the user switches on or off."""
    return _compilation(spec).pass_config or {}


def _compilation(spec: InferenceServiceSpec) -> Compilation:
    return (spec.tuning.compilation if spec.tuning else None) or Compilation()


def _tuned(spec: InferenceServiceSpec) -> str:
    """The fields, flags and variables by which vLLM takes other memory than what was measured."""
    tuning = spec.tuning or Tuning()
    named = {"tuning.compilation": tuning.compilation, "tuning.attention": tuning.attention}
    return " and ".join([*(name for name, value in named.items() if value), *unmeasured(spec)])


def _extra(spec: InferenceServiceSpec, name: str) -> int | None:
    """The number that extraArgs gives a flag; None: it is not there."""
    value = value_of(spec, name)
    return int(value) if value and value.isdecimal() else None


def _dtype(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu) -> str:
    dtype = spec.dtype if spec.dtype and spec.dtype != "auto" else _own_dtype(model, gpu)
    return {"half": "float16", "float": "float32"}.get(dtype, dtype)


def _own_dtype(model: ModelShape, gpu: Gpu) -> str:
    """The type that vLLM takes where the user names none: GPUs before Ampere have no bfloat16 (config/model.py)."""
    if model.dtype != "bfloat16" or gpu.vendor != "nvidia" or not (0, 0) < gpu.capability < (8, 0):
        return model.dtype
    return "float32" if model.architecture in UNSTABLE_IN_FLOAT16 else "float16"


def _chunked(spec: InferenceServiceSpec, model: ModelShape) -> bool:
    """Whether a prompt may be read in parts (config/model.py, `is_chunked_prefill_supported`)."""
    asked = switch_of(spec, "enable-chunked-prefill")
    if asked is not None or not model.pooling:
        return asked is not False
    return model.causal and not _pools_all(spec, model)


def _pools_all(spec: InferenceServiceSpec, model: ModelShape) -> bool:
    """Whether a prompt's vectors are made one, or scored, only where all of them are there (config/pooler.py)."""
    try:
        said = json.loads(value_of(spec, "pooler-config") or "{}")
    except ValueError:
        return False
    named = {str(said.get(key) or "").upper() for key in _POOLING_TYPES} if isinstance(said, dict) else set[str]()
    by_steps = model.architecture.endswith(_BY_STEPS) and not named & _OF_TOKENS
    return by_steps or bool(named & _OF_ALL)


def _batch(spec: InferenceServiceSpec, gpu: Gpu, ranks: Ranks, length: int, least: int) -> tuple[int, int]:
    """Sequences and tokens of a batch: vLLM's defaults grow with the GPU's memory, and hold `least` tokens."""
    if spec.accelerator.resource == "cpu":
        seqs, tokens = 128 * ranks.engine_gpus, 2048 * ranks.engine_gpus
    elif gpu.total_bytes >= 160 * GIB:
        seqs, tokens = 1024, 16384
    elif gpu.total_bytes >= 70 * GIB and "a100" not in gpu.name.lower():
        seqs, tokens = 1024, 8192
    else:
        seqs, tokens = 256, 2048
    if value_of(spec, "performance-mode") == "throughput":
        seqs, tokens = 2 * seqs, 2 * tokens
    own_seqs, own_tokens = spec.max_num_seqs, spec.max_num_batched_tokens
    seqs = own_seqs or seqs
    tokens = own_tokens or min(max(tokens, least), seqs * length)
    return own_seqs or min(seqs, tokens), tokens


def _second_runner(model: ModelShape, spec: InferenceServiceSpec, release: Release) -> bool:
    asked = variable_of(spec, "VLLM_USE_V2_MODEL_RUNNER")
    if asked in ("0", "1"):
        return asked == "1"
    method = spec.speculative.method if spec.speculative else None
    if release.runner_for_all:
        return method not in _FIRST_RUNNER_DRAFTS
    hybrid = any(layer.cache is not None and layer.cache.kind is Cached.STATE for layer in model.layers)
    dense = model.experts is None
    return not model.pooling and not hybrid and (dense or model.architecture in _V2_EXPERTS) and method != "ngram"

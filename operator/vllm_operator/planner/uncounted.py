"""What extraArgs and env may say that changes memory in ways that no plan counts: where it is too much to say anything,
and where it only widens the margin.

A flag or variable that is allowed and stands neither here nor in `asked.py` or `effective.py` takes no memory of the
GPU, or no more than is counted: tests/planner/test_extras.py has them all.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..api import InferenceServiceSpec
from .asked import kinds_of
from .extras import switch_of, value_of, variable_of
from .quantization import method_of
from .shapes import Cached, ModelShape

_EXCHANGES = ("allgather_reducescatter", "naive")
"""Ways of engines to exchange tokens that take no buffers of their own."""


def _always(_spec: InferenceServiceSpec, _model: ModelShape) -> bool:
    return True


def _exchanges(spec: InferenceServiceSpec, model: ModelShape) -> bool:
    return model.experts is not None and (spec.data_parallel_size or 1) > 1


def _keeps(kind: Cached) -> Callable[[InferenceServiceSpec, ModelShape], bool]:
    return lambda _, model: kind in kinds_of(model)


@dataclass(frozen=True, slots=True)
class Uncounted:
    """A setting with which a plan's numbers would be a guess."""

    does: str
    """What it does, as it follows the name."""
    matters: Callable[[InferenceServiceSpec, ModelShape], bool] = _always
    """For which services it does."""
    but: tuple[str, ...] = ()
    """Values that change nothing."""


FLAGS: dict[str, Uncounted] = {
    "all2all-backend": Uncounted("has buffers of its own on each GPU", _exchanges, _EXCHANGES),
    "decode-context-parallel-size": Uncounted("spreads the KV cache over the ranks", but=("1",)),
    "enable-dbo": Uncounted("computes each batch in two parts with buffers of their own"),
    "enable-eplb": Uncounted("keeps the experts of a layer twice", lambda _, model: model.experts is not None),
    "mamba-block-size": Uncounted("sets how many states are kept", _keeps(Cached.STATE)),
    "mamba-cache-dtype": Uncounted("changes the type of all that a state is made of", _keeps(Cached.STATE), ("auto",)),
    "model-impl": Uncounted("runs the model's class of transformers", but=("auto", "vllm")),
    "moe-backend": Uncounted(
        "decides how MXFP4 experts are padded", lambda _, model: method_of(model) == "mxfp4", ("auto",)
    ),
    "ubatch-size": Uncounted("computes each batch in parts with buffers of their own", but=("0", "1")),
}
VARIABLES: dict[str, Uncounted] = {
    "VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE": Uncounted("sets the size of a buffer on each GPU"),
    "VLLM_MLA_DISABLE": Uncounted("has keys and values of all heads kept", _keeps(Cached.LATENT), ("0",)),
    "VLLM_PP_LAYER_PARTITION": Uncounted(
        "shares the layers out between the pipeline stages", lambda spec, _: (spec.pipeline_parallel_size or 1) > 1
    ),
    "VLLM_SPARSE_INDEXER_MAX_LOGITS_MB": Uncounted("sets the size of a buffer on each GPU", _keeps(Cached.INDEX)),
}

# Other kernels, other graphs, other buffers: each takes some memory that was not measured. With the values that are
# vLLM's own, or whose effect is counted.
UNMEASURED_FLAGS: dict[str, tuple[str, ...]] = {
    "attention-backend": (), "gdn-prefill-backend": (), "kda-decode-backend": ("auto",),
    "kda-prefill-backend": ("auto",), "linear-backend": ("auto",), "logprobs-mode": ("raw_logprobs",),
    "mamba-backend": (), "mamba-ssu-algorithm": ("auto",), "mm-encoder-attn-backend": (), "mm-encoder-attn-dtype": (),
    "moe-backend": ("auto",), "optimization-level": ("0", "2", "3"), "performance-mode": ("balanced", "throughput"),
    "sparse-indexer-topk-backend": ("auto",),
}  # fmt: skip
UNMEASURED_SWITCHES = (
    "disable-custom-all-reduce", "enable-batch-sharded-sampling", "enable-flash-late-interaction", "enable-hc-sp",
    "kv-sharing-fast-prefill", "use-fp64-gumbel",
)  # fmt: skip
UNMEASURED_VARIABLES = (
    "CUDA_MODULE_LOADING", "NCCL_BUFFSIZE", "NCCL_CUMEM_ENABLE", "NCCL_MAX_NCHANNELS", "NCCL_MIN_NCHANNELS",
    "NCCL_NVLS_ENABLE", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF",
    "VLLM_ALLREDUCE_USE_FLASHINFER", "VLLM_ALLREDUCE_USE_SYMM_MEM", "VLLM_BATCH_INVARIANT",
    "VLLM_BLOCKSCALE_FP8_GEMM_FLASHINFER", "VLLM_COMPUTE_NANS_IN_LOGITS", "VLLM_DISABLED_KERNELS",
    "VLLM_DISABLE_PYNCCL", "VLLM_DISABLE_SHARED_EXPERTS_STREAM", "VLLM_ENABLE_FLA_PACKED_RECURRENT_DECODE",
    "VLLM_ENABLE_INDUCTOR_COORDINATE_DESCENT_TUNING", "VLLM_ENABLE_INDUCTOR_MAX_AUTOTUNE",
    "VLLM_FLASHINFER_ALLREDUCE_BACKEND", "VLLM_FLOAT32_MATMUL_PRECISION", "VLLM_GDN_DECODE_KERNEL",
    "VLLM_KV_CACHE_LAYOUT", "VLLM_MARLIN_INPUT_DTYPE", "VLLM_MARLIN_USE_ATOMIC_ADD",
    "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE", "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", "VLLM_MOE_SKIP_PADDING",
    "VLLM_MOE_USE_DEEP_GEMM", "VLLM_RAISE_ON_LOGIT_NANS", "VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD",
    "VLLM_USE_BREAKABLE_CUDAGRAPH", "VLLM_USE_DEEP_GEMM", "VLLM_USE_DEEP_GEMM_E8M0", "VLLM_USE_FLASHINFER_MOE_INT4",
    "VLLM_USE_FLASHINFER_SAMPLER", "VLLM_USE_FUSED_MOE_GROUPED_TOPK", "VLLM_USE_NCCL_SYMM_MEM",
    "VLLM_USE_STANDALONE_COMPILE", "VLLM_USE_TRITON_AWQ", "VLLM_USE_V2_MODEL_RUNNER",
    "VLLM_WEIGHT_OFFLOADING_DISABLE_PIN_MEMORY", "VLLM_WEIGHT_OFFLOADING_DISABLE_UVA",
)  # fmt: skip


def uncounted(spec: InferenceServiceSpec, model: ModelShape) -> str:
    """Why nothing can be said of a service, as a sentence; "" where that is not so."""
    flags = {f"--{name} in extraArgs": (_said(spec, name), row) for name, row in FLAGS.items()}
    variables = {f"{name} in env": (variable_of(spec, name), row) for name, row in VARIABLES.items()}
    for name, (value, row) in {**flags, **variables}.items():
        if value is not None and value not in row.but and row.matters(spec, model):
            return (
                f"{name} {row.does}, which the planner does not count, so it cannot say whether the model fits: leave "
                "it out to have a plan"
            )
    return ""


def unmeasured(spec: InferenceServiceSpec) -> list[str]:
    """The flags and variables of a service with which vLLM takes other memory than what was measured."""
    flags = {name: value_of(spec, name) for name in UNMEASURED_FLAGS}
    values = [f"--{name}" for name, value in flags.items() if value not in (None, *UNMEASURED_FLAGS[name])]
    switches = [f"--{name}" for name in UNMEASURED_SWITCHES if switch_of(spec, name)]
    return values + switches + [name for name in UNMEASURED_VARIABLES if variable_of(spec, name) is not None]


def _said(spec: InferenceServiceSpec, flag: str) -> str | None:
    """The value of a flag, or that a switch is on."""
    return "on" if switch_of(spec, flag) else value_of(spec, flag)

"""The vLLM flags that `extraArgs` may pass on, with the words that each may have.

On the list is what neither loads code, nor names files, nor belongs to the operator or to a field of the spec. It is
an allow-list of full names, because vLLM's parser takes any unambiguous abbreviation (--middlewar=x). What is not on
it is in standings.py, with the reason.
"""

from ..loading import ALLOWED as LOAD_FORMATS
from ..loading import REFUSED as REFUSED_FORMATS
from ..vocabulary import ATTENTION_BACKENDS, MOE_BACKENDS
from .facts import facts

# Flags whose value is a whole number.
INTEGERS = (
    "cp-kv-cache-interleave-size", "cpu-distributed-timeout-seconds", "dbo-decode-token-threshold",
    "dbo-prefill-token-threshold", "dcp-kv-cache-interleave-size", "decode-context-parallel-size",
    "distributed-timeout-seconds", "h11-max-header-count", "h11-max-incomplete-event-size",
    "long-prefill-token-threshold", "mamba-block-size", "mamba-cache-philox-rounds", "max-cpu-loras",
    "max-cudagraph-capture-size", "max-log-len", "max-logprobs", "max-lora-cls-labels", "max-loras",
    "max-num-active-seqs", "max-parallel-loading-workers", "mm-shm-cache-max-object-size-mb",
    "num-gpu-blocks-override", "prefill-schedule-interval", "prefix-cache-retention-interval", "prefix-match-unit",
    "renderer-num-workers", "safetensors-prefetch-num-threads", "seed", "sse-keep-alive-interval", "stream-interval",
    "ubatch-size",
)  # fmt: skip
# A whole number, which may have a unit: 4k, 1.5m, 4K.
SIZES = ("max-num-queued-tokens", "max-num-scheduled-tokens", "safetensors-prefetch-block-size")
# A number with a point or an exponent, too.
FRACTIONS = ("kv-cache-metrics-sample", "mm-processor-cache-gb", "video-pruning-rate", "watermark")
# JSON with nothing in it but numbers and words: an object, or a list.
OBJECTS = (
    "custom-histogram-buckets", "default-chat-template-kwargs", "limit-mm-per-prompt", "override-generation-config",
    "pooler-config",
)  # fmt: skip
LISTS = ("allowed-headers", "allowed-methods", "allowed-origins")
# A word or an URL.
TEXTS = (
    "fingerprint-value", "otlp-traces-endpoint", "response-role", "root-path", "show-hidden-metrics-for-version",
)  # fmt: skip
VALUES = tuple(sorted((*INTEGERS, *SIZES, *FRACTIONS, *OBJECTS, *LISTS, *TEXTS)))

_MAMBA_DTYPES = ("auto", "bfloat16", "float16", "float32")
# Flags that take one of a few words. Words that name a path or a plug-in are left out: a folder for generation-config,
# CUSTOM for attention-backend, torchao for safetensors-load-strategy.
CHOICES: dict[str, tuple[str, ...]] = {
    "all2all-backend": (
        "allgather_reducescatter", "deepep_high_throughput", "deepep_low_latency", "deepep_v2", "flashinfer_all2allv",
        "flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided", "moonep", "mori_high_throughput",
        "mori_low_latency", "naive", "nixl_ep", "pplx",
    ),
    "anthropic-disabled-thinking-effort": ("auto", "none", "low", "medium", "high", "xhigh", "max"),
    "attention-backend": ATTENTION_BACKENDS,
    "chat-template-content-format": ("auto", "openai", "string"),
    "cohere-format": ("cmd3", "cmd4"),
    "collect-detailed-traces": ("all", "model", "worker"),
    "config-format": ("auto", "hf", "mistral"),
    "convert": ("auto", "classify", "embed", "none"),
    "dcp-comm-backend": ("a2a", "ag_rs"),
    "distributed-executor-backend": ("mp", "uni"),
    "expert-placement-strategy": ("linear", "round_robin"),
    "fingerprint-mode": ("custom", "full", "hash", "none"),
    "gdn-prefill-backend": ("aiter_flydsl", "cutedsl", "flashinfer", "triton"),
    "generation-config": ("auto", "vllm"),
    "jit-monitor-mode": ("error", "warn"),
    "kda-decode-backend": ("auto", "flashinfer", "native", "triton"),
    "kda-prefill-backend": ("auto", "flashinfer", "flashkda", "fused", "triton"),
    "linear-backend": (
        "auto", "aiter", "b12x", "conch", "cutlass", "deep_gemm", "emulation", "exllama", "fbgemm", "flashinfer_b12x",
        "flashinfer_cudnn", "flashinfer_cutedsl", "flashinfer_cutlass", "flashinfer_trtllm", "humming", "machete",
        "marlin", "torch", "triton", "xpu", "xpu_woq",
    ),
    "load-format": (*LOAD_FORMATS, "mistral"),
    "log-level": ("CRITICAL", "DEBUG", "ERROR", "INFO", "NOTSET", "WARNING"),
    "logprobs-mode": ("processed_logits", "processed_logprobs", "raw_logits", "raw_logprobs"),
    "lora-dtype": ("auto", "bfloat16", "float16"),
    "mamba-backend": ("flashinfer", "triton"),
    "mamba-cache-dtype": _MAMBA_DTYPES,
    "mamba-cache-mode": ("align", "none"),
    "mamba-ssm-cache-dtype": _MAMBA_DTYPES,
    "mamba-ssu-algorithm": ("auto", "horizontal", "simple", "vertical"),
    "mm-encoder-attn-backend": ("FLASH_ATTN", "TORCH_SDPA", "TRITON_ATTN", "ROCM_AITER_FA", "FLASHINFER"),
    "mm-encoder-attn-dtype": ("fp8",),
    "mm-encoder-tp-mode": ("data", "weights"),
    "mm-hasher-algorithm": ("blake3", "sha256", "sha512"),
    "mm-processor-cache-type": ("lru", "shm"),
    "mm-processor-device": ("auto", "cpu"),
    "mm-tensor-ipc": ("direct_rpc",),
    "model-impl": ("auto", "transformers", "vllm"),
    "moe-backend": MOE_BACKENDS,
    "optimization-level": ("0", "1", "2", "3"),
    "per-request-spec-decode-metrics": ("detailed", "none", "summary"),
    "performance-mode": ("balanced", "interactivity", "throughput"),
    "prefix-caching-hash-algo": ("sha256", "sha256_cbor", "xxhash", "xxhash_cbor"),
    "runner": ("auto", "generate", "pooling"),
    "safetensors-load-strategy": ("eager", "lazy", "prefetch"),
    "scheduling-policy": ("fcfs", "priority"),
    "sparse-indexer-topk-backend": (
        "auto", "aiter", "cooperative", "deep_select", "flashinfer", "per_row", "persistent", "torch",
    ),
    "tokenizer-mode": (
        "auto", "hf", "mistral", "cohere", "deepseek_v32", "deepseek_v4", "deepseek_v41", "inkling",
        "kimi_audio", "kimi_k3",
    ),
    "tool-strict-level": ("auto", "function", "parameter"),
    "uvicorn-log-level": ("critical", "debug", "error", "info", "trace", "warning"),
    "video-pruning-method": ("evs", "vidcom2"),
}  # fmt: skip

# Flags that are switches; all but those that vLLM has no other way for also have a --no- form.
SWITCHES = (
    "aggregate-engine-logging", "allow-credentials", "async-scheduling", "cohere-is-reasoning-model",
    "cudagraph-metrics", "disable-cascade-attn", "disable-chunked-mm-input", "disable-custom-all-reduce",
    "disable-fastapi-docs", "disable-hybrid-kv-cache-manager", "disable-sliding-window", "disable-uvicorn-access-log",
    "enable-batch-sharded-sampling", "enable-chunked-prefill", "enable-dbo", "enable-ep-weight-filter", "enable-eplb",
    "enable-flash-late-interaction", "enable-flashinfer-autotune", "enable-force-include-usage", "enable-hc-sp",
    "enable-log-deltas", "enable-log-outputs",
    "enable-log-requests", "enable-logging-iteration-details", "enable-mamba-cache-stochastic-rounding",
    "enable-mamba-shared-prefix-checkpoint", "enable-mfu-metrics", "enable-offline-docs", "enable-per-request-metrics",
    "enable-prompt-tokens-details", "enable-request-id-headers", "enable-server-load-tracking",
    "enable-tokenizer-info-endpoint", "exclude-tools-when-tool-choice-none", "fail-on-environ-validation",
    "fully-sharded-loras", "interleave-mm-strings", "jit-monitor-verbose", "kv-cache-metrics",
    "kv-sharing-fast-prefill", "language-model-only", "log-error-stack", "long-prefill-token-threshold-adaptive",
    "mm-device-do-normalize", "return-tokens-as-token-ids", "scheduler-reserve-full-isl", "skip-mm-profiling",
    "use-fp64-gumbel", "use-tqdm-on-load",
)  # fmt: skip
# Flags that the platform team allows by a setting, as they write prompts and answers, which are private, into the log.
REQUEST_LOGS = ("--enable-log-deltas", "--enable-log-outputs", "--enable-log-requests", "--max-log-len")
# At these levels vLLM logs whole requests and answers without any of them: entrypoints/anthropic/serving.py and
# api_router.py, entrypoints/cohere/serving.py.
LOG_LEVEL, LOG_LEVEL_VARIABLE = "--log-level", "VLLM_LOGGING_LEVEL"
REQUEST_LOG_LEVELS = ("DEBUG", "NOTSET")
# Words that vLLM takes and we do not: they name a path, a plug-in or Ray, or are for what is refused as a whole.
LEFT_OUT = {
    "attention-backend": ("CUSTOM",),
    "load-format": tuple(word for word in REFUSED_FORMATS if word != "mistral"),
    "mm-tensor-ipc": ("torch_shm",),
    "runner": ("draft",),
    "safetensors-load-strategy": ("torchao",),
}
EXTRA_CHOICE_FLAGS = {f"--{name}": words for name, words in CHOICES.items()}
EXTRA_VALUE_FLAGS = tuple(f"--{name}" for name in (*VALUES, *CHOICES))
EXTRA_SWITCH_FLAGS = tuple(flag for name in SWITCHES for flag in (f"--{name}", facts()[f"--{name}"].negative) if flag)


def logs_requests(argument: str) -> bool:
    """Whether an argument has vLLM write what clients send into the log: such a flag, or such a level of the log."""
    flag, given, level = argument.partition("=")
    # --no-enable-log-requests only says aloud what vLLM does anyway.
    return flag in REQUEST_LOGS or (flag == LOG_LEVEL and (not given or is_request_log_level(level)))


def is_request_log_level(level: str) -> bool:
    """Whether whole requests are logged at this level; vLLM takes its name in any case."""
    return level.strip().upper() in REQUEST_LOG_LEVELS

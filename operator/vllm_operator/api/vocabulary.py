"""The words that fields may hold: vLLM's own values, and the flags that `extraArgs` may pass on.

Read off vLLM 0.32's `vllm serve --help`; a test holds these lists against the parser of the pinned vLLM.
"""

VLLM_VERSION = "0.32.0"

DTYPES = ("auto", "bfloat16", "float16", "half", "float32", "float")

KV_CACHE_DTYPES = (
    "auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_per_token_head", "int8_per_token_head",
    "int4_per_token_head", "nvfp4", "fp8_ds_mla", "nvfp4_ds_mla",
)  # fmt: skip

QUANTIZATIONS = (
    "awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "auto_gptq", "fp8", "fp8_per_tensor", "fp8_per_block",
    "fp8_per_channel", "int8_per_channel_weight_only", "compressed-tensors", "modelopt", "modelopt_fp4",
    "modelopt_mxfp8", "modelopt_mixed", "mxfp4", "gpt_oss_mxfp4", "mxfp8", "nvfp4_per_token", "quark", "moe_wna16",
    "experts_int8", "torchao", "inc", "deepseek_v4_fp8",
)  # fmt: skip
# Gone from vLLM's core; users still ask for them, so the refusal says what to do.
GONE_QUANTIZATIONS = ("bitsandbytes", "gguf")

SPECULATIVE_METHODS = (
    "ngram", "ngram_gpu", "suffix", "draft_model", "eagle", "eagle3", "medusa", "mlp_speculator", "mtp", "deepseek_mtp",
    "qwen3_next_mtp", "glm4_moe_mtp", "ernie_mtp", "mimo_mtp",
)  # fmt: skip
# These guess from the prompt itself and take no draft model; the *mtp ones use the model's own heads.
MODEL_FREE_SPECULATION = ("ngram", "ngram_gpu", "suffix")

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
BLOCK_SIZES = (1, 8, 16, 32, 64, 128, 256)

# Flags that take a value: neither owned by the operator or by a field of the spec, nor able to load code or to name files.
_VALUE_FLAGS = (
    "all2all-backend", "attention-backend", "chat-template-content-format", "convert", "decode-context-parallel-size",
    "default-chat-template-kwargs", "disable-access-log-for-endpoints", "distributed-timeout-seconds",
    "generation-config", "h11-max-header-count", "h11-max-incomplete-event-size", "kv-cache-metrics-sample",
    "limit-mm-per-prompt", "linear-backend", "logprobs-mode", "long-prefill-token-threshold", "lora-dtype",
    "mamba-block-size", "mamba-cache-dtype", "mamba-cache-mode", "mamba-ssm-cache-dtype", "max-cpu-loras",
    "max-cudagraph-capture-size", "max-logprobs", "max-loras", "max-num-queued-tokens", "max-num-scheduled-tokens",
    "max-parallel-loading-workers", "media-io-kwargs", "mm-encoder-attn-backend", "mm-encoder-tp-mode",
    "mm-processor-cache-gb", "mm-processor-cache-type", "mm-processor-kwargs", "moe-backend", "num-gpu-blocks-override",
    "optimization-level", "otlp-traces-endpoint", "override-generation-config", "performance-mode", "pooler-config",
    "prefix-caching-hash-algo", "response-role", "runner", "safetensors-load-strategy", "scheduling-policy", "seed",
    "sse-keep-alive-interval", "stream-interval", "tokenizer-mode", "uvicorn-log-level", "video-pruning-rate",
)  # fmt: skip

# Flags that are switches; each also has a --no- form.
_SWITCH_FLAGS = (
    "async-scheduling", "cudagraph-metrics", "disable-cascade-attn", "disable-chunked-mm-input",
    "disable-custom-all-reduce", "disable-fastapi-docs", "disable-hybrid-kv-cache-manager", "disable-sliding-window",
    "disable-uvicorn-access-log", "enable-chunked-prefill", "enable-dbo", "enable-eplb",
    "enable-flashinfer-autotune", "enable-force-include-usage", "enable-mfu-metrics", "enable-per-request-metrics",
    "enable-prompt-tokens-details", "enable-request-id-headers", "enable-server-load-tracking",
    "exclude-tools-when-tool-choice-none", "fully-sharded-loras", "interleave-mm-strings", "kv-cache-metrics",
    "kv-sharing-fast-prefill", "language-model-only", "log-error-stack", "return-tokens-as-token-ids",
    "skip-mm-profiling", "use-tqdm-on-load",
)  # fmt: skip

EXTRA_VALUE_FLAGS = tuple(f"--{name}" for name in _VALUE_FLAGS)
EXTRA_SWITCH_FLAGS = tuple(f"--{no}{name}" for name in _SWITCH_FLAGS for no in ("", "no-"))

"""The vLLM flags that `extraArgs` may pass on, and what to say about the others.

On the list is what neither loads code, nor names files, nor belongs to the operator or to a field of the spec. It is
an allow-list of full names, because vLLM's parser takes any unambiguous abbreviation (--middlewar=x). Not on it on
purpose: `mm-processor-kwargs` and `media-io-kwargs` (free keyword arguments of classes that load files),
`hf-overrides`, `*-cls`, `*-plugin`, `middleware`, `logits-processors`, `compilation-config`,
`kv-transfer-config` and the other JSON that names modules or classes.
"""

from pydantic import BaseModel

from .base import Rule, rule
from .fields import fields
from .loading import ALLOWED as LOAD_FORMATS

# Flags whose value is a number, an URL, or JSON with nothing in it but numbers and words.
_VALUES = (
    "decode-context-parallel-size", "default-chat-template-kwargs", "distributed-timeout-seconds",
    "h11-max-header-count", "h11-max-incomplete-event-size", "kv-cache-metrics-sample", "limit-mm-per-prompt",
    "long-prefill-token-threshold", "mamba-block-size", "max-cpu-loras", "max-cudagraph-capture-size", "max-logprobs",
    "max-loras", "max-num-queued-tokens", "max-num-scheduled-tokens", "max-parallel-loading-workers",
    "mm-processor-cache-gb", "num-gpu-blocks-override", "otlp-traces-endpoint", "override-generation-config",
    "pooler-config", "response-role", "seed", "sse-keep-alive-interval", "stream-interval", "video-pruning-rate",
)  # fmt: skip

_MAMBA_DTYPES = ("auto", "bfloat16", "float16", "float32")
# Flags that take one of a few words. Words that name a path or a plug-in are left out: a folder for generation-config,
# CUSTOM for attention-backend, torchao for safetensors-load-strategy.
_CHOICES: dict[str, tuple[str, ...]] = {
    "all2all-backend": (
        "allgather_reducescatter", "deepep_high_throughput", "deepep_low_latency", "deepep_v2",
        "flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided", "mori_high_throughput", "mori_low_latency",
        "nixl_ep",
    ),
    "attention-backend": (
        "FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION", "FLASH_ATTN_MLA", "FLASHMLA", "FLASHMLA_SPARSE",
        "FLASHINFER_MLA", "FLASHINFER_MLA_SPARSE", "CUTLASS_MLA", "TRITON_MLA", "ROCM_ATTN", "ROCM_AITER_FA",
        "ROCM_AITER_MLA", "ROCM_AITER_TRITON_MLA", "ROCM_AITER_UNIFIED_ATTN",
    ),
    "chat-template-content-format": ("auto", "openai", "string"),
    "config-format": ("auto", "hf", "mistral"),
    "convert": ("auto", "classify", "embed", "none"),
    "generation-config": ("auto", "vllm"),
    "linear-backend": (
        "auto", "aiter", "cutlass", "deep_gemm", "emulation", "exllama", "fbgemm", "flashinfer_cudnn",
        "flashinfer_cutlass", "flashinfer_trtllm", "machete", "marlin", "torch", "triton",
    ),
    "load-format": (*LOAD_FORMATS, "mistral"),
    "logprobs-mode": ("processed_logits", "processed_logprobs", "raw_logits", "raw_logprobs"),
    "lora-dtype": ("auto", "bfloat16", "float16"),
    "mamba-cache-dtype": _MAMBA_DTYPES,
    "mamba-cache-mode": ("align", "none"),
    "mamba-ssm-cache-dtype": _MAMBA_DTYPES,
    "mm-encoder-attn-backend": ("FLASH_ATTN", "TORCH_SDPA", "TRITON_ATTN", "ROCM_AITER_FA", "FLASHINFER"),
    "mm-encoder-tp-mode": ("data", "weights"),
    "mm-processor-cache-type": ("lru", "shm"),
    "moe-backend": (
        "auto", "aiter", "batched_triton", "cutlass", "deep_gemm", "emulation", "flashinfer_cutedsl",
        "flashinfer_trtllm", "marlin", "triton",
    ),
    "optimization-level": ("0", "1", "2", "3"),
    "performance-mode": ("balanced", "interactivity", "throughput"),
    "prefix-caching-hash-algo": ("sha256", "sha256_cbor", "xxhash", "xxhash_cbor"),
    "runner": ("auto", "generate", "pooling"),
    "safetensors-load-strategy": ("eager", "lazy", "prefetch"),
    "scheduling-policy": ("fcfs", "priority"),
    "tokenizer-mode": ("auto", "hf", "slow", "mistral", "deepseek_v32", "deepseek_v4", "deepseek_v41"),
    "uvicorn-log-level": ("critical", "debug", "error", "info", "trace", "warning"),
}  # fmt: skip

# Flags that are switches; each also has a --no- form.
_SWITCHES = (
    "async-scheduling", "cudagraph-metrics", "disable-cascade-attn", "disable-chunked-mm-input",
    "disable-custom-all-reduce", "disable-fastapi-docs", "disable-hybrid-kv-cache-manager", "disable-sliding-window",
    "disable-uvicorn-access-log", "enable-chunked-prefill", "enable-dbo", "enable-eplb",
    "enable-flashinfer-autotune", "enable-force-include-usage", "enable-mfu-metrics", "enable-per-request-metrics",
    "enable-prompt-tokens-details", "enable-request-id-headers", "enable-server-load-tracking",
    "exclude-tools-when-tool-choice-none", "fully-sharded-loras", "interleave-mm-strings", "kv-cache-metrics",
    "kv-sharing-fast-prefill", "language-model-only", "log-error-stack", "return-tokens-as-token-ids",
    "skip-mm-profiling", "use-tqdm-on-load",
)  # fmt: skip

EXTRA_CHOICE_FLAGS = {f"--{name}": words for name, words in _CHOICES.items()}
EXTRA_VALUE_FLAGS = tuple(f"--{name}" for name in (*_VALUES, *_CHOICES))
EXTRA_SWITCH_FLAGS = tuple(f"--{no}{name}" for name in _SWITCHES for no in ("", "no-"))

_NAME = "self.split('=', 2)[0]"
_SPELLED = r"self.matches(r'^--[^ =]+(=|$)')"
_LISTED = f"{_NAME} in {[*EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS]!r}"
_ITEMS = [f"{name}={word}" for name, words in EXTRA_CHOICE_FLAGS.items() for word in words]


def field_of_flag(spec: type[BaseModel]) -> dict[str, str]:
    """Flags that a user may well write, and the field that carries each: --block-size -> kvCache.blockSize."""
    carried = {}
    for field in fields(spec):
        for flag in field.flags:
            if flag.shared:
                continue
            carried[f"--{flag.name}"] = field.path
            if field.switch:
                carried[f"--no-{flag.name}"] = field.path
    return dict(sorted(carried.items()))


_ONCE = rule(
    "self.map(a, a.split('=', 2)[0]).all(n, self.exists_one(a, a.split('=', 2)[0] == n))",
    "a flag is there twice: keep one of them",
)


def extra_args_rules(spec: type[BaseModel]) -> tuple[list[Rule], list[Rule]]:
    """The rules of one item of extraArgs, and those of the whole list. At most one of an item's rules is false."""
    carried = _cel(field_of_flag(spec))
    words = _cel({name: ", ".join(words) for name, words in EXTRA_CHOICE_FLAGS.items()})
    item = [
        rule(
            _SPELLED,
            "write one flag per item, with two dashes and its value after an equals sign: --seed=1, "
            "not '--seed 1', not -tp, and not the value as an item of its own",
        ),
        rule(
            f"!({_SPELLED}) || !({_NAME} in {carried})",
            "a field of the spec sets this flag: use that",
            message_expression=f"{_NAME} + ' is set by spec.' + {carried}[{_NAME}] + ': use that field'",
        ),
        rule(
            f"!({_SPELLED}) || {_NAME} in {carried} || {_LISTED}",
            "not a flag that extraArgs may pass: it wants vLLM's full flag names, and none that loads code, "
            "names files or belongs to the operator",
            message_expression=f"{_NAME} + ' is not a flag that extraArgs may pass: it wants the full names of "
            "vLLM flags, and none that loads code, names files or belongs to the operator'",
        ),
        rule(
            f"!({_NAME} in {list(EXTRA_SWITCH_FLAGS)!r}) || !self.contains('=')",
            "this flag is a switch: write it without a value; its opposite begins with --no-",
        ),
        rule(
            f"!({_NAME} in {list(EXTRA_VALUE_FLAGS)!r}) || self.matches('=.')",
            "this flag needs a value in the same item, after an equals sign: --flag=value",
        ),
        rule(
            f"!({_NAME} in {words}) || !self.matches('=.') || self in {_ITEMS!r}",
            "this value is not one that the flag may have",
            message_expression=f"{_NAME} + ' must be one of ' + {words}[{_NAME}]",
        ),
    ]
    return item, [_ONCE]


def _cel(words: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in words.items()) + "}"

"""Which vLLM an image has, and which flags came with which release, so that an older image gets none that it lacks.

The oldest vLLM that is supported has its own parser in tests/vllm_parser; what came between it and the pinned one was
read off the releases' sources. A version is known by the tag of an image that is called after vLLM, and by no other.
"""

import re

from ..vocabulary import OLDEST_VLLM_VERSION

# Flags that a field, extraArgs or the operator passes, and words of some, by the first minor release that has them.
SINCE: dict[str, tuple[str, ...]] = {
    "0.12": (
        "cp-kv-cache-interleave-size", "kv-cache-metrics", "kv-cache-metrics-sample", "optimization-level",
        "tokenizer-mode=hf",
    ),
    "0.13": ("attention-backend", "attention-config", "cudagraph-metrics"),
    "0.14": (
        "default-chat-template-kwargs", "enable-log-deltas", "enable-logging-iteration-details", "enable-mfu-metrics",
        "enable-offline-docs", "ubatch-size",
    ),
    "0.15": ("mamba-cache-mode",),
    "0.16": ("disable-access-log-for-endpoints", "enable-flashinfer-autotune"),
    "0.17": ("fail-on-environ-validation", "language-model-only", "moe-backend", "performance-mode"),
    "0.18": (
        "dcp-comm-backend", "distributed-timeout-seconds", "enable-ep-weight-filter", "gdn-prefill-backend",
        "shutdown-timeout",
    ),
    "0.19": ("mm-tensor-ipc", "reasoning-config", "renderer-num-workers", "scheduler-reserve-full-isl"),
    "0.20": (
        "enable-flash-late-interaction", "enable-mamba-cache-stochastic-rounding", "mamba-backend",
        "mamba-cache-philox-rounds",
    ),
    "0.21": (
        "fingerprint-mode", "fingerprint-value", "mm-encoder-attn-dtype", "safetensors-prefetch-block-size",
        "safetensors-prefetch-num-threads",
    ),
    "0.22": ("cpu-distributed-timeout-seconds", "linear-backend", "use-fp64-gumbel"),
    "0.24": ("jit-monitor-verbose", "prefill-schedule-interval", "watermark"),
    "0.25": ("enable-per-request-metrics", "jit-monitor-mode"),
    "0.26": ("max-num-scheduled-tokens", "prefix-match-unit"),
    "0.27": (
        "cohere-format", "cohere-is-reasoning-model", "kda-prefill-backend", "mamba-ssu-algorithm",
        "mm-hasher-algorithm", "video-pruning-method",
    ),
    "0.28": ("mm-device-do-normalize", "mm-processor-device"),
    "0.29": (
        "enable-batch-sharded-sampling", "max-num-queued-reqs", "max-num-queued-tokens",
        "per-request-spec-decode-metrics", "prefix-cache-retention-interval", "sse-keep-alive-interval",
    ),
    "0.30": ("kda-decode-backend", "sparse-indexer-topk-backend"),
    "0.31": (
        "anthropic-disabled-thinking-effort", "enable-mamba-shared-prefix-checkpoint", "log-level",
        "long-prefill-token-threshold-adaptive", "max-lora-cls-labels", "max-num-active-seqs", "tool-strict-level",
    ),
    "0.32": ("custom-histogram-buckets", "enable-hc-sp"),
}  # fmt: skip

_SINCE = {name: release for release, names in SINCE.items() for name in names}
_IMAGE = re.compile(r"(?:^|/)[^/]*vllm[^/:]*:v?([0-9]+)\.([0-9]+)\.([0-9]+)(?![0-9])")


def engine_version(image: str | None) -> str | None:
    """The vLLM that an image like vllm/vllm-openai:v0.22.1 has; None: its tag tells none, and the pinned one counts."""
    found = _IMAGE.search(image or "")
    return ".".join(found.groups()) if found else None


def too_old(image: str | None) -> bool:
    """Whether the image's vLLM is older than the oldest that is supported."""
    version = engine_version(image)
    return version is not None and _numbers(version) < _numbers(OLDEST_VLLM_VERSION)


def needs(flag: str, image: str | None) -> str | None:
    """The release that first had a flag, where the image's vLLM is older; None where it has the flag.

    `flag`: with or without its dashes and its --no-, and with its value.
    """
    version = engine_version(image)
    said = flag.removeprefix("--")
    name = said.split("=", 1)[0]
    since = _SINCE.get(said) or _SINCE.get(name) or _SINCE.get(name.removeprefix("no-"))
    older = version is not None and since is not None and _numbers(version)[:2] < _numbers(since)
    return since if older else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

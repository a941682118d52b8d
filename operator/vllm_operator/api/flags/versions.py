"""Which vLLM an image has, and what came with which release, so that an older image gets nothing that it lacks.

The oldest vLLM that is supported has its own parser in tests/vllm_parser; what came between it and the pinned one was
read off the releases' sources. A version is known by the tag of an image that is called after vLLM, and by no other.
"""

import re
from collections.abc import Iterator

from ..vocabulary import OLDEST_VLLM_VERSION

# Flags that a field, extraArgs or the operator passes, by the first minor release that has them.
SINCE: dict[str, tuple[str, ...]] = {
    "0.12": (
        "cp-kv-cache-interleave-size", "kv-cache-metrics", "kv-cache-metrics-sample", "optimization-level",
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

# In the same way the words of flags, and of keys of their JSON: the parser, or vLLM as it starts, refuses those that it
# does not know (vllm/config, the registries of attention backends, tokenizers, loaders and quantizations).
WORDS_SINCE: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    ("all2all-backend",): {
        "0.18": ("flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided", "nixl_ep"),
        "0.23": ("mori_high_throughput", "mori_low_latency"),
        "0.24": ("deepep_v2",),
        "0.31": ("moonep",),
    },
    ("attention-backend", "attention-config.backend", "speculative-config.attention_backend"): {
        "0.14": ("FLASH_ATTN_DIFFKV",),
        "0.17": ("FLASHINFER_MLA_SPARSE",),
        "0.18": ("XPU_MLA_SPARSE",),
        "0.20": ("TURBOQUANT",),
        "0.21": ("TOKENSPEED_MLA",),
        "0.23": ("FLASHINFER_MLA_SPARSE_DSV4", "FLASHMLA_SPARSE_DSV4", "ROCM_FLASHMLA_SPARSE_DSV4"),
        "0.24": ("FLASHINFER_MLA_SPARSE_SM120", "MINIMAX_M3_SPARSE", "TRITON_ATTN_DIFFKV"),
        "0.25": ("FLASH_ATTN_MLA_SPARSE", "HPC_ATTN"),
        "0.27": ("CUTLASS_MSA", "TRITON_MSA"),
        "0.28": ("CPU_MLA",),
        "0.29": ("AMX_MLA",),
        "0.30": (
            "B12X", "FLASHINFER_MLA_SPARSE_DSV41", "FLASHINFER_MLA_SPARSE_SM90", "FLASHMLA_SPARSE_DSV41",
            "TRITON_FLASHINFER", "TRITON_FLASH_ATTN",
        ),
        "0.31": ("FLASHMLA_MEGA_ATTN_DSV41",),
        "0.32": ("ROCM_SEGMENTED_ATTN", "ULTRAQUANT"),
    },
    ("attention-config.flash_attn_version",): {"0.17": ("4",)},
    ("attention-config.indexer_kv_dtype",): {"0.28": ("auto",)},
    ("attention-config.mla_prefill_backend",): {"0.25": ("ROCM_AITER_FA",)},
    ("gdn-prefill-backend",): {"0.22": ("cutedsl",), "0.32": ("aiter_flydsl",)},
    ("kda-prefill-backend",): {"0.30": ("flashinfer", "fused")},
    ("kv-cache-dtype", "speculative-config.kv_cache_dtype"): {
        "0.18": ("float16",),
        "0.20": (
            "fp8_per_token_head", "int8_per_token_head", "nvfp4", "turboquant_3bit_nc", "turboquant_4bit_nc",
            "turboquant_k3v4_nc", "turboquant_k8v4",
        ),
        "0.25": ("int4_per_token_head",),
        "0.28": ("nvfp4_4over6",),
        "0.30": ("nvfp4_ds_mla",),
        "0.32": ("ultraquant_4bit",),
    },
    ("linear-backend",): {
        "0.24": ("flashinfer_b12x", "flashinfer_cutedsl"),
        "0.25": ("humming", "xpu", "xpu_woq"),
        "0.28": ("b12x",),
    },
    ("load-format",): {"0.12": ("hf",), "0.18": ("instanttensor",)},
    ("mamba-cache-dtype", "mamba-ssm-cache-dtype"): {"0.13": ("float16",), "0.22": ("bfloat16",)},
    ("max-model-len",): {"0.14": ("auto",)},
    ("moe-backend", "speculative-config.moe_backend"): {
        "0.20": ("deep_gemm_mega_moe", "emulation"),
        "0.21": ("humming", "triton_unfused"),
        "0.22": ("flashinfer_b12x",),
        "0.24": ("flydsl",),
        "0.25": ("hpc",),
        "0.27": ("batched_triton",),
        "0.29": ("b12x", "flashinfer_moe_ep_mega_deep_gemm"),
        "0.30": ("aiter_triton_mxfp4_bf16", "rdna3"),
        "0.32": ("aiter_mega_moe", "flashinfer_moe_ep_cutedsl"),
    },
    ("prefix-caching-hash-algo",): {"0.13": ("xxhash", "xxhash_cbor")},
    ("quantization", "speculative-config.quantization"): {
        "0.16": ("modelopt_mxfp8",),
        "0.17": ("modelopt_mixed",),
        "0.19": ("mxfp8",),
        "0.20": (
            "deepseek_v4_fp8", "fp8_per_block", "fp8_per_tensor", "gpt_oss_mxfp4", "humming",
            "int8_per_channel_weight_only",
        ),
        "0.22": ("auto_gptq",),
        "0.24": ("auto_awq", "fp8_per_channel"),
        "0.26": ("nvfp4_per_token",),
    },
    ("safetensors-load-strategy",): {"0.18": ("prefetch",)},
    ("sparse-indexer-topk-backend",): {"0.32": ("aiter",)},
    ("speculative-config.draft_sample_method",): {"0.22": ("probabilistic",)},
    ("speculative-config.method",): {
        "0.14": ("exaone_moe_mtp",),
        "0.15": ("glm4_moe_lite_mtp", "step3p5_mtp"),
        "0.16": ("glm_ocr_mtp",),
        "0.17": ("nemotron_h_mtp", "qwen3_5_mtp"),
        "0.18": ("ngram_gpu",),
        "0.20": ("dflash", "exaone4_5_mtp", "hy_v3_mtp"),
        "0.21": ("gemma4_mtp", "mimo_v2_mtp"),
        "0.24": ("minimax_m3_mtp",),
        "0.25": ("bailing_hybrid_mtp", "dspark"),
        "0.26": ("inkling_mtp",),
        "0.27": ("kimi_k3_mtp",),
        "0.28": ("bailing_hybrid_v3_mtp", "dots3_note_mtp"),
        "0.29": ("hy_v4_mtp", "qwen4_exp_mtp"),
        "0.30": ("glm5_next_mtp",),
    },
    ("speculative-config.rejection_sample_method",): {"0.21": ("standard",), "0.25": ("block",)},
    ("tokenizer-mode",): {
        "0.12": ("hf",),
        "0.13": ("deepseek_v32",),
        "0.18": ("kimi_audio",),
        "0.20": ("deepseek_v4",),
        "0.26": ("inkling",),
        "0.27": ("cohere", "kimi_k3"),
        "0.30": ("deepseek_v41",),
    },
}  # fmt: skip

# And the keys of a flag's JSON: vLLM refuses those that it does not know, and dropped them without a word before 0.13.
KEYS_SINCE: dict[str, dict[str, tuple[str, ...]]] = {
    "attention-config": {
        "0.17": ("use_prefill_query_quantization",),
        "0.21": ("mla_prefill_backend",),
        "0.24": ("indexer_kv_dtype",),
        "0.27": ("minimax_m3_msa_decode_backend",),
    },
    "compilation-config": {"0.16": ("fast_moe_cold_start",)},
    "compilation-config.pass_config": {
        "0.12": ("eliminate_noops", "fuse_act_quant", "fuse_allreduce_rms", "fuse_attn_quant", "fuse_norm_quant"),
        "0.16": ("fuse_act_padding",),
        "0.17": ("fuse_rope_kvcache",),
        "0.20": ("fuse_mla_dual_rms_norm",),
        "0.22": ("fuse_rope_kvcache_cat_mla",),
        "0.26": ("fuse_qk_norm_rope_kvcache",),
    },
    "speculative-config": {
        "0.16": ("parallel_drafting",),
        "0.17": ("use_local_argmax_reduction",),
        "0.18": ("rejection_sample_method",),
        "0.19": ("moe_backend",),
        "0.21": ("attention_backend", "draft_sample_method"),
        "0.25": ("use_heterogeneous_vocab",),
        "0.26": ("kv_cache_dtype",),
        "0.28": ("dspark_draft_topk", "enable_adaptive_verification"),
    },
}


def _rows() -> Iterator[tuple[str, str]]:
    """Each flag, each word as attention-backend=B12X, each key as speculative-config.moe_backend; with its release."""
    yield from ((name, release) for release, names in SINCE.items() for name in names)
    for owners, releases in WORDS_SINCE.items():
        yield from ((f"{of}={word}", release) for of in owners for release, words in releases.items() for word in words)
    for owner, releases in KEYS_SINCE.items():
        yield from ((f"{owner}.{key}", release) for release, keys in releases.items() for key in keys)


_SINCE = dict(_rows())
_IMAGE = re.compile(r"(?:^|/)[^/]*vllm[^/:]*:v?([0-9]+)\.([0-9]+)\.([0-9]+)(?![0-9])")


def engine_version(image: str | None) -> str | None:
    """The vLLM that an image like vllm/vllm-openai:v0.22.1 has; None: its tag tells none, and the pinned one counts."""
    found = _IMAGE.search(image or "")
    return ".".join(found.groups()) if found else None


def too_old(image: str | None) -> bool:
    """Whether the image's vLLM is older than the oldest that is supported."""
    version = engine_version(image)
    return version is not None and _numbers(version) < _numbers(OLDEST_VLLM_VERSION)


def needs(said: str, image: str | None) -> str | None:
    """The release that first had what is said to vLLM, where the image's is older; None where it has all of it.

    `said`: a flag with or without its dashes and its --no-, with its value; or a key of its JSON, as
    speculative-config.method=dspark.
    """
    version = engine_version(image)
    since = max(
        (_SINCE[part] for part in _parts(said.removeprefix("--")) if part in _SINCE), key=_numbers, default=None
    )
    older = version is not None and since is not None and _numbers(version)[:2] < _numbers(since)
    return since if older else None


def _parts(said: str) -> tuple[str, ...]:
    """The flag, the key and the word of what is said: each may be newer than the one before it."""
    name = said.split("=", 1)[0]
    flag = name.split(".", 1)[0]
    return flag, flag.removeprefix("no-"), name, said


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

"""The words that fields may hold: vLLM's own values.

Read off vLLM 0.32's parser; a test holds these lists against the parser of the pinned vLLM.
"""

from typing import Literal, get_args

VLLM_VERSION = "0.32.0"
OLDEST_VLLM_VERSION = "0.11.2"
"""The oldest that images may have."""

Dtype = Literal["auto", "bfloat16", "float16", "half", "float32", "float"]

KvCacheDtype = Literal[
    "auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_per_token_head",
    "int8_per_token_head", "int4_per_token_head", "nvfp4", "nvfp4_4over6", "fp8_ds_mla", "nvfp4_ds_mla",
    "turboquant_3bit_nc", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_k8v4", "ultraquant_4bit",
]  # fmt: skip

QUANTIZATIONS = (
    "awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "auto_gptq", "fp8", "fp8_per_tensor", "fp8_per_block",
    "fp8_per_channel", "int8_per_channel_weight_only", "compressed-tensors", "modelopt", "modelopt_fp4",
    "modelopt_mxfp8", "modelopt_mixed", "mxfp4", "gpt_oss_mxfp4", "mxfp8", "nvfp4_per_token", "quark", "moe_wna16",
    "experts_int8", "torchao", "inc", "humming", "deepseek_v4_fp8",
)  # fmt: skip
# Gone from vLLM's core; users still ask for them, so the refusal says what to do.
GONE_QUANTIZATIONS = ("bitsandbytes", "gguf")

# All but custom_class, which loads code by name, and extract_hidden_states, which writes files.
SpeculativeMethod = Literal[
    "ngram", "ngram_gpu", "suffix", "draft_model", "eagle", "eagle3", "medusa", "mlp_speculator", "dflash", "dspark",
    "mtp", "bailing_hybrid_mtp", "bailing_hybrid_v3_mtp", "deepseek_mtp", "dots3_note_mtp", "ernie_mtp",
    "exaone4_5_mtp", "exaone_moe_mtp", "gemma4_mtp", "glm4_moe_lite_mtp", "glm4_moe_mtp", "glm5_next_mtp",
    "glm_ocr_mtp", "hy_v3_mtp", "hy_v4_mtp", "inkling_mtp", "kimi_k3_mtp", "longcat_flash_mtp", "mimo_mtp",
    "mimo_v2_mtp", "minimax_m3_mtp", "nemotron_h_mtp", "pangu_ultra_moe_mtp", "qwen3_5_mtp", "qwen3_next_mtp",
    "qwen4_exp_mtp", "step3p5_mtp",
]  # fmt: skip
# Their heads may be in the model's own checkpoint (deepseek-ai's), or in one of their own.
MODEL_OPTIONAL_SPECULATION = ("dspark",)

# All but CUSTOM, and those of the CPU, which are chosen there anyway.
MlaPrefillBackend = Literal["FLASH_ATTN", "FLASHINFER", "TRTLLM_RAGGED", "TOKENSPEED_MLA", "ROCM_AITER_FA"]
# Passes over a compiled graph that are on or off (config/compilation.py).
PASSES = (
    "fuse_norm_quant", "fuse_act_quant", "fuse_attn_quant", "eliminate_noops", "fuse_allreduce_rms",
    "enable_qk_norm_rope_fusion", "fuse_rope_kvcache_cat_mla", "fuse_act_padding", "fuse_mla_dual_rms_norm",
    "fuse_rope_kvcache", "fuse_qk_norm_rope_kvcache",
)  # fmt: skip

# These guess from the prompt itself and take no draft model; the *mtp ones use the model's own heads.
MODEL_FREE_SPECULATION = ("ngram", "ngram_gpu", "suffix")

# All but CUSTOM, which is code of somebody's own.
AttentionBackend = Literal[
    "FLASH_ATTN", "FLASH_ATTN_DIFFKV", "TRITON_ATTN", "TRITON_ATTN_DIFFKV", "TRITON_FLASH_ATTN", "ROCM_ATTN",
    "ROCM_SEGMENTED_ATTN", "ROCM_AITER_MLA", "ROCM_AITER_TRITON_MLA", "ROCM_AITER_FA", "ROCM_AITER_MLA_SPARSE",
    "XPU_MLA_SPARSE", "TORCH_SDPA", "FLASHINFER", "TRITON_FLASHINFER", "FLASHINFER_MLA", "TOKENSPEED_MLA",
    "FLASHINFER_MLA_SPARSE", "FLASHINFER_MLA_SPARSE_SM120", "FLASHINFER_MLA_SPARSE_SM90", "TRITON_MLA",
    "CUTLASS_MLA", "FLASHMLA", "FLASHMLA_SPARSE", "FLASHMLA_SPARSE_DSV4", "FLASHINFER_MLA_SPARSE_DSV4",
    "ROCM_FLASHMLA_SPARSE_DSV4", "FLASHMLA_SPARSE_DSV41", "FLASHINFER_MLA_SPARSE_DSV41", "FLASHMLA_MEGA_ATTN_DSV41",
    "B12X", "FLASH_ATTN_MLA", "FLASH_ATTN_MLA_SPARSE", "MINIMAX_M3_SPARSE", "CUTLASS_MSA", "TRITON_MSA",
    "NO_ATTENTION", "FLEX_ATTENTION", "HPC_ATTN", "ROCM_AITER_UNIFIED_ATTN", "CPU_ATTN", "CPU_MLA", "AMX_MLA",
    "TURBOQUANT", "ULTRAQUANT",
]  # fmt: skip

MoeBackend = Literal[
    "auto", "triton", "batched_triton", "deep_gemm", "deep_gemm_mega_moe", "cutlass", "flashinfer_trtllm",
    "flashinfer_cutlass", "flashinfer_cutedsl", "flashinfer_moe_ep_cutedsl", "flashinfer_b12x", "b12x",
    "flashinfer_moe_ep_mega_deep_gemm", "marlin", "humming", "triton_unfused", "aiter", "aiter_mega_moe",
    "aiter_triton_mxfp4_bf16", "flydsl", "hpc", "emulation", "rdna3",
]  # fmt: skip

DraftSampleMethod = Literal["greedy", "probabilistic"]
# All but synthetic, which takes tokens for right that are not.
RejectionSampleMethod = Literal["standard", "block"]

LoraRank = Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]
BlockSize = Literal[1, 8, 16, 32, 64, 128, 256]

LORA_RANKS = get_args(LoraRank)
BLOCK_SIZES = get_args(BlockSize)
DTYPES = get_args(Dtype)
KV_CACHE_DTYPES = get_args(KvCacheDtype)
SPECULATIVE_METHODS = get_args(SpeculativeMethod)
ATTENTION_BACKENDS = get_args(AttentionBackend)
MOE_BACKENDS = get_args(MoeBackend)

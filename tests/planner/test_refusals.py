"""What vLLM refuses, the planner refuses, with the way out; and the text of vLLM's refusal stands in its source."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from planner.models import (
    ADAPTERS,
    AWQ,
    BERT,
    COMPRESSED,
    DEEPSEEK_LITE,
    FP8,
    FP8_BLOCKS,
    GEMMA2_9B,
    GPT_OSS_20B,
    GPTQ,
    LLAMA_8B,
    LLAMA_70B,
    QWEN3_30B,
    QWEN3_NEXT,
    QWEN25_7B,
    Content,
    gpu_of,
    guessing,
    quantized,
    spec_of,
)
from support.real_vllm.source import code_of, words_of
from support.reasons import RULES
from vllm_operator.api.reasons import Reason
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.headers import checkpoint_bytes
from vllm_operator.planner.plan import plan
from vllm_operator.planner.refusals import DROPPED
from vllm_operator.planner.rules import SPLITS
from vllm_operator.planner.schemes import DTYPE_BYTES

MODELS = json.loads(Path(__file__).with_name("architectures.json").read_text())
LOADERS = "vllm/model_executor/layers"
# Of each rule, the texts with which vLLM refuses, and where they are.
SAYS: dict[Reason, tuple[tuple[str, str], ...]] = {
    Reason.ATTENTION_HEADS: (("vllm/config/model.py", "must be divisible by tensor parallel size"),),
    Reason.KV_HEADS: (
        ("vllm/distributed/utils.py", "is not divisible by"),
        (f"{LOADERS}/linear.py", "divide(tp_size, self.total_num_kv_heads)"),
    ),
    Reason.INTERMEDIATE: (
        ("vllm/distributed/utils.py", "is not divisible by"),
        (f"{LOADERS}/linear.py", "divide(output_size, self.tp_size)"),
    ),
    Reason.EXPERT_WIDTH: ((f"{LOADERS}/fused_moe/config.py", "assert self.intermediate_size % tp_size == 0"),),
    Reason.VOCABULARY: ((f"{LOADERS}/vocab_parallel_embedding.py", "divide(global_vocab_size, world_size)"),),
    Reason.STATE_HEADS: (
        (f"{LOADERS}/mamba/gdn/qwen_gdn_linear_attn.py", "divide(self.num_v_heads, self.tp_size)"),
        (f"{LOADERS}/mamba/mamba_mixer2.py", "Tensor parallel world size must divide num heads."),
        (f"{LOADERS}/mamba/mamba_mixer2.py", "If tensor parallel world size does not divide num_groups, "),
    ),
    Reason.QUANTIZATION_GROUP: (
        ("vllm/distributed/utils.py", "into shards that are not a whole number of quant groups"),
        (
            f"{LOADERS}/quantization/compressed_tensors/compressed_tensors_moe/compressed_tensors_moe_wna16.py",
            "Scale groups would",
        ),
        (f"{LOADERS}/quantization/auto_awq.py", "The input size is not aligned with the quantized weight shape"),
        ("vllm/model_executor/kernels/linear/mixed_precision/marlin.py", "not divisible by group_size ="),
    ),
    Reason.FP8_BLOCK: (
        (f"{LOADERS}/quantization/utils/fp8_utils.py", "is not divisible by weight quantization block_k ="),
        (f"{LOADERS}/quantization/utils/fp8_utils.py", "weight quantization block_n ="),
        (f"{LOADERS}/fused_moe/oracle/fp8.py", "global expert dimensions, pure TP, and no LoRA or"),
    ),
    Reason.NO_EXPERTS: (("vllm/config/model.py", "Number of experts in the model must be greater than 0"),),
    Reason.PIPELINE: (("vllm/config/model.py", "Pipeline parallelism is not supported for this model."),),
    Reason.ADAPTERS: (("vllm/v1/worker/lora_model_runner_mixin.py", "does not support LoRA yet."),),
    Reason.QUANTIZATION_GONE: (("vllm/config/model.py", "Unknown quantization method:"),),
    Reason.QUANTIZATION_UNKNOWN: (("vllm/config/model.py", "Unknown quantization method:"),),
    Reason.QUANTIZATION_DEPRECATED: (("vllm/config/model.py", "set `--allow-deprecated-quantization`."),),
    Reason.QUANTIZATION_MISMATCH: (
        ("vllm/config/model.py", "does not match the quantization method specified in the `quantization` argument"),
    ),
    Reason.QUANTIZATION_GPU: (
        ("vllm/config/vllm.py", "is not supported for the current GPU. Minimum capability:"),
        ("vllm/platforms/interface.py", "quantization is currently not supported in"),
        (f"{LOADERS}/quantization/compressed_tensors/compressed_tensors.py", "Quantization scheme is not supported"),
        (f"{LOADERS}/quantization/compressed_tensors/compressed_tensors.py", "90, error=False, match_exact=True"),
        (f"{LOADERS}/quantization/online/nvfp4.py", "online quantization requires a Blackwell (SM100) GPU."),
    ),
    Reason.QUANTIZATION_KERNEL: (
        (f"{LOADERS}/quantization/auto_gptq.py", "Unsupported quantization config: bits="),
        (f"{LOADERS}/quantization/auto_awq.py", "Unsupported num_bits ="),
        (f"{LOADERS}/quantization/utils/marlin_utils.py", "Marlin does not support group_size ="),
        (f"{LOADERS}/quantization/inc/schemes/inc_wna16_linear.py", "Only 4-bit and 8-bit symmetric quantization is"),
        (f"{LOADERS}/quantization/compressed_tensors/compressed_tensors.py", "Sparsity support has been removed from"),
        (f"{LOADERS}/quantization/compressed_tensors/compressed_tensors.py", "No compressed-tensors compatible scheme"),
    ),
    Reason.QUANTIZATION_DTYPE: (("vllm/config/vllm.py", "is not supported for quantization method"),),
    Reason.BFLOAT16_GPU: (("vllm/platforms/cuda.py", "with compute capability of at least 8.0."),),
    Reason.FLOAT16_MODEL: (("vllm/config/model.py", "does not support float16. Reason:"),),
    Reason.KV_DTYPE_GPU: (
        ("vllm/v1/attention/backends/triton_attn.py", "FP8 KV cache is not supported by the Triton attention backend"),
        ("vllm/v1/attention/backends/triton_attn.py", "bfloat16 KV cache is not supported on"),
        ("vllm/v1/attention/backends/mla/triton_mla.py", "requires SM89+. Re-run with"),
    ),
    Reason.KV_DTYPE_MODEL: (
        ("vllm/platforms/cuda.py", "No valid attention backend found for"),
        (f"{LOADERS}/attention/attention.py", "fp8_e5m2 kv-cache is not supported with fp8 checkpoints."),
    ),
    Reason.ATTENTION: (("vllm/platforms/cuda.py", "No valid attention backend found for"),),
    Reason.SETTING: (
        ("vllm/v1/core/kv_cache_utils.py", "Failed to promote local KV cache specs to one unified type."),
        ("vllm/config/vllm.py", "Hybrid KV cache manager was explicitly enabled but is not"),
        ("vllm/model_executor/models/config.py", "Chunked prefill is required for mamba cache mode 'align'."),
        ("vllm/config/vllm.py", "Chunked MM input is required because we need the flexibility "),
    ),
    Reason.LENGTH: (("vllm/config/model.py", "is greater than the derived max_model_len ("),),
    Reason.BATCH: (
        ("vllm/config/scheduler.py", "must be greater than or equal to max_num_seqs"),
        ("vllm/config/scheduler.py", "smaller than max_model_len ("),
        ("vllm/v1/core/encoder_cache_manager.py", "Chunked MM input disabled but max_tokens_per_mm_item "),
        ("vllm/engine/arg_utils.py", "Consider increasing max_num_batched_tokens or "),
    ),
    # CUDA 13, which PyTorch is built with, compiles for compute capability 7.5 and later.
    Reason.GPU_TOO_OLD: (("torch/version.py", "13."),),
    Reason.ARCHITECTURE: (
        ("vllm/model_executor/models/registry.py", "are not supported for now."),
        ("vllm/model_executor/models/registry.py", ", and is not supported anymore."),
        *(("vllm/model_executor/models/registry.py", f"{name!r}: {last!r}") for name, last in DROPPED.items()),
    ),
    Reason.ACTIVATION_ORDER: (
        (f"{LOADERS}/quantization/utils/gptq_utils.py", "GPTQ group activation ordering (desc_act=True) is no longer"),
        (f"{LOADERS}/quantization/compressed_tensors/compressed_tensors.py", "group/dynamic activation ordering"),
    ),
    Reason.GPUS_PER_NODE: (("vllm/config/parallel.py", "is larger than the number of available GPUs"),),
}

EARLIER = {"image": "vllm/vllm-openai:v0.26.0"}
OLDEST = {"image": "vllm/vllm-openai:v0.11.2"}
NEWER = {"image": "vllm/vllm-openai:v0.40.0"}
YARN: Content = {
    **LLAMA_8B,
    "max_position_embeddings": 40960,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
}
MODELOPT: Content = {"quant_method": "modelopt", "quant_algo": "FP8"}
NOBODYS: Content = {**LLAMA_8B, "architectures": ["NobodyKnowsForCausalLM"]}
AQUILA: Content = {**LLAMA_8B, "architectures": ["AquilaForCausalLM"]}
BAICHUAN: Content = {**LLAMA_8B, "architectures": ["BaichuanForCausalLM"], "model_type": "baichuan"}
DESC_ACT: Content = {**GPTQ, "desc_act": True}
COMPRESSED_BLOCKS: Content = {
    "quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
    "config_groups": {"group_0": {
        "targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]},
        "input_activations": {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 128, "dynamic": True},
    }},
}  # fmt: skip
AUTO_ROUND: Content = {"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", "bits": 4,
                       "group_size": 128, "sym": True}  # fmt: skip
FALCON_H1: Content = MODELS["Falcon-H1-7B-Instruct"]["config"]
GEMMA3: Content = MODELS["gemma-3-12b-it"]["config"]
GLM4V: Content = MODELS["default-Glm4vForConditionalGeneration"]["config"]
INTERNVL: Content = MODELS["default-InternVLForConditionalGeneration"]["config"]
QWEN3_VL: Content = MODELS["Qwen3-VL-8B-Instruct"]["config"]
GEMMA3N: Content = MODELS["default-Gemma3nForCausalLM"]["config"]
GEMMA4: Content = MODELS["gemma-4-26B-A4B"]["config"]
PALIGEMMA: Content = MODELS["default-PaliGemmaForConditionalGeneration"]["config"]
PALIGEMMA_896: Content = {**PALIGEMMA, "vision_config": {**PALIGEMMA["vision_config"], "image_size": 896}}


UNCUT_PROMPTS: Content = {"extraArgs": ["--no-enable-chunked-prefill"]}
UNCUT_IMAGES: Content = {"extraArgs": ["--disable-chunked-mm-input"]}


def allowing(kind: str, **options: int) -> Content:
    """Fields of a service whose requests may have so much of a kind of input."""
    return {"extraArgs": [f"--limit-mm-per-prompt={json.dumps({kind: options})}"]}


ERNIE: Content = MODELS["default-Ernie4_5_MoeForCausalLM"]["config"]
SPARSE: Content = MODELS["default-DeepseekV32ForCausalLM"]["config"]


def _with_tower(config: Content, **values: int | None) -> Content:
    return {**config, "vision_config": {**config["vision_config"], **values}}


def _compressed_groups(size: int) -> Content:
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": size, "symmetric": True}
    return {**COMPRESSED, "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}


def _compressed_with(form: str, inputs: Content | None = None, **more: object) -> Content:
    group = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128},
             "input_activations": inputs}  # fmt: skip
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}, **more}


TOKENS: Content = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
W4A8 = _compressed_with("pack-quantized", TOKENS)
_GATE: Content = {r".*mlp\.gate": {"bits": 16}}
AUTO_AWQ: Content = {**AUTO_ROUND, "packing_format": "auto_round:auto_awq"}
EIGHT, SIX, SIXTEEN = {"tensorParallelSize": 8}, {"tensorParallelSize": 6}, {"tensorParallelSize": 16}
ROWS: list[tuple[str, Content, Content, str, Reason, tuple[str, ...]]] = [
    ("heads", QWEN25_7B, EIGHT, "H100", Reason.ATTENTION_HEADS, ("28 attention heads", "8 GPUs", "1, 2 or 4")),
    ("unknown heads", {**LLAMA_8B, "architectures": ["PersimmonForCausalLM"], "num_attention_heads": 30}, EIGHT, "H100",
     Reason.ATTENTION_HEADS, ("30 attention heads", "tensorParallelSize to 1, 2, 3, 5, 6, 10 or 15")),
    ("heads of a tower", GLM4V, EIGHT, "H100", Reason.ATTENTION_HEADS,
     ("12 attention heads of the vision tower", "8 GPUs", "1, 2 or 4,", "or add --mm-encoder-tp-mode=data to")),
    ("heads of a tower by default", _with_tower(GLM4V, num_heads=None), EIGHT, "H100", Reason.ATTENTION_HEADS,
     ("12 attention heads of the vision tower",)),
    ("heads of SigLIP", _with_tower(GEMMA3, num_attention_heads=12), EIGHT, "H100", Reason.ATTENTION_HEADS,
     ("12 attention heads of the vision tower", "set tensorParallelSize to 1, 2 or 4")),
    ("heads of Qwen's tower", _with_tower(QWEN3_VL, num_heads=12), EIGHT, "H100", Reason.ATTENTION_HEADS,
     ("12 attention heads of the vision tower", "--mm-encoder-tp-mode=data")),
    ("heads of a tower that is split all the same", _with_tower(GEMMA3, num_attention_heads=12),
     {**EIGHT, "extraArgs": ["--mm-encoder-tp-mode=data"]}, "H100", Reason.ATTENTION_HEADS, ("the vision tower",)),
    ("kv heads", {**LLAMA_8B, "num_key_value_heads": 6}, {"tensorParallelSize": 4}, "H100", Reason.KV_HEADS,
     ("6 heads of keys and values", "1 or 2")),
    ("width", {**LLAMA_8B, "intermediate_size": 14330}, {"tensorParallelSize": 4}, "H100", Reason.INTERMEDIATE,
     ("mlp.gate_proj, 14330", "set tensorParallelSize to 1 or 2")),
    ("width of the shared expert", {**QWEN3_NEXT, "shared_expert_intermediate_size": 510}, {"tensorParallelSize": 4},
     "H200", Reason.INTERMEDIATE, ("mlp.shared_expert.gate_proj, 510", "1 or 2")),
    ("width of experts", {**QWEN3_30B, "moe_intermediate_size": 770}, {"tensorParallelSize": 4}, "H100",
     Reason.EXPERT_WIDTH, ("770", "1 or 2", "expertParallel: true")),
    ("vocabulary", QWEN25_7B, {"tensorParallelSize": 7}, "H100", Reason.KV_HEADS, ("4 heads", "1, 2 or 4")),
    ("vocabulary alone", {**QWEN25_7B, "num_key_value_heads": 28, "intermediate_size": 7 * 2560},
     {"tensorParallelSize": 7}, "H100", Reason.VOCABULARY, ("152064", "7 GPUs", "1, 2 or 4")),
    ("linear attention", {**QWEN3_NEXT, "linear_num_value_heads": 36, "num_attention_heads": 16}, EIGHT, "H200",
     Reason.STATE_HEADS, ("36 heads of linear attention", "1, 2 or 4")),
    ("groups of Nemotron-H", MODELS["Nemotron-H-56B-Base-8K"]["config"], SIXTEEN, "H200", Reason.STATE_HEADS,
     ("8 groups of Mamba's heads", "16 GPUs", "1, 2, 4 or 8")),
    ("groups of Mamba", MODELS["default-Mamba2ForCausalLM"]["config"], SIXTEEN, "H200", Reason.STATE_HEADS,
     ("8 groups of Mamba's heads", "1, 2, 4 or 8")),
    ("groups beside attention", {**FALCON_H1, "mamba_n_groups": 2}, {"tensorParallelSize": 4}, "H200",
     Reason.STATE_HEADS, ("2 groups of Mamba's heads", "4 GPUs", "1 or 2")),
    ("heads beside attention", {**FALCON_H1, "mamba_n_heads": 6, "mamba_d_head": 512}, {"tensorParallelSize": 4},
     "H200", Reason.STATE_HEADS, ("6 heads of linear attention", "1 or 2")),
    ("awq groups", quantized({**LLAMA_8B, "intermediate_size": 11008}, AWQ), EIGHT, "H100", Reason.QUANTIZATION_GROUP,
     ("mlp.down_proj has 11008 inputs", "groups of 128", "1 or 2")),
    ("gptq groups", quantized({**LLAMA_8B, "intermediate_size": 11008}, GPTQ), EIGHT, "H100", Reason.QUANTIZATION_GROUP,
     ("mlp.down_proj has 11008 inputs", "groups of 128", "1 or 2")),
    ("compressed-tensors groups", quantized({**LLAMA_8B, "intermediate_size": 11008}, COMPRESSED), EIGHT, "H100",
     Reason.QUANTIZATION_GROUP, ("mlp.down_proj has 11008 inputs", "groups of 128")),
    ("auto-round groups", quantized({**LLAMA_8B, "intermediate_size": 11008}, AUTO_ROUND), EIGHT, "H100",
     Reason.QUANTIZATION_GROUP, ("mlp.down_proj has 11008 inputs", "groups of 128", "1 or 2")),
    ("small groups", quantized({**LLAMA_8B, "intermediate_size": 11024}, {**AWQ, "group_size": 32}), EIGHT, "H100",
     Reason.QUANTIZATION_GROUP, ("11024 inputs", "groups of 32")),
    ("fp8 blocks of inputs", quantized({**LLAMA_8B, "intermediate_size": 11008}, FP8_BLOCKS), EIGHT, "H100",
     Reason.FP8_BLOCK, ("mlp.gate_proj has 11008 outputs", "fp8 blocks of 128 by 128", "1 or 2")),
    ("fp8 blocks of experts",
     quantized({**QWEN3_30B, "hidden_size": 2064, "moe_intermediate_size": 720}, FP8_BLOCKS), {"tensorParallelSize": 4},
     "H100", Reason.FP8_BLOCK, ("fp8 blocks",)),
    ("fp8 blocks of experts too fine", quantized(QWEN3_30B, FP8_BLOCKS), {"tensorParallelSize": 16}, "H100",
     Reason.FP8_BLOCK, ("each expert has a width of 768, which 16 GPUs", "1, 2, 4 or 8", "expertParallel: true")),
    ("fp8 blocks of experts that adapters keep from being padded", quantized(QWEN3_30B, FP8_BLOCKS),
     {"tensorParallelSize": 16, "extraArgs": ["--moe-backend=deep_gemm"], **ADAPTERS}, "H100", Reason.FP8_BLOCK,
     ("768",)),
    ("fp8 blocks of compressed experts", quantized(QWEN3_30B, COMPRESSED_BLOCKS), {"tensorParallelSize": 4}, "H100",
     Reason.FP8_BLOCK, ("each expert has a width of 768, which 4 GPUs", "1 or 2", "expertParallel: true")),
    ("compressed-tensors groups of experts", quantized(QWEN3_30B, COMPRESSED), {"tensorParallelSize": 4}, "H100",
     Reason.QUANTIZATION_GROUP, ("each expert has a width of 768, which 4 GPUs", "groups of 128", "1 or 2",
                                 "expertParallel: true")),
    ("compressed-tensors groups of experts of many engines", quantized(QWEN3_30B, COMPRESSED),
     {"tensorParallelSize": 2, "dataParallelSize": 2}, "H100", Reason.QUANTIZATION_GROUP, ("which 4 GPUs",)),
    ("compressed-tensors groups of odd experts",
     quantized({**QWEN3_30B, "moe_intermediate_size": 704}, COMPRESSED), {}, "H100", Reason.QUANTIZATION_GROUP,
     ("a width of 704, which is no whole number of",)),
    ("heads of a tower that gets no weights", GLM4V, {**EIGHT, "extraArgs": ["--language-model-only"]}, "H100",
     Reason.ATTENTION_HEADS, ("12 attention heads of the vision tower", "--mm-encoder-tp-mode=data")),
    ("no experts", LLAMA_8B, {"expertParallel": True}, "H100", Reason.NO_EXPERTS, ("no experts", "remove it")),
    ("pipeline", BERT, {"pipelineParallelSize": 2}, "H100", Reason.PIPELINE, ("BertModel", "remove pipelineParallel")),
    ("pipeline of a decoder", GEMMA3N, {"pipelineParallelSize": 2}, "H100", Reason.PIPELINE, ("Gemma3nForCausalLM",)),
    ("pipeline of tied embeddings", ERNIE, {"pipelineParallelSize": 2}, "H200", Reason.PIPELINE,
     ("Ernie4_5_MoeForCausalLM with tied embeddings into",)),
    ("pipeline of tied embeddings before", ERNIE, {"pipelineParallelSize": 2, **OLDEST}, "H200", Reason.PIPELINE,
     ("with tied embeddings",)),
    ("pipeline before", GEMMA3N, {"pipelineParallelSize": 2, **EARLIER}, "H100", Reason.PIPELINE, ("remove",)),
    ("adapters", GEMMA3N, ADAPTERS, "H100", Reason.ADAPTERS, ("no LoRA for Gemma3nForCausalLM", "remove lora")),
    ("adapters before", GEMMA3N, {**ADAPTERS, **EARLIER}, "H100", Reason.ADAPTERS, ("remove lora",)),
    ("cache of MLA", DEEPSEEK_LITE, {"kvCache": {"dtype": "nvfp4"}}, "H100", Reason.KV_DTYPE_MODEL,
     ("latent attention", "nvfp4", "remove kvCache.dtype")),
    ("sparse attention on A100", SPARSE, {}, "A100-80GB", Reason.ATTENTION, ("9.0", "has 8.0", "use another")),
    ("one cache beside states", QWEN3_NEXT,
     {"extraArgs": ["--disable-hybrid-kv-cache-manager"], "tensorParallelSize": 4}, "H100", Reason.SETTING,
     ("--disable-hybrid-kv-cache-manager", "keep a state", "leave it out")),
    ("states and prompts that are not cut", QWEN3_NEXT, {**UNCUT_PROMPTS, "tensorParallelSize": 4}, "H100",
     Reason.SETTING, ("keep a state", "--no-enable-chunked-prefill", "leave it out", "kvCache.prefixCaching to false")),
    ("states and images that are not cut", MODELS["Qwen3.5-27B"]["config"], UNCUT_IMAGES, "H200", Reason.SETTING,
     ("keep a state", "--disable-chunked-mm-input", "leave it out", "kvCache.prefixCaching to false")),
    ("states alone whose prefixes are cached", MODELS["default-Mamba2ForCausalLM"]["config"],
     {**UNCUT_PROMPTS, "kvCache": {"prefixCaching": True}}, "H100", Reason.SETTING, ("--no-enable-chunked-prefill",)),
    ("states and no images at all that are not cut", QWEN3_NEXT, {**UNCUT_IMAGES, "tensorParallelSize": 4}, "H100",
     Reason.SETTING, ("--disable-chunked-mm-input",)),
    ("bitsandbytes", quantized(LLAMA_8B, {"quant_method": "bitsandbytes"}), {}, "H100", Reason.QUANTIZATION_GONE,
     ("bitsandbytes", "use an AWQ, GPTQ or fp8 checkpoint")),
    ("gguf", LLAMA_8B, {"quantization": "gguf"}, "H100", Reason.QUANTIZATION_GONE, ("gguf", "checkpoint")),
    ("unknown checkpoint", quantized(LLAMA_8B, {"quant_method": "eetq"}), {}, "H100", Reason.QUANTIZATION_UNKNOWN,
     ("eetq", "use an AWQ, GPTQ or fp8 checkpoint")),
    ("a checkpoint of a newer vLLM", quantized(LLAMA_8B, {**MODELOPT, "quant_algo": "MXFP8"}), OLDEST, "H100",
     Reason.QUANTIZATION_UNKNOWN, ("modelopt_mxfp8", "since 0.16", "0.11.2", "newer image")),
    ("unknown word", LLAMA_8B, {"quantization": "fp9"}, "H100", Reason.QUANTIZATION_UNKNOWN, ("fp9", "one of awq")),
    ("deprecated", quantized(LLAMA_8B, {"quant_method": "fbgemm_fp8"}), {}, "H100", Reason.QUANTIZATION_DEPRECATED,
     ("fbgemm_fp8", "compressed-tensors checkpoint")),
    ("other quantization", quantized(LLAMA_8B, AWQ), {"quantization": "gptq"}, "H100", Reason.QUANTIZATION_MISMATCH,
     ("awq", "gptq", "remove quantization")),
    ("online on fp8", quantized(LLAMA_8B, FP8), {"quantization": "fp8_per_tensor"}, "H100",
     Reason.QUANTIZATION_MISMATCH, ("fp8_per_tensor", "remove quantization")),
    ("old GPU", LLAMA_8B, {}, "V100-32GB", Reason.GPU_TOO_OLD, ("7.5", "V100-32GB has 7.0")),
    ("architecture", NOBODYS, {}, "H100", Reason.ARCHITECTURE, ("NobodyKnowsForCausalLM", "another model")),
    ("a dropped architecture", BAICHUAN, {"extraArgs": ["--trust-remote-code"]}, "H100", Reason.ARCHITECTURE,
     ("BaichuanForCausalLM up to 0.23.0", "image")),
    ("an architecture dropped before", AQUILA, EARLIER, "H100", Reason.ARCHITECTURE, ("AquilaForCausalLM up to",)),
    ("ordered groups", quantized(LLAMA_8B, DESC_ACT), {}, "H100", Reason.ACTIVATION_ORDER, ("gptq", "desc_act")),
    ("ordered compressed", quantized(LLAMA_8B, {**COMPRESSED, "config_groups": {"group_0": {
        "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128,
                                           "actorder": "group"}}}}), {}, "H100", Reason.ACTIVATION_ORDER, ("static",)),
    ("gptq of 3 bits", quantized(LLAMA_8B, {**GPTQ, "bits": 3}), {}, "H100", Reason.QUANTIZATION_KERNEL,
     ("gptq checkpoints with 3 bits", "use one with 4 or 8 bits")),
    ("gptq of 2 bits in some layers", quantized(LLAMA_8B, {**GPTQ, "dynamic": {r"+:.*\.1\..*": {"bits": 2}}}), {},
     "H100", Reason.QUANTIZATION_KERNEL, ("2 bits",)),
    ("asymmetric gptq", quantized(LLAMA_8B, {**GPTQ, "sym": False}), {}, "H100", Reason.QUANTIZATION_KERNEL,
     ("sym: false", "symmetric")),
    ("asymmetric gptq of experts", quantized(QWEN3_30B, {**GPTQ, "sym": False}), {"quantization": "moe_wna16"}, "H100",
     Reason.QUANTIZATION_KERNEL, ("sym: false",)),
    ("wide groups of gptq", quantized(LLAMA_8B, {**GPTQ, "group_size": 1024}), {}, "H100", Reason.QUANTIZATION_KERNEL,
     ("groups of 1024 inputs", "32, 64 or 128")),
    ("awq of 8 bits", quantized(LLAMA_8B, {**AWQ, "bits": 8}), {}, "H100", Reason.QUANTIZATION_KERNEL,
     ("awq checkpoints with 8 bits", "with 4 bits")),
    ("asymmetric auto-round", quantized(LLAMA_8B, {**AUTO_ROUND, "sym": False}), {}, "H100",
     Reason.QUANTIZATION_KERNEL, ("auto-round checkpoints with asymmetric", "symmetric")),
    ("asymmetric auto-round of one layer",
     quantized(LLAMA_8B, {**AUTO_ROUND, "extra_config": {"model.layers.3.mlp.down_proj": {"sym": False}}}), {}, "H100",
     Reason.QUANTIZATION_KERNEL, ("asymmetric",)),
    ("asymmetric auto-round of attention beside experts",
     quantized(QWEN3_30B, {**AUTO_ROUND, "extra_config": {**_GATE, ".*self_attn.*": {"sym": False}}}), {}, "H100",
     Reason.QUANTIZATION_KERNEL, ("asymmetric",)),
    ("auto-round of 8 bits as AWQ's", quantized(LLAMA_8B, {**AUTO_AWQ, "bits": 8}), {}, "H100",
     Reason.QUANTIZATION_KERNEL, ("8 bits packed as AWQ's",)),
    ("auto-round of 8 bits of experts as AWQ's", quantized(QWEN3_30B, {
        **AUTO_AWQ, "extra_config": {**_GATE, r".*mlp\.experts.*": {"bits": 8}}}), {}, "H100",
     Reason.QUANTIZATION_KERNEL, ("8 bits packed as AWQ's",)),
    ("auto-round of 3 bits on AMD", quantized(LLAMA_8B, {**AUTO_ROUND, "bits": 3}), {}, "MI300X",
     Reason.QUANTIZATION_KERNEL, ("3 bits",)),
    ("sparse", quantized(LLAMA_8B, {**COMPRESSED, "sparsity_config": {"format": "dense", "targets": ["Linear"]}}), {},
     "H100", Reason.QUANTIZATION_KERNEL, ("sparsity_config", "without sparsity")),
    ("marlin-24", quantized(LLAMA_8B, _compressed_with("marlin-24")), {}, "H100", Reason.QUANTIZATION_KERNEL,
     ("format marlin-24", "pack-quantized")),
    ("W4A8 on L40S", quantized(LLAMA_8B, W4A8), {}, "L40S", Reason.QUANTIZATION_GPU, ("9.0", "L40S has 8.9", "H100")),
    ("W4A8 on B200", quantized(LLAMA_8B, W4A8), {}, "B200", Reason.QUANTIZATION_GPU, ("no newer one", "B200 has")),
    ("awq on V100", quantized(LLAMA_8B, AWQ), EARLIER, "V100-32GB", Reason.QUANTIZATION_GPU,
     ("awq", "7.5", "V100-32GB has 7.0", "newer GPU")),
    ("fp8 on V100", LLAMA_8B, {"quantization": "fp8", **EARLIER}, "V100-32GB", Reason.QUANTIZATION_GPU,
     ("fp8", "7.5", "7.0")),
    ("fp8 on T4 before", quantized(LLAMA_8B, FP8), OLDEST, "T4", Reason.QUANTIZATION_GPU, ("fp8", "8.0", "7.5")),
    ("fp8 made on T4 before", LLAMA_8B, {"quantization": "fp8", **OLDEST}, "T4", Reason.QUANTIZATION_GPU, ("8.0",)),
    ("modelopt on A100 before", quantized(LLAMA_8B, MODELOPT), OLDEST, "A100-80GB", Reason.QUANTIZATION_GPU,
     ("modelopt", "8.9", "8.0")),
    ("NVFP4 on T4 before", quantized(LLAMA_8B, {**MODELOPT, "quant_algo": "NVFP4"}), OLDEST, "T4",
     Reason.QUANTIZATION_GPU, ("modelopt_fp4", "8.0")),
    ("mxfp4 on T4", GPT_OSS_20B, {}, "T4", Reason.QUANTIZATION_GPU, ("mxfp4", "8.0", "7.5")),
    ("online nvfp4", QWEN3_30B, {"quantization": "nvfp4_per_token"}, "H100", Reason.QUANTIZATION_GPU,
     ("10.0", "9.0")),
    ("online nvfp4 on what is newer", QWEN3_30B, {"quantization": "nvfp4_per_token"}, "RTX-5090",
     Reason.QUANTIZATION_GPU, ("10.0 to 10.9", "RTX-5090 has 12.0", "use a B200")),
    ("compressed-tensors on V100", quantized(LLAMA_8B, COMPRESSED), EARLIER, "V100-32GB", Reason.QUANTIZATION_GPU,
     ("compressed-tensors", "7.5")),
    ("experts on AMD", QWEN3_30B, {"quantization": "experts_int8"}, "MI300X", Reason.QUANTIZATION_GPU,
     ("experts_int8 on AMD",)),
    ("awq in float32", quantized(LLAMA_8B, AWQ), {"dtype": "float32"}, "H100", Reason.QUANTIZATION_DTYPE,
     ("awq", "float32", "set it to bfloat16 or float16")),
    ("mxfp4 in float16", GPT_OSS_20B, {"dtype": "half"}, "H100", Reason.QUANTIZATION_DTYPE,
     ("mxfp4", "float16", "set it to bfloat16")),
    ("quantized Gemma on T4", quantized(GEMMA2_9B, AWQ), {}, "T4", Reason.QUANTIZATION_DTYPE, ("awq", "float32")),
    ("bfloat16 on T4", LLAMA_8B, {"dtype": "bfloat16"}, "T4", Reason.BFLOAT16_GPU, ("8.0", "T4 has 7.5", "float16")),
    ("float16 for Gemma", GEMMA2_9B, {"dtype": "half"}, "H100", Reason.FLOAT16_MODEL, ("Gemma 2", "bfloat16")),
    ("fp8 cache on T4", LLAMA_8B, {"kvCache": {"dtype": "fp8"}, "maxModelLen": 1024}, "T4", Reason.KV_DTYPE_GPU,
     ("8.0", "7.5", "remove kvCache.dtype")),
    ("fp8 cache of MLA on A100", DEEPSEEK_LITE, {"kvCache": {"dtype": "fp8"}}, "A100-80GB", Reason.KV_DTYPE_GPU,
     ("8.9", "8.0")),
    ("scales per head on A100", LLAMA_8B, {"kvCache": {"dtype": "fp8_per_token_head"}}, "A100-80GB",
     Reason.KV_DTYPE_GPU, ("fp8_per_token_head", "8.0")),
    ("bfloat16 cache on T4", LLAMA_8B, {"kvCache": {"dtype": "bfloat16"}}, "T4", Reason.KV_DTYPE_GPU,
     ("bfloat16", "float16")),
    ("length", LLAMA_8B, {"maxModelLen": 200000}, "H200", Reason.LENGTH,
     ("200,000", "131,072", "max_position_embeddings", "at most 131072")),
    ("length of YaRN", YARN, {"maxModelLen": 131072}, "H200", Reason.LENGTH, ("40,960", "max_position_embeddings")),
    ("length of YaRN before", YARN, {"maxModelLen": 131073, **EARLIER}, "H200", Reason.LENGTH,
     ("131,072", "original_max_position_embeddings")),
    ("length denied by the variable", LLAMA_8B,
     {"maxModelLen": 200000, "env": [{"name": "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "value": "0"}]}, "H200", Reason.LENGTH,
     ("131072",)),
    ("batch", LLAMA_8B, {"maxNumSeqs": 512, "maxNumBatchedTokens": 256}, "H100", Reason.BATCH,
     ("256 tokens", "512", "raise maxNumBatchedTokens")),
    ("a batch less than a prompt of an encoder", BERT, {"maxNumSeqs": 64, "maxNumBatchedTokens": 256}, "H100",
     Reason.BATCH, ("256 tokens", "512", "maxNumBatchedTokens to at least 512", "maxModelLen to at most 256")),
    ("a batch less than a prompt that is read whole", LLAMA_8B,
     {"maxNumBatchedTokens": 8192, "extraArgs": ["--no-enable-chunked-prefill"]}, "H100", Reason.BATCH,
     ("8,192 tokens", "131,072", "maxNumBatchedTokens to at least 131072")),
    ("a batch less than a prompt that is embedded by its mean", LLAMA_8B, {"maxNumBatchedTokens": 8192, "extraArgs": [
        "--runner=pooling", '--pooler-config={"seq_pooling_type": "MEAN"}']}, "H100", Reason.BATCH, ("131,072",)),
    ("a batch less than a video", GEMMA4, {"maxNumBatchedTokens": 2048}, "H100", Reason.BATCH,
     ("2,048 tokens", "video, of 2,496", "maxNumBatchedTokens to at least 2496", "--limit-mm-per-prompt")),
    ("a batch less than a shorter video", GEMMA4, {"maxNumBatchedTokens": 512, **allowing("video", num_frames=8)},
     "H100", Reason.BATCH, ("video, of 624",)),
    ("a batch less than an image", GEMMA4, {"maxNumBatchedTokens": 256, "maxNumSeqs": 64, **allowing("video", count=0)},
     "H100", Reason.BATCH, ("image, of 280",)),
    ("vLLM's batch less than an image", PALIGEMMA_896, {}, "L4", Reason.BATCH, ("2,048 tokens", "image, of 4,096")),
    ("a batch less than an image of Gemma 3", MODELS["gemma-3-12b-it"]["config"],
     {"maxNumBatchedTokens": 128, "maxNumSeqs": 64}, "H100", Reason.BATCH, ("image, of 256",)),
    ("guesses beside adapters without a video", GEMMA4, {**guessing(8), "extraArgs": ["--language-model-only"]},
     "A100-80GB", Reason.BATCH, ("2,048", "2304", "227")),
    ("guesses beside adapters", LLAMA_8B, guessing(8), "H100", Reason.BATCH,
     ("8,192", "1,024", "maxNumBatchedTokens to at least 9216", "maxNumSeqs to at most 910")),
    ("guesses beside adapters on A100", LLAMA_8B, guessing(8), "A100-80GB", Reason.BATCH, ("2,048", "2304", "227")),
    ("guesses of a batch that is set", LLAMA_8B, guessing(8, maxNumBatchedTokens=4096), "H100", Reason.BATCH,
     ("4,096", "9216")),
    ("guesses of as many sequences as are set", LLAMA_8B, guessing(8, maxNumSeqs=911), "H100", Reason.BATCH,
     ("911", "8199")),
    ("node", LLAMA_70B, {"tensorParallelSize": 8}, "H100", Reason.GPUS_PER_NODE, ("8 GPUs", "more than 4", "lower")),
]  # fmt: skip

# What looks like a rule's case and is none: vLLM takes it.
TAKEN: list[tuple[str, Content, Content, str]] = [
    ("one group of Mamba's heads", FALCON_H1, {"tensorParallelSize": 4}, "H200"),
    ("as many groups of Mamba's heads", MODELS["Nemotron-H-56B-Base-8K"]["config"], EIGHT, "H200"),
    ("more ranks than kv heads", LLAMA_8B, {"tensorParallelSize": 16}, "H100"),
    ("heads of a whole tower", GLM4V, {**EIGHT, "extraArgs": ["--mm-encoder-tp-mode=data"]}, "H100"),
    ("heads of a tower of InternVL", _with_tower(INTERNVL, num_attention_heads=12), EIGHT, "H100"),
    ("kv heads of MLA", {**DEEPSEEK_LITE, "num_key_value_heads": 6}, {"tensorParallelSize": 4}, "H100"),
    ("expert width with whole experts", {**QWEN3_30B, "moe_intermediate_size": 770},
     {"tensorParallelSize": 4, "expertParallel": True}, "H100"),
    ("fp8 blocks of experts made finer", quantized(QWEN3_30B, FP8_BLOCKS), EIGHT | {"tensorParallelSize": 4}, "H100"),
    ("fp8 blocks of experts padded for a kernel", quantized(QWEN3_30B, FP8_BLOCKS),
     {"tensorParallelSize": 16, "extraArgs": ["--moe-backend=deep_gemm"]}, "H100"),
    ("whole groups of experts", quantized(QWEN3_30B, COMPRESSED), {"tensorParallelSize": 2}, "H100"),
    ("groups of whole experts", quantized(QWEN3_30B, COMPRESSED), {"tensorParallelSize": 4, "expertParallel": True},
     "H100"),
    ("groups of experts that are left alone",
     quantized(QWEN3_30B, {**COMPRESSED, "ignore": ["re:.*mlp.*"]}), {"tensorParallelSize": 4}, "H100"),
    ("small groups of experts", quantized(QWEN3_30B, _compressed_groups(32)), {"tensorParallelSize": 4}, "H100"),
    ("groups of experts made finer", quantized(QWEN3_30B, AWQ), {"tensorParallelSize": 4}, "H100"),
    ("a group as wide as the matrix", quantized(LLAMA_8B, {**AWQ, "group_size": -1}), EIGHT, "H100"),
    ("groups of a matrix that is left alone",
     quantized({**LLAMA_8B, "intermediate_size": 11008}, {**AWQ, "modules_to_not_convert": ["mlp"]}), EIGHT, "H100"),
    ("a group of all inputs", quantized(
        {**LLAMA_8B, "hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32,
         "intermediate_size": 256}, AWQ), {"tensorParallelSize": 2}, "H100"),
    ("fp8 blocks of odd experts made finer", quantized({**QWEN3_30B, "moe_intermediate_size": 736}, FP8_BLOCKS), {},
     "H100"),
    ("another name of the same", quantized(LLAMA_8B, AWQ), {"quantization": "awq_marlin"}, "H100"),
    ("modelopt overrides what is asked",
     quantized(LLAMA_8B, {"quant_method": "modelopt", "quant_algo": "FP8"}), {"quantization": "fp8"}, "H100"),
    ("gpt-oss overrides what is asked", GPT_OSS_20B, {"quantization": "fp8"}, "H100"),
    ("ordered columns", quantized(LLAMA_8B, {**DESC_ACT, "group_size": -1}), {}, "H100"),
    ("a deprecated quantization before", quantized(LLAMA_8B, {"quant_method": "fbgemm_fp8"}), OLDEST, "H100"),
    ("a checkpoint that the image's vLLM has", quantized(LLAMA_8B, {**MODELOPT, "quant_algo": "MXFP8"}),
     {"image": "vllm/vllm-openai:v0.16.0"}, "H100"),
    ("fp8 on T4", quantized(LLAMA_8B, FP8), {}, "T4"),
    ("fp8 on T4 of which the vLLM was not read", quantized(LLAMA_8B, FP8), {"image": "vllm/vllm-openai:v0.20.0"}, "T4"),
    ("modelopt on A100", quantized(LLAMA_8B, MODELOPT), {}, "A100-80GB"),
    ("a length of YaRN before", YARN, {"maxModelLen": 131072, **OLDEST}, "H200"),
    ("gptq of 8 bits", quantized(LLAMA_8B, {**GPTQ, "bits": 8}), {}, "H100"),
    ("gptq whose odd layers are left alone", quantized(LLAMA_8B, {**GPTQ, "dynamic": {"-:.*": {"bits": 2}}}), {},
     "H100"),
    ("gptq of 3 bits by other kernels", quantized(LLAMA_8B, {**GPTQ, "bits": 3}), {"quantization": "humming"}, "H100"),
    ("gptq of 3 bits before", quantized(LLAMA_8B, {**GPTQ, "bits": 3}), EARLIER, "H100"),
    ("wide groups of experts", quantized(QWEN3_30B, {**GPTQ, "group_size": 256, "dynamic": {"-:.*self_attn.*": {}}}),
     {}, "H100"),
    ("asymmetric auto-round as AWQ's", quantized(LLAMA_8B, {**AUTO_AWQ, "sym": False}), {}, "H100"),
    ("auto-round of 6 bits", quantized(LLAMA_8B, {**AUTO_ROUND, "bits": 6}), {}, "H100"),
    ("blocks in words", quantized(LLAMA_8B, {**COMPRESSED_BLOCKS, "config_groups": {"group_0": {
        **COMPRESSED_BLOCKS["config_groups"]["group_0"], "weights": {
            "num_bits": 8, "type": "float", "strategy": "block", "block_structure": "128x128"}}}}), {}, "H100"),
    ("auto-round of 8 bits", quantized(LLAMA_8B, {**AUTO_ROUND, "bits": 8}), {}, "H100"),
    ("asymmetric auto-round of few bits", quantized(LLAMA_8B, {**AUTO_ROUND, "bits": 2, "sym": False}), {}, "H100"),
    ("asymmetric auto-round of experts", quantized(QWEN3_30B, {**AUTO_ROUND, "sym": False, "extra_config": {
        ".*self_attn.*": {"bits": 16}}}), {}, "H100"),
    ("asymmetric auto-round of experts beside attention of 8 bits", quantized(QWEN3_30B, {
        **AUTO_ROUND, "sym": False, "extra_config": {**_GATE, ".*self_attn.*": {"bits": 8, "sym": True}}}), {}, "H100"),
    ("asymmetric auto-round of experts alone", quantized(QWEN3_30B, {
        **AUTO_ROUND, "extra_config": {**_GATE, r".*mlp\.experts.*": {"sym": False}}}), {}, "H100"),
    ("auto-round of 3 bits of experts", quantized(QWEN3_30B, {
        **AUTO_ROUND, "extra_config": {**_GATE, r".*mlp\.experts.*": {"bits": 3}}}), {}, "H100"),
    ("auto-round's settings that no matrix has", quantized(LLAMA_8B, {
        **AUTO_ROUND, "extra_config": {"model.layers.99.mlp.down_proj": {"sym": False}}}), {}, "H100"),
    ("a sparsity of nothing", quantized(LLAMA_8B, {**COMPRESSED, "sparsity_config": {"targets": []}}), {}, "H100"),
    ("fp8 weights alone", quantized(LLAMA_8B, {**COMPRESSED, "format": "float-quantized", "config_groups": {"group_0": {
        "targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}}), {}, "H100"),
    ("W4A8 on H100", quantized(LLAMA_8B, W4A8), {}, "H100"),
    ("integers of attention alone", quantized(LLAMA_8B, {**W4A8, "config_groups": {"group_0": {
        **W4A8["config_groups"]["group_0"], "targets": ["LlamaAttention"]}}}), {}, "L40S"),
    ("ordered groups before", quantized(LLAMA_8B, DESC_ACT), EARLIER, "H100"),
    ("an architecture of a newer vLLM", NOBODYS, NEWER, "H100"),
    ("an architecture that the image's vLLM has yet", AQUILA, {"image": "vllm/vllm-openai:v0.24.0"}, "H100"),
    ("a dropped architecture in an image of one's own", BAICHUAN, {"image": "registry.example.com/vllm:own"}, "H100"),
    ("an architecture of the checkpoint's own", NOBODYS, {"extraArgs": ["--trust-remote-code"]}, "H100"),
    ("gptq on V100", quantized(LLAMA_8B, GPTQ), EARLIER, "V100-32GB"),
    ("a bfloat16 model on T4", LLAMA_8B, {"maxModelLen": 1024}, "T4"),
    ("fp8 weights on A100", LLAMA_8B, {"quantization": "fp8"}, "A100-80GB"),
    ("online nvfp4 of experts on B200", QWEN3_30B, {"quantization": "nvfp4_per_token"}, "B200"),
    ("online nvfp4 without experts", LLAMA_8B, {"quantization": "nvfp4_per_token"}, "H100"),
    ("fp8 cache on A100", LLAMA_8B, {"kvCache": {"dtype": "fp8"}}, "A100-80GB"),
    ("stages of a decoder in a newer vLLM", GEMMA3N, {"pipelineParallelSize": 2, **NEWER}, "H100"),
    ("stages that transformers' classes have", GEMMA3N,
     {"pipelineParallelSize": 2, "extraArgs": ["--model-impl=transformers"]}, "H100"),
    ("stages of an embedder without tied embeddings", {**ERNIE, "tie_word_embeddings": False},
     {"pipelineParallelSize": 2, "extraArgs": ["--runner=pooling"]}, "H100"),
    ("adapters in a newer vLLM", GEMMA3N, {**ADAPTERS, **NEWER}, "H100"),
    ("adapters", LLAMA_8B, ADAPTERS, "H100"),
    ("guesses that a batch holds", LLAMA_8B, guessing(7), "H100"),
    ("guesses of fewer sequences", LLAMA_8B, guessing(8, maxNumSeqs=910), "H100"),
    ("guesses of a larger batch", LLAMA_8B, guessing(8, maxNumBatchedTokens=9216), "H100"),
    ("guesses without adapters", LLAMA_8B, {**guessing(8), "lora": None}, "H100"),
    ("guesses beside adapters of a model whose batch holds a video", GEMMA4, guessing(8), "A100-80GB"),
    ("states and prompts that are not cut without cached prefixes", QWEN3_NEXT,
     {**UNCUT_PROMPTS, "tensorParallelSize": 4, "kvCache": {"prefixCaching": False}}, "H100"),
    ("states and prompts that are not cut before", QWEN3_NEXT,
     {**UNCUT_PROMPTS, "tensorParallelSize": 4, **EARLIER}, "H100"),
    ("states and prompts that are cut", QWEN3_NEXT,
     {"extraArgs": ["--enable-chunked-prefill"], "tensorParallelSize": 4}, "H100"),
    ("states alone and prompts that are not cut", MODELS["default-Mamba2ForCausalLM"]["config"], UNCUT_PROMPTS, "H100"),
    ("prompts that are not cut without states", LLAMA_8B, UNCUT_PROMPTS, "H200"),
    ("images that are not cut without states", MODELS["gemma-3-12b-it"]["config"], UNCUT_IMAGES, "H200"),
    ("a batch of a video", GEMMA4, {"maxNumBatchedTokens": 2496}, "H100"),
    ("vLLM's batch of a video", GEMMA4, {}, "A100-80GB"),
    ("a batch less than a video that no request has", GEMMA4,
     {"maxNumBatchedTokens": 2048, **allowing("video", count=0)}, "H100"),
    ("a batch less than a video where there is text alone", GEMMA4,
     {"maxNumBatchedTokens": 2048, "extraArgs": ["--language-model-only"]}, "H100"),
    ("a batch less than a video before", GEMMA4, {"maxNumBatchedTokens": 2048, **EARLIER}, "H100"),
    ("a batch less than a video that is read in parts", {**GEMMA4, "text_config": {
        **GEMMA4["text_config"], "use_bidirectional_attention": None}}, {"maxNumBatchedTokens": 2048}, "H100"),
    ("a batch of an image", PALIGEMMA_896, {"maxNumBatchedTokens": 4096}, "L4"),
    ("compressed-tensors in float32", quantized(LLAMA_8B, COMPRESSED), {"dtype": "float32"}, "H100"),
    ("a longer context that is allowed", LLAMA_8B,
     {"maxModelLen": 200000, "env": [{"name": "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "value": "1"}]}, "H200"),
    ("a config without a limit", {key: value for key, value in LLAMA_8B.items() if key != "max_position_embeddings"},
     {"maxModelLen": 200000}, "H200"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "fields", "gpu", "rule", "words"), [row[1:] for row in ROWS],
                         ids=[row[0] for row in ROWS])  # fmt: skip
def test_is_refused_with_the_way_out(
    config: Content, fields: Content, gpu: str, rule: Reason, words: tuple[str, ...]
) -> None:
    per_node = 4 if rule is Reason.GPUS_PER_NODE else None
    result = plan(spec_of(**fields), model_of(config), gpu_of(gpu), per_node)
    assert (result.fits, result.reason) == (False, rule), result.message
    assert all(word in result.message for word in words), result.message
    assert "\n" not in result.message
    assert (result.capacity is None) >= (rule in SPLITS)


def test_every_rule_has_a_row() -> None:
    assert {row[4] for row in ROWS} == RULES


@pytest.mark.parametrize(("config", "fields", "gpu"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_is_not_refused(config: Content, fields: Content, gpu: str) -> None:
    assert plan(spec_of(**fields), model_of(config), gpu_of(gpu)).reason not in RULES


def test_nothing_about_the_gpu_is_refused_where_its_capability_is_not_known() -> None:
    unknown = replace(gpu_of("V100-32GB"), capability=(0, 0))
    for fields in ({"quantization": "fp8"}, {"dtype": "bfloat16"}, {"kvCache": {"dtype": "fp8"}}):
        assert plan(spec_of(**fields), model_of(LLAMA_8B), unknown).reason not in RULES


@pytest.mark.parametrize("times", [1, 2])
def test_stages_where_the_checkpoint_has_a_head_beside_the_embedding(times: int) -> None:
    own = model_of({**ERNIE, "tie_word_embeddings": False})
    head = own.vocabulary * own.hidden * DTYPE_BYTES[own.dtype]
    both = checkpoint_bytes(own)

    def reason(header_bytes: int, **fields: object) -> str:
        model = model_of(ERNIE, header_bytes=times * header_bytes)
        return plan(spec_of(pipelineParallelSize=2, **fields), model, gpu_of("H200")).reason

    assert reason(both) != Reason.PIPELINE
    assert reason(both - head) == Reason.PIPELINE
    assert reason(both - head + head // 3) == Reason.PIPELINE
    assert reason(both, **EARLIER) != Reason.PIPELINE
    assert reason(both, **OLDEST) == Reason.PIPELINE


def test_the_sizes_that_are_named_work() -> None:
    for size in (1, 2, 4):
        result = plan(spec_of(tensorParallelSize=size), model_of(QWEN25_7B), gpu_of("H100"))
        assert result.reason not in SPLITS


@pytest.mark.parametrize(("rule", "source", "text"), [(rule, *one) for rule in sorted(RULES) for one in SAYS[rule]])
def test_the_refusal_still_stands_in_vllms_source(rule: Reason, source: str, text: str) -> None:
    assert text in words_of(source) or text in code_of(source), f"{rule}: {source} no longer says {text!r}"


@pytest.mark.parametrize("method", ["bitsandbytes", "gguf", "hqq", "ptpc_fp8", "eetq"])
@pytest.mark.parametrize("gpu", ["H100", "MI300X"])
def test_what_only_an_older_vllm_may_serve_is_not_known(method: str, gpu: str) -> None:
    model = model_of(quantized(LLAMA_8B, {"quant_method": method}))
    fields: Content = {"accelerator": {"resource": "amd.com/gpu"}} if gpu == "MI300X" else {}
    for image in (OLDEST, EARLIER):
        found = plan(spec_of(dtype="float32", **fields, **image), model, gpu_of(gpu))
        assert (found.fits, found.reason) == (None, Reason.UNKNOWN_QUANTIZATION)
    assert plan(spec_of(**fields), model, gpu_of(gpu)).fits is False


def test_a_length_that_nobody_sets_is_that_of_the_images_vllm() -> None:
    lengths = {
        version: plan(spec_of(image=f"vllm/vllm-openai:v{version}"), model_of(YARN), gpu_of("H200")).capacity
        for version in ("0.11.2", "0.32.0")
    }
    assert {version: found and found.max_model_len for version, found in lengths.items()} == {
        "0.11.2": 131072, "0.32.0": 40960,
    }  # fmt: skip

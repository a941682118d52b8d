"""Configs of models that people serve, in the shapes that matter to a plan, and short ways to a spec and a GPU."""

from typing import Any

from vllm_operator.api import InferenceServiceSpec
from vllm_operator.planner.accelerators import Gpu, find

Content = dict[str, Any]

LLAMA_8B: Content = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072, "vocab_size": 128256, "tie_word_embeddings": False, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "rms_norm_eps": 1e-05, "hidden_act": "silu", "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192},
}  # fmt: skip
LLAMA_70B: Content = {
    **LLAMA_8B, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
}  # fmt: skip
QWEN25_7B: Content = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
    "max_position_embeddings": 32768, "vocab_size": 152064, "tie_word_embeddings": False, "hidden_size": 3584,
    "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
}  # fmt: skip
QWEN3_30B: Content = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "bfloat16",
    "max_position_embeddings": 40960, "vocab_size": 151936, "tie_word_embeddings": False, "hidden_size": 2048,
    "intermediate_size": 6144, "moe_intermediate_size": 768, "num_hidden_layers": 48, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
}  # fmt: skip
QWEN3_NEXT: Content = {
    **QWEN3_30B, "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "num_attention_heads": 16,
    "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 5120, "moe_intermediate_size": 512,
    "num_experts": 512, "num_experts_per_tok": 10, "shared_expert_intermediate_size": 512,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
    "max_position_embeddings": 262144,
}  # fmt: skip
GEMMA2_9B: Content = {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "torch_dtype": "bfloat16",
    "max_position_embeddings": 8192, "vocab_size": 256000, "hidden_size": 3584, "intermediate_size": 14336,
    "num_hidden_layers": 42, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256,
    "sliding_window": 4096, "query_pre_attn_scalar": 256, "hidden_activation": "gelu_pytorch_tanh",
}  # fmt: skip
GPT_OSS_20B: Content = {
    "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072, "vocab_size": 201088, "tie_word_embeddings": False, "hidden_size": 2880,
    "intermediate_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8,
    "head_dim": 64, "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128,
    "quantization_config": {"quant_method": "mxfp4"},
}  # fmt: skip
DEEPSEEK_LITE: Content = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "torch_dtype": "bfloat16",
    "max_position_embeddings": 163840, "vocab_size": 102400, "tie_word_embeddings": False, "hidden_size": 2048,
    "intermediate_size": 10944, "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16,
    "num_key_value_heads": 16, "kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128, "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2,
    "num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1,
}  # fmt: skip
LONGROPE: Content = {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": [1.0] * 48}
PHI3_MINI: Content = {
    "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "torch_dtype": "bfloat16", "vocab_size": 32064,
    "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_scaling": LONGROPE,
    "tie_word_embeddings": False, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-05, "pad_token_id": 32000,
}  # fmt: skip
COMMAND_R: Content = {
    "architectures": ["CohereForCausalLM"], "model_type": "cohere", "torch_dtype": "float16", "vocab_size": 256000,
    "max_position_embeddings": 8192, "model_max_length": 131072, "hidden_size": 8192, "intermediate_size": 22528,
    "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": 64, "logit_scale": 0.0625,
    "layer_norm_eps": 1e-05,
}  # fmt: skip
BERT: Content = {
    "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 768, "num_attention_heads": 12,
    "num_hidden_layers": 12, "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512,
    "type_vocab_size": 2, "hidden_act": "gelu",
}  # fmt: skip

AWQ: Content = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
GPTQ: Content = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
FP8: Content = {"quant_method": "fp8", "activation_scheme": "dynamic"}
FP8_BLOCKS: Content = {**FP8, "weight_block_size": [128, 128]}
COMPRESSED: Content = {
    "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}}},
}  # fmt: skip


ADAPTERS: Content = {"lora": {"adapters": [{"name": "one", "uri": "hf://organisation/one"}]}}


def guessing(tokens: int, **fields: Any) -> Content:
    """Fields of a service with adapters, whose steps guess so many tokens of each sequence."""
    return {**ADAPTERS, "speculative": {"method": "ngram", "numSpeculativeTokens": tokens}, **fields}


def quantized(content: Content, quantization: Content) -> Content:
    """The same model as a quantized checkpoint."""
    return {**content, "quantization_config": quantization}


def spec_of(**fields: Any) -> InferenceServiceSpec:
    """A spec with these fields, named as in YAML."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://organisation/name"}, **fields})


OLD_GPU = Gpu("V100-32GB", 34071379968, (7, 0))
"""No longer in the catalogue: the PyTorch of vLLM 0.32 has nothing for it."""


def gpu_of(name: str) -> Gpu:
    """A GPU of the catalogue, or the old one."""
    gpu = OLD_GPU if name == OLD_GPU.name else find(name)
    assert gpu
    return gpu

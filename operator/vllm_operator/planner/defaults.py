"""What transformers fills in where a config.json leaves it out: whole numbers and truths, by model type.

Made by tests/planner/oracle/tables.py from transformers 5.19, and cut to the model types that the planner knows.
Sizes of the model itself are left to config.json, but for parts of other models, which often say nothing.
"""

from typing import Any

DEFAULTS: dict[str, dict[str, Any]] = {
    "afmoe": {
        "global_attn_every_n_layers": 4, "head_dim": 128, "moe_intermediate_size": 1408, "num_dense_layers": 1,
        "num_experts": 64, "num_experts_per_tok": 6, "num_shared_experts": 2, "sliding_window": 1024,
        "tie_word_embeddings": False,
    },
    "apertus": {"tie_word_embeddings": False},
    "arcee": {"tie_word_embeddings": False},
    "axk1": {
        "first_k_dense_replace": 1, "kv_lora_rank": 512, "moe_intermediate_size": 2048, "n_routed_experts": 192,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "num_key_value_heads": 64, "q_lora_rank": 1536,
        "qk_head_dim": 192, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "tie_word_embeddings": False,
        "v_head_dim": 128,
    },
    "bert": {"tie_word_embeddings": True, "type_vocab_size": 2},
    "bloom": {"tie_word_embeddings": True},
    "clip_vision_model": {
        "hidden_size": 768, "image_size": 224, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_channels": 3, "num_hidden_layers": 12, "patch_size": 32, "projection_dim": 512,
    },
    "cohere": {"tie_word_embeddings": True},
    "cohere2": {"sliding_window": 4096, "tie_word_embeddings": True},
    "cohere2_moe": {
        "head_dim": 128, "num_experts": 8, "num_experts_per_tok": 2, "num_shared_experts": 0,
        "prefix_dense_sliding_window_pattern": 1, "sliding_window": 4096, "sliding_window_pattern": 4,
        "tie_word_embeddings": True,
    },
    "cohere2_vision": {"alignment_intermediate_size": 36864, "downsample_factor": 2, "tie_word_embeddings": True},
    "dbrx": {"max_seq_len": 2048, "num_key_value_heads": 1, "tie_word_embeddings": False},
    "deepseek_v2": {
        "first_k_dense_replace": 0, "kv_lora_rank": 512, "moe_intermediate_size": 1407, "n_routed_experts": 64,
        "n_shared_experts": 2, "q_lora_rank": 1536, "qk_head_dim": 192, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "tie_word_embeddings": False, "v_head_dim": 128,
    },
    "deepseek_v3": {
        "first_k_dense_replace": 3, "kv_lora_rank": 512, "moe_intermediate_size": 2048, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
        "q_lora_rank": 1536, "qk_head_dim": 192, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "tie_word_embeddings": False, "v_head_dim": 128,
    },
    "dots1": {
        "first_k_dense_replace": 0, "max_window_layers": 62, "moe_intermediate_size": 1408,
        "num_key_value_heads": 32, "sliding_window": 4096, "tie_word_embeddings": False,
    },
    "ernie4_5": {"head_dim": 128, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "ernie4_5_moe": {
        "moe_intermediate_size": 1536, "moe_k": 6, "moe_layer_interval": 1, "moe_layer_start_index": 1,
        "moe_num_experts": 64, "moe_num_shared_experts": 2, "num_key_value_heads": 4, "tie_word_embeddings": True,
    },
    "exaone4": {
        "num_key_value_heads": 32, "sliding_window": 4096, "sliding_window_pattern": 4, "tie_word_embeddings": False,
    },
    "exaone_moe": {
        "first_k_dense_replace": 1, "moe_intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8,
        "num_key_value_heads": 32, "num_shared_experts": 1, "sliding_window": 4096, "sliding_window_pattern": 4,
        "tie_word_embeddings": False,
    },
    "falcon": {
        "max_position_embeddings": 2048, "multi_query": True, "parallel_attn": True, "tie_word_embeddings": True,
    },
    "falcon_h1": {
        "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_head": 8, "mamba_d_ssm": 1024, "mamba_d_state": 256,
        "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 128, "mamba_norm_before_gate": True,
        "num_key_value_heads": 8, "tie_word_embeddings": False,
    },
    "falcon_mamba": {
        "conv_kernel": 4, "expand": 2, "state_size": 16, "tie_word_embeddings": True, "use_conv_bias": True,
    },
    "flex_olmo": {"num_experts": 7, "num_experts_per_tok": 5, "tie_word_embeddings": False},
    "gemma": {
        "head_dim": 256, "hidden_size": 3072, "intermediate_size": 24576, "max_position_embeddings": 8192,
        "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 16, "tie_word_embeddings": True,
        "vocab_size": 256000,
    },
    "gemma2": {
        "head_dim": 256, "hidden_size": 2304, "intermediate_size": 9216, "max_position_embeddings": 8192,
        "num_attention_heads": 8, "num_hidden_layers": 26, "num_key_value_heads": 4, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "tie_word_embeddings": True, "vocab_size": 256000,
    },
    "gemma3": {"tie_word_embeddings": True},
    "gemma3_text": {
        "_sliding_window_pattern": 6, "head_dim": 256, "hidden_size": 2304, "intermediate_size": 9216,
        "max_position_embeddings": 131072, "num_attention_heads": 8, "num_hidden_layers": 26,
        "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "sliding_window": 4096, "tie_word_embeddings": True,
        "vocab_size": 262208,
    },
    "gemma3n": {"tie_word_embeddings": True},
    "gemma3n_text": {
        "altup_num_inputs": 4, "head_dim": 256, "hidden_size": 2048, "hidden_size_per_layer_input": 256,
        "laurel_rank": 64, "max_position_embeddings": 32768, "num_attention_heads": 8, "num_hidden_layers": 35,
        "num_key_value_heads": 2, "num_kv_shared_layers": 15, "sliding_window": 512, "tie_word_embeddings": True,
        "vocab_size": 262400, "vocab_size_per_layer_input": 262144,
    },
    "gemma4": {"tie_word_embeddings": True},
    "gemma4_text": {
        "head_dim": 256, "hidden_size": 2304, "hidden_size_per_layer_input": 256, "intermediate_size": 9216,
        "max_position_embeddings": 131072, "num_attention_heads": 8, "num_hidden_layers": 30,
        "num_key_value_heads": 4, "num_kv_shared_layers": 0, "sliding_window": 512, "tie_word_embeddings": True,
        "vocab_size": 262144, "vocab_size_per_layer_input": 262144,
    },
    "gemma4_vision": {
        "head_dim": 64, "hidden_size": 768, "intermediate_size": 3072, "max_position_embeddings": 131072,
        "num_attention_heads": 12, "num_hidden_layers": 16, "num_key_value_heads": 12, "patch_size": 16,
        "pooling_kernel_size": 3, "position_embedding_size": 10240,
    },
    "glm": {
        "attention_bias": True, "head_dim": 128, "num_key_value_heads": 2, "tie_word_embeddings": False,
    },
    "glm4": {
        "attention_bias": True, "head_dim": 128, "num_key_value_heads": 2, "tie_word_embeddings": False,
    },
    "glm4_moe": {
        "first_k_dense_replace": 1, "moe_intermediate_size": 1408, "n_routed_experts": 128, "n_shared_experts": 1,
        "num_experts_per_tok": 8, "num_key_value_heads": 8, "num_nextn_predict_layers": 1,
        "tie_word_embeddings": False,
    },
    "glm4_moe_lite": {
        "kv_lora_rank": 512, "moe_intermediate_size": 1536, "n_routed_experts": 64, "n_shared_experts": 1,
        "num_experts_per_tok": 4, "num_key_value_heads": 20, "q_lora_rank": 768, "qk_head_dim": 256,
        "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "tie_word_embeddings": False, "v_head_dim": 256,
    },
    "glm4v": {"tie_word_embeddings": False},
    "glm4v_moe": {"tie_word_embeddings": False},
    "glm4v_moe_text": {
        "attention_bias": True, "first_k_dense_replace": 1, "hidden_size": 4096, "intermediate_size": 10944,
        "max_position_embeddings": 65536, "moe_intermediate_size": 1408, "n_routed_experts": 128,
        "n_shared_experts": 1, "num_attention_heads": 96, "num_experts_per_tok": 8, "num_hidden_layers": 46,
        "num_key_value_heads": 8, "tie_word_embeddings": False, "vocab_size": 151424,
    },
    "glm4v_text": {
        "hidden_size": 4096, "intermediate_size": 13696, "max_position_embeddings": 32768,
        "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 2, "vocab_size": 151552,
    },
    "glm4v_vision": {
        "depth": 24, "hidden_size": 1536, "image_size": 336, "in_channels": 3, "intermediate_size": 13696,
        "out_hidden_size": 4096, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
    },
    "glm_moe_dsa": {
        "first_k_dense_replace": 3, "index_head_dim": 128, "index_n_heads": 32, "kv_lora_rank": 512,
        "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
        "num_key_value_heads": 64, "q_lora_rank": 2048, "qk_head_dim": 256, "qk_nope_head_dim": 192,
        "qk_rope_head_dim": 64, "tie_word_embeddings": False, "v_head_dim": 256,
    },
    "gpt2": {
        "n_layer": 12, "n_positions": 1024, "summary_proj_to_labels": True, "summary_use_proj": True,
        "tie_word_embeddings": True,
    },
    "gpt_bigcode": {
        "attention_softmax_in_fp32": True, "multi_query": True, "n_layer": 12, "n_positions": 1024,
        "num_key_value_heads": 1, "tie_word_embeddings": True,
    },
    "gpt_neox": {"attention_bias": True, "tie_word_embeddings": False, "use_parallel_residual": True},
    "gpt_oss": {
        "attention_bias": True, "head_dim": 64, "num_experts_per_tok": 4, "num_key_value_heads": 8,
        "num_local_experts": 128, "sliding_window": 128, "tie_word_embeddings": False,
    },
    "gptj": {"n_positions": 2048, "rotary_dim": 64, "tie_word_embeddings": False},
    "granite": {"tie_word_embeddings": False},
    "granitemoe": {"num_experts_per_tok": 2, "num_local_experts": 8, "tie_word_embeddings": False},
    "granitemoehybrid": {
        "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_state": 256, "mamba_expand": 2, "mamba_n_groups": 1,
        "mamba_n_heads": 128, "num_experts_per_tok": 2, "num_local_experts": 8, "shared_intermediate_size": 1024,
        "tie_word_embeddings": False,
    },
    "granitemoeshared": {
        "num_experts_per_tok": 2, "num_local_experts": 8, "shared_intermediate_size": 0,
        "tie_word_embeddings": False,
    },
    "hunyuan_v1_dense": {"tie_word_embeddings": False},
    "hunyuan_v1_moe": {"moe_topk": 1, "num_experts": 1, "tie_word_embeddings": False},
    "hy_v3": {
        "enable_moe_fp32_combine": True, "head_dim": 128, "moe_intermediate_size": 1536, "num_experts": 192,
        "num_experts_per_tok": 8, "num_key_value_heads": 8, "num_shared_experts": 1, "tie_word_embeddings": False,
    },
    "hyperclovax": {"tie_word_embeddings": False, "use_post_norm": True},
    "idefics3": {"tie_word_embeddings": False},
    "idefics3_vision": {
        "hidden_size": 1152, "image_size": 224, "intermediate_size": 3072, "num_attention_heads": 16,
        "num_channels": 3, "num_hidden_layers": 12, "patch_size": 32,
    },
    "internvl": {"image_seq_length": 256, "tie_word_embeddings": True, "vision_feature_layer": -1},
    "internvl_vision": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_channels": 3,
        "num_hidden_layers": 24, "use_absolute_position_embeddings": True, "use_mean_pooling": True,
    },
    "jamba": {
        "attn_layer_offset": 4, "attn_layer_period": 8, "expert_layer_offset": 1, "expert_layer_period": 2,
        "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_expand": 2, "num_experts": 16,
        "num_experts_per_tok": 2, "num_key_value_heads": 8, "tie_word_embeddings": False,
    },
    "kimi_k25": {"projection_hidden_size": 1152, "tie_word_embeddings": True},
    "kimi_linear": {
        "first_k_dense_replace": 0, "moe_layer_freq": 1, "moe_renormalize": True, "num_expert_group": 1,
        "num_nextn_predict_layers": 0, "num_shared_experts": 0, "tie_word_embeddings": False,
        "use_grouped_topk": True,
    },
    "laguna": {
        "gating": True, "head_dim": 128, "moe_intermediate_size": 512, "num_experts": 256, "num_experts_per_tok": 8,
        "num_key_value_heads": 8, "shared_expert_intermediate_size": 512, "sliding_window": 512,
        "tie_word_embeddings": False,
    },
    "lfm2": {
        "block_auto_adjust_ff_dim": True, "block_multiple_of": 256, "conv_L_cache": 3, "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "lfm2_moe": {
        "conv_L_cache": 3, "moe_intermediate_size": 1792, "num_dense_layers": 2, "num_experts": 32,
        "num_experts_per_tok": 4, "num_key_value_heads": 8, "tie_word_embeddings": True, "use_expert_bias": True,
    },
    "llama": {"tie_word_embeddings": False},
    "llama4": {"tie_word_embeddings": False},
    "llama4_text": {
        "attn_temperature_tuning": True, "head_dim": 128, "hidden_size": 5120, "interleave_moe_layer_step": 1,
        "intermediate_size": 8192, "intermediate_size_mlp": 16384, "max_position_embeddings": 131072,
        "num_attention_heads": 40, "num_experts_per_tok": 1, "num_hidden_layers": 48, "num_key_value_heads": 8,
        "num_local_experts": 16, "tie_word_embeddings": False, "use_qk_norm": True, "vocab_size": 202048,
    },
    "llama4_vision_model": {
        "hidden_size": 768, "image_size": 448, "intermediate_size": 5632, "num_attention_heads": 16,
        "num_channels": 3, "num_hidden_layers": 34, "patch_size": 14, "projector_input_dim": 4096,
    },
    "llava": {
        "image_seq_length": 576, "multimodal_projector_bias": True, "tie_word_embeddings": False,
        "vision_feature_layer": -2,
    },
    "llava_next": {
        "image_seq_length": 576, "multimodal_projector_bias": True, "tie_word_embeddings": False,
        "vision_feature_layer": -2,
    },
    "llava_onevision": {
        "multimodal_projector_bias": True, "tie_word_embeddings": False, "vision_feature_layer": -1,
    },
    "mamba": {
        "conv_kernel": 4, "expand": 2, "state_size": 16, "tie_word_embeddings": True, "use_conv_bias": True,
    },
    "mamba2": {
        "conv_kernel": 4, "expand": 2, "head_dim": 64, "n_groups": 8, "num_heads": 128, "state_size": 128,
        "tie_word_embeddings": False, "use_conv_bias": True,
    },
    "mimo_v2_flash": {
        "head_dim": 192, "moe_intermediate_size": 2048, "n_routed_experts": 256, "num_experts_per_tok": 8,
        "num_key_value_heads": 4, "sliding_window": 128, "tie_word_embeddings": False, "v_head_dim": 128,
    },
    "minicpm3": {
        "dim_model_base": 256, "kv_lora_rank": 256, "num_key_value_heads": 40, "q_lora_rank": 768,
        "qk_head_dim": 96, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "tie_word_embeddings": True,
    },
    "minimax_m2": {
        "head_dim": 128, "num_experts_per_tok": 8, "num_key_value_heads": 8, "num_local_experts": 256,
        "tie_word_embeddings": False,
    },
    "minimax_m3_vl_text": {
        "dense_intermediate_size": 12288, "head_dim": 128, "hidden_size": 6144, "index_block_size": 128,
        "index_head_dim": 128, "index_local_blocks": 1, "index_n_heads": 4, "intermediate_size": 3072,
        "max_position_embeddings": 524288, "num_attention_heads": 64, "num_experts_per_tok": 4,
        "num_hidden_layers": 60, "num_key_value_heads": 4, "num_local_experts": 128, "rotary_dim": 64,
        "shared_intermediate_size": 3072, "tie_word_embeddings": False, "vocab_size": 200064,
    },
    "ministral3": {"head_dim": 128, "num_key_value_heads": 8, "tie_word_embeddings": False},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096, "tie_word_embeddings": False},
    "mistral3": {"spatial_merge_size": 2, "tie_word_embeddings": True, "vision_feature_layer": -1},
    "mistral4": {
        "first_k_dense_replace": 0, "kv_lora_rank": 256, "moe_intermediate_size": 2048, "n_routed_experts": 128,
        "n_shared_experts": 1, "num_experts_per_tok": 4, "num_key_value_heads": 32, "q_lora_rank": 1024,
        "qk_head_dim": 128, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "tie_word_embeddings": False,
        "v_head_dim": 128,
    },
    "mixtral": {
        "num_experts_per_tok": 2, "num_key_value_heads": 8, "num_local_experts": 8, "tie_word_embeddings": False,
    },
    "modernbert": {"decoder_bias": True, "local_attention": 128, "tie_word_embeddings": True},
    "nemotron": {"tie_word_embeddings": False},
    "nemotron_h": {
        "conv_kernel": 4, "expand": 2, "head_dim": 128, "mamba_head_dim": 64, "mamba_num_heads": 128,
        "moe_intermediate_size": 7688, "moe_shared_expert_intermediate_size": 7688, "n_groups": 8,
        "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "num_key_value_heads": 8,
        "num_nextn_predict_layers": 0, "ssm_state_size": 128, "tie_word_embeddings": False, "use_conv_bias": True,
    },
    "nomic_bert": {"max_position_embeddings": 2048, "type_vocab_size": 2},
    "olmo": {"tie_word_embeddings": False},
    "olmo2": {"tie_word_embeddings": False},
    "olmo3": {"sliding_window": 4096, "tie_word_embeddings": False},
    "olmoe": {"num_experts": 64, "num_experts_per_tok": 8, "tie_word_embeddings": False},
    "opt": {
        "do_layer_norm_before": True, "enable_bias": True, "ffn_dim": 3072, "layer_norm_elementwise_affine": True,
        "max_position_embeddings": 2048, "tie_word_embeddings": True,
    },
    "paligemma": {"projection_dim": 2048, "tie_word_embeddings": True},
    "phi": {"tie_word_embeddings": False},
    "phi3": {"original_max_position_embeddings": 4096, "tie_word_embeddings": False},
    "phimoe": {
        "num_experts_per_tok": 2, "num_key_value_heads": 8, "num_local_experts": 16, "tie_word_embeddings": False,
    },
    "pixtral": {
        "hidden_size": 1024, "image_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
        "num_channels": 3, "num_hidden_layers": 24, "patch_size": 16,
    },
    "qwen2": {
        "max_window_layers": 28, "num_key_value_heads": 32, "tie_word_embeddings": False,
        "use_sliding_window": False,
    },
    "qwen2_5_vl": {"tie_word_embeddings": False},
    "qwen2_5_vl_text": {
        "hidden_size": 8192, "intermediate_size": 29568, "max_position_embeddings": 32768, "max_window_layers": 80,
        "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8, "use_sliding_window": False,
        "vocab_size": 152064,
    },
    "qwen2_5_vl_vision": {
        "depth": 32, "hidden_size": 3584, "in_channels": 3, "intermediate_size": 3420, "out_hidden_size": 3584,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
    },
    "qwen2_moe": {
        "decoder_sparse_step": 1, "max_window_layers": 28, "moe_intermediate_size": 1408, "num_experts": 60,
        "num_experts_per_tok": 4, "num_key_value_heads": 16, "qkv_bias": True,
        "shared_expert_intermediate_size": 5632, "sliding_window": 0, "tie_word_embeddings": False,
        "use_sliding_window": False,
    },
    "qwen2_vl": {"tie_word_embeddings": False},
    "qwen2_vl_text": {
        "hidden_size": 8192, "intermediate_size": 29568, "max_position_embeddings": 32768, "max_window_layers": 80,
        "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8, "use_sliding_window": False,
        "vocab_size": 152064,
    },
    "qwen2_vl_vision": {
        "depth": 32, "embed_dim": 1280, "hidden_size": 3584, "in_channels": 3, "mlp_ratio": 4, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2,
    },
    "qwen3": {
        "head_dim": 128, "max_window_layers": 28, "num_key_value_heads": 32, "tie_word_embeddings": False,
        "use_sliding_window": False,
    },
    "qwen3_5": {"tie_word_embeddings": False},
    "qwen3_5_moe": {"tie_word_embeddings": False},
    "qwen3_5_moe_text": {
        "head_dim": 256, "hidden_size": 2048, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
        "max_position_embeddings": 32768, "moe_intermediate_size": 512, "num_attention_heads": 16,
        "num_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 40, "num_key_value_heads": 2,
        "shared_expert_intermediate_size": 512, "tie_word_embeddings": False, "vocab_size": 248320,
    },
    "qwen3_5_text": {
        "head_dim": 256, "hidden_size": 4096, "intermediate_size": 12288, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
        "linear_value_head_dim": 128, "max_position_embeddings": 32768, "num_attention_heads": 16,
        "num_hidden_layers": 32, "num_key_value_heads": 4, "tie_word_embeddings": False, "vocab_size": 248320,
    },
    "qwen3_moe": {
        "decoder_sparse_step": 1, "moe_intermediate_size": 768, "num_experts_per_tok": 8, "num_key_value_heads": 4,
        "num_local_experts": 128, "tie_word_embeddings": False, "use_sliding_window": False,
    },
    "qwen3_next": {
        "decoder_sparse_step": 1, "head_dim": 256, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
        "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
        "moe_intermediate_size": 512, "num_experts": 512, "num_experts_per_tok": 10, "num_key_value_heads": 2,
        "shared_expert_intermediate_size": 512, "tie_word_embeddings": False,
    },
    "qwen3_vl": {"tie_word_embeddings": False},
    "qwen3_vl_moe": {"tie_word_embeddings": False},
    "qwen3_vl_moe_text": {
        "decoder_sparse_step": 1, "hidden_size": 2048, "intermediate_size": 5632, "max_position_embeddings": 128000,
        "moe_intermediate_size": 1408, "num_attention_heads": 16, "num_experts_per_tok": 4, "num_hidden_layers": 24,
        "num_key_value_heads": 16, "num_local_experts": 60, "tie_word_embeddings": True, "vocab_size": 151936,
    },
    "qwen3_vl_text": {
        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 22016, "max_position_embeddings": 128000,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "vocab_size": 151936,
    },
    "qwen3_vl_vision": {
        "depth": 27, "hidden_size": 1152, "in_channels": 3, "intermediate_size": 4304,
        "num_position_embeddings": 2304, "out_hidden_size": 3584, "patch_size": 16, "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "roberta": {"tie_word_embeddings": True, "type_vocab_size": 2},
    "seed_oss": {
        "attention_bias": True, "head_dim": 128, "num_key_value_heads": 8, "tie_word_embeddings": False,
    },
    "siglip_vision_model": {
        "hidden_size": 768, "image_size": 224, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_channels": 3, "num_hidden_layers": 12, "patch_size": 16,
    },
    "smollm3": {"num_key_value_heads": 4, "tie_word_embeddings": True, "use_sliding_window": False},
    "smolvlm": {"tie_word_embeddings": False},
    "stablelm": {"num_key_value_heads": 32, "tie_word_embeddings": False},
    "starcoder2": {"num_key_value_heads": 2, "tie_word_embeddings": True, "use_bias": True},
    "whisper": {
        "classifier_proj_size": 256, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536, "decoder_layers": 4,
        "encoder_ffn_dim": 1536, "mask_feature_length": 10, "mask_feature_min_masks": 0, "mask_time_length": 10,
        "mask_time_min_masks": 2, "max_source_positions": 1500, "max_target_positions": 448,
        "median_filter_width": 7, "num_mel_bins": 80, "tie_word_embeddings": True, "vocab_size": 51865,
    },
    "xlm-roberta": {"tie_word_embeddings": True, "type_vocab_size": 2},
}  # fmt: skip

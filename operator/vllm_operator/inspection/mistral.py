"""Mistral's own params.json as the config.json that vLLM makes of it. Only of plain text models; opens no file.

Source: vllm/transformers_utils/configs/mistral.py, vLLM 0.32.
"""

from collections.abc import Mapping
from typing import Any

from ..api.reasons import Reason
from .report import InspectionError

PARAMS = "params.json"
_NAMES = {
    "dim": "hidden_size",
    "norm_eps": "rms_norm_eps",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
}
_SAME = ("head_dim", "vocab_size", "rope_theta")
# What makes another model of it, which vLLM knows and this does not: the key, and the word for people.
_OTHERS = {
    "moe": "experts",
    "multimodal": "a part for images or sound",
    "vision_encoder": "a part for images",
    "quantization": "quantized weights",
    "qk_nope_head_dim": "latent attention",
    "sliding_window": "a sliding window",
}


def config_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a plain text model. Raises InspectionError for any other: the plan cannot say."""
    if others := [word for key, word in _OTHERS.items() if params.get(key)]:
        text = f"{PARAMS}, in Mistral's own format, is of a model with {' and '.join(others)}: no plan is made of it"
        raise InspectionError(Reason.MODEL_NOT_PLANNED, text)
    if lacking := [key for key in ("dim", "n_layers", "n_heads", "hidden_dim", "vocab_size") if key not in params]:
        raise InspectionError(Reason.UNREADABLE, f"{PARAMS} has no {lacking[0]}: it is none of a model")
    config = {new: params[old] for old, new in _NAMES.items() if old in params}
    config |= {key: params[key] for key in _SAME if key in params}
    return {
        **config,
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "sliding_window": None,
        # Where it is left out, vLLM looks at the tensors; Mistral's are of this type.
        "torch_dtype": params.get("dtype") or "bfloat16",
        "tie_word_embeddings": bool(params.get("tied_embeddings", False)),
        "max_position_embeddings": params.get("max_position_embeddings", 128_000),
    }

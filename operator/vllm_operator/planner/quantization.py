"""Which quantization a model has, as vLLM reads its files, and how that stores matrices.

Where both files say something, config.json wins over hf_quant_config.json (vLLM 0.32, transformers_utils/config.py).
Whether a GPU can run it is decided in `methods.py`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .checkpoints import BUILDERS
from .identity import Same
from .schemes import DTYPE_BYTES, MXFP4_BLOCK, Scheme, affordable
from .shapes import Cached, Layer, ModelShape
from .values import ModelConfigError, mapping

__all__ = ["ALIASES", "DTYPE_BYTES", "MXFP4_BLOCK", "Scheme", "kv_dtype_of", "method_of", "scheme_of", "settings_of"]

# What vLLM quantizes itself while it loads an unquantized checkpoint. The output head and embeddings stay as they are.
_ONLINE = {
    "fp8": Scheme("fp8_per_tensor", 8, tensor_bytes=4, fused_input="fp8"),
    "fp8_per_tensor": Scheme("fp8_per_tensor", 8, tensor_bytes=4, fused_input="fp8"),
    "fp8_per_channel": Scheme("fp8_per_channel", 8, scale_bytes=4, fused_input="fp8"),
    "fp8_per_block": Scheme("fp8_per_block", 8, block=(128, 128)),
    "mxfp8": Scheme("mxfp8", 8, MXFP4_BLOCK, scale_bytes=1),
    "mxfp4": Scheme("mxfp4", 4, MXFP4_BLOCK, scale_bytes=1),
    "nvfp4_per_token": Scheme("nvfp4_per_token", 4, 16, scale_bytes=1, tensor_bytes=8, experts_only=True),
    "int8_per_channel_weight_only": Scheme("int8_per_channel_weight_only", 8, scale_bytes=4, experts_only=True),
    "experts_int8": Scheme("experts_int8", 8, scale_bytes=4, experts_only=True),
}

# Other spellings of the same quantization.
ALIASES = {
    "awq_marlin": "awq", "auto_awq": "awq", "gptq_marlin": "gptq", "auto_gptq": "gptq", "gpt_oss_mxfp4": "mxfp4",
    "nvfp4": "modelopt_fp4",
}  # fmt: skip
# ModelOpt writes one method for all, and vLLM takes the one of the algorithm.
_OF_ALGORITHMS = {
    "NVFP4": "modelopt_fp4", "W4A16_NVFP4": "modelopt_fp4", "MXFP8": "modelopt_mxfp8",
    "MIXED_PRECISION": "modelopt_mixed",
}  # fmt: skip

# transformers_utils/model_arch_config_convertor.py, `_normalize_quantization_config`.
_OF_PRODUCER = {
    "FP8": "modelopt", "FP8_PER_CHANNEL_PER_TOKEN": "modelopt", "FP8_PB_WO": "modelopt", "NVFP4": "modelopt_fp4",
}  # fmt: skip
_KV_DTYPES = {"fp8": "fp8", "nvfp4": "nvfp4"}


def settings_of(config: Mapping[str, Any], beside: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What vLLM takes for the quantization's settings: config.json's, else those of hf_quant_config.json, if any.

    Raises ModelConfigError where they are no object.
    """
    text = config.get("text_config")
    inner = text.get("quantization_config") if isinstance(text, Mapping) else None
    for found in (config.get("quantization_config"), config.get("compression_config"), beside, inner):
        if found is not None:
            settings = mapping("quantization_config", found)
            types = {"expert_dtype": config["expert_dtype"]} if config.get("expert_dtype") else {}
            return {**settings, **types} if settings else None
    return None


def method_of(model: ModelShape) -> str:
    """The quantization that the checkpoint says it has, as vLLM spells it; "" for none."""
    config = model.quantization
    if not config:
        return ""
    method = str(config.get("quant_method") or "").lower().replace("compressed_tensors", "compressed-tensors")
    inner = config.get("quantization")
    content = inner if isinstance(inner, Mapping) else config
    algorithm = str(content.get("quant_algo") or "").upper()
    if not method:
        return _of_producer(config, content, algorithm)
    if method == "modelopt":
        return _OF_ALGORITHMS.get(algorithm, method)
    return ALIASES.get(method, method)


def _of_producer(config: Mapping[str, Any], content: Mapping[str, Any], algorithm: str) -> str:
    """hf_quant_config.json names no method: ModelOpt's is told by who made it and the algorithm, if vLLM knows that."""
    producer = config.get("producer")
    made = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    if content is config or not algorithm or not (made or "modelopt_quant_config" in content):
        return ""
    return _OF_PRODUCER.get(algorithm, f"modelopt {algorithm}")


def scheme_of(model: ModelShape, requested: str | None) -> Scheme | None:
    """How the matrices are stored; None for a quantization whose storage the planner does not know.

    Raises ModelConfigError for settings that no checkpoint can have.
    """
    method = method_of(model)
    if not method:
        if not requested:
            return Scheme("", 8 * DTYPE_BYTES[model.dtype])
        return _ONLINE.get(requested)
    return _built(method, Same(model.quantization or {}), Same(model.layers))


# Few, as one may have some 17 compiled patterns and 8,192 names.
@lru_cache(maxsize=8)
def _built(method: str, settings: Same[Mapping[str, Any]], layers: Same[tuple[Layer, ...]]) -> Scheme | None:
    """Those of one model are read once, however often it is planned."""
    build = BUILDERS.get(method)
    scheme = build(settings.value) if build else None
    return scheme and affordable(scheme, layers.value)


def kv_dtype_of(model: ModelShape) -> str:
    """The type of the KV cache that the checkpoint asks for; "auto" where it says nothing, or vLLM does not listen.

    It listens to ModelOpt (utils/torch_utils.py), and where attention is not latent also to compressed-tensors
    (layers/attention/attention.py).
    """
    method, config = method_of(model), model.quantization or {}
    if method == "compressed-tensors":
        latent = any(layer.cache and layer.cache.kind is Cached.LATENT for layer in model.layers)
        return "fp8" if config.get("kv_cache_scheme") and not latent else "auto"
    if not method.startswith("modelopt"):
        return "auto"
    inner = config.get("quantization")
    content = inner if isinstance(inner, Mapping) else config
    scheme = content.get("kv_cache_scheme") or config.get("kv_cache_scheme")
    algorithm = content.get("kv_cache_quant_algo") or config.get("kv_cache_quant_algo")
    if isinstance(scheme, Mapping):
        bits = scheme.get("num_bits")
        return "fp8" if bits == 8 else "nvfp4" if bits == 4 else "auto"
    return _KV_DTYPES.get(str(scheme or algorithm).lower(), "auto")


def check_quantization(model: ModelShape) -> None:
    """Raise ModelConfigError where the checkpoint's settings make no sense: a plan does not, then."""
    try:
        scheme_of(model, None)
        kv_dtype_of(model)
    except ModelConfigError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise ModelConfigError(f"the model config's quantization cannot be read: {error}") from error

"""Parameters of the towers that turn images into tokens: SigLIP, Pixtral, Qwen2.5-VL's. Every rank has them whole."""

from .config import Config


def vision_elements(config: Config) -> int:
    """Parameters of the vision tower with its projector; 0 without one. Other towers are taken for SigLIP's shape."""
    vision = config.vision
    if vision is None or not vision.get("hidden_size"):
        return 0
    kind = str(vision.get("model_type") or "")
    if kind == "pixtral":
        return _pixtral(config)
    if kind.startswith("qwen2_5_vl") or config.whole.get("model_type") == "qwen2_5_vl":
        return _qwen(config)
    return _siglip(config)


def _number(config: Config, key: str, default: int) -> int:
    return int((config.vision or {}).get(key) or default)


def _siglip(config: Config) -> int:
    """SigLIP as in Gemma 3, with a norm and one matrix to the text's width."""
    width = _number(config, "hidden_size", 1152)
    inner, patch = _number(config, "intermediate_size", 4 * width), _number(config, "patch_size", 14)
    side = _number(config, "image_size", 224) // patch
    layer = 4 * width * width + 4 * width + 2 * width * inner + inner + width + 4 * width
    depth = _number(config, "num_hidden_layers", _number(config, "depth", 27))
    embedding = 3 * patch * patch * width + width + side * side * width
    return depth * layer + embedding + 2 * width + width * config.hidden + width


def _pixtral(config: Config) -> int:
    """Pixtral as in Mistral Small 3.1: no biases, a gated MLP, and a merger of 2 by 2 patches before the projector."""
    width = _number(config, "hidden_size", 1024)
    inner, patch = _number(config, "intermediate_size", 4 * width), _number(config, "patch_size", 14)
    merged = int(config.whole.get("spatial_merge_size") or 2) ** 2
    layer = 4 * width * width + 3 * width * inner + 2 * width
    embedding = 3 * patch * patch * width + width
    projector = merged * width * width + width + width * config.hidden + config.hidden * config.hidden
    return _number(config, "num_hidden_layers", 24) * layer + embedding + projector


def _qwen(config: Config) -> int:
    """Qwen2.5-VL's: biases everywhere but in the norms, a gated MLP, two frames a patch, and a merger of 2 by 2."""
    width = _number(config, "hidden_size", 1280)
    inner, patch = _number(config, "intermediate_size", 3420), _number(config, "patch_size", 14)
    joined = width * _number(config, "spatial_merge_size", 2) ** 2
    layer = 4 * width * width + 4 * width + 3 * width * inner + 2 * inner + width + 2 * width
    embedding = 3 * _number(config, "temporal_patch_size", 2) * patch * patch * width
    merger = width + joined * joined + joined + joined * config.hidden + config.hidden
    return _number(config, "depth", 32) * layer + embedding + merger

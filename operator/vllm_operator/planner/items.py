"""Models whose tokens of an image or a video see each other, so that a batch must hold all of one: how many there are.

Source: vLLM 0.32, platforms/cuda.py and rocm.py (`disable_chunked_mm_input`), v1/core/encoder_cache_manager.py
(`compute_mm_encoder_budget`), engine/arg_utils.py (`_get_min_mm_batched_tokens`).
"""

from collections.abc import Callable

from ..api import InferenceServiceSpec
from .asked import at_most, limits_of
from .config import Config
from .shapes import ModelShape
from .values import whole

Items = tuple[tuple[str, int], ...]
"""Kinds of inputs, and the tokens of the largest one."""
RAISED = frozenset({
    "BagelForConditionalGeneration", "Gemma4ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration",
})  # fmt: skip
"""Models for which vLLM makes the batch that it chooses large enough."""
_VIDEO = "video"
_FRAMES, _FRAME_TOKENS = 32, 70 + 2 + 6
"""Of a video of Gemma 4: at most, and with the marks and the time of each (models/gemma4_mm.py)."""
_SOUND_TOKENS = 750
"""Of Gemma 4, where its processor does not say otherwise (transformers, gemma4/processing_gemma4.py)."""


def whole_items(config: Config) -> Items:
    """Of which a batch must hold all; none where it need not, or where that is not known."""
    row = _ITEMS.get(str(config.whole.get("model_type"))) if config.images_whole else None
    return row(config) if row else ()


def gemma3_tokens(config: Config) -> int:
    """Of an image, without pan and scan, which processors leave off."""
    key = "mm_tokens_per_image"
    return whole(key, config.whole.get(key, 256))


def paligemma_tokens(config: Config) -> int:
    """Of an image."""
    vision = config.tower("vision_config")
    side = vision.integer("image_size", 224) // max(1, vision.integer("patch_size", 14))
    return side * side


def _gemma3(config: Config) -> Items:
    return (("image", gemma3_tokens(config)),)


def _gemma4(config: Config) -> Items:
    image = config.tower("vision_config").either(("default_output_length", "num_soft_tokens"), 280)
    sound = (("audio", _SOUND_TOKENS),) if config.whole.get("audio_config") else ()
    return ("image", image), (_VIDEO, _FRAMES * _FRAME_TOKENS), *sound


def _paligemma(config: Config) -> Items:
    return (("image", paligemma_tokens(config)),)


_ITEMS: dict[str, Callable[[Config], Items]] = {
    "gemma3": _gemma3, "gemma4": _gemma4, "gemma4_unified": _gemma4, "paligemma": _paligemma,
}  # fmt: skip


def least_batch(spec: InferenceServiceSpec, model: ModelShape) -> int:
    """Tokens that the batch has at least which vLLM chooses, also where no request may have that input."""
    if model.text_only or model.architecture not in RAISED:
        return 0
    return max((tokens for _, tokens in _shortened(spec, model)), default=0)


def largest_item(spec: InferenceServiceSpec, model: ModelShape) -> tuple[str, int] | None:
    """The largest that a request may have, and its tokens; None: it need not be in one batch."""
    limits = limits_of(spec)
    allowed = [] if model.text_only else [one for one in _shortened(spec, model) if at_most(limits, one[0]) != 0]
    return max(allowed, key=lambda item: item[1], default=None)


def _shortened(spec: InferenceServiceSpec, model: ModelShape) -> Items:
    """With videos of as many frames as --limit-mm-per-prompt allows."""
    options = limits_of(spec).get(_VIDEO)
    frames = options.get("num_frames") if isinstance(options, dict) else None
    if not isinstance(frames, int) or frames >= _FRAMES:
        return model.items
    return tuple((kind, frames * _FRAME_TOKENS if kind == _VIDEO else tokens) for kind, tokens in model.items)

"""What a model's vision tower sees: the largest image and video, and how much of each patch is alive on its way.

How large they are is what the processors of the published checkpoints say, and the models' `get_mm_max_tokens_per_item`
(vLLM 0.32). What is alive of a patch at the peak was measured on an H200 for each tower here, with images and videos of
several sizes; it is the same for each patch.
"""

from collections.abc import Callable
from dataclasses import replace

from .config import Config
from .items import gemma3_tokens, paligemma_tokens
from .shapes import Seen, Sight
from .values import whole

QWEN2_PIXELS, QWEN3_PIXELS, QWEN3_VIDEO_TOKENS = 12_845_056, 16_777_216, 12_288
"""Pixels of the largest image, and tokens of the longest video, as the processors of Qwen's checkpoints have them."""
QWEN2_VIDEO_STEPS = 7
"""Of two frames each, that vLLM takes of a video when it measures (models/qwen2_vl.py, `_MAX_FRAMES_PER_VIDEO`)."""
_COLOURS = 3


def sight_of(config: Config, tower: str) -> Sight | None:
    """What the tower of a model sees; None where that was not measured."""
    row = _SIGHTS.get(tower)
    return row(config, config.tower("vision_config")) if row and config.vision is not None else None


def with_pixels(sight: Sight, pixels: int) -> Sight:
    """With the largest image that the model's own processor makes. Qwen2's videos have frames of that size, too."""
    area = sight.patch**2 * sight.merged
    sized = max(1, pixels // area)
    items = tuple(
        replace(item, tokens=sized, patches=sized * sight.merged) if item.kind == "image" or item.steps > 1 else item
        for item in sight.items
    )
    return replace(sight, items=items, measured=True)


def _qwen2(_config: Config, part: Config) -> Sight:
    width = part.integer("embed_dim", 1280)
    return _qwen(part, Sight(
        _qwen2_items(part), width, width * part.integer("mlp_ratio", 4), widths=3, inners=2,
    ))  # fmt: skip


def _qwen2_5(_config: Config, part: Config) -> Sight:
    return _qwen(part, Sight(
        _qwen2_items(part), part.integer("hidden_size", 1280), part.integer("intermediate_size", 3420), widths=5,
        inners=3, in_place=2,
    ))  # fmt: skip


def _qwen3(_config: Config, part: Config) -> Sight:
    deep = part.get("deepstack_visual_indexes")
    image = QWEN3_PIXELS // _unit(part, 16) ** 2
    merged = part.integer("spatial_merge_size", 2) ** 2
    items = (Seen("image", image, image * merged), Seen("video", QWEN3_VIDEO_TOKENS, QWEN3_VIDEO_TOKENS * merged))
    return _qwen(part, Sight(
        items, part.integer("hidden_size", 1152), part.integer("intermediate_size", 4304), widths=3, inners=2,
        attention=10, deeper=len(deep) if isinstance(deep, list) else 0, patch=16,
    ))  # fmt: skip


def _qwen(part: Config, sight: Sight) -> Sight:
    """With the positions of a head, and pixels as bytes, which the GPU makes numbers of."""
    heads, side = part.integer("num_heads", 16), part.integer("patch_size", sight.patch)
    pixels = _COLOURS * part.integer("temporal_patch_size", 2) * side * side
    return replace(sight, rest=sight.width // max(1, heads), pixel_bytes=pixels, patch=side)


def _unit(part: Config, patch: int) -> int:
    return max(1, part.integer("patch_size", patch) * part.integer("spatial_merge_size", 2))


def _qwen2_items(part: Config) -> tuple[Seen, ...]:
    image = QWEN2_PIXELS // _unit(part, 14) ** 2
    patches = image * part.integer("spatial_merge_size", 2) ** 2
    return Seen("image", image, patches), Seen("video", image, patches, QWEN2_VIDEO_STEPS)


def _siglip(part: Config, tokens: int, patches: int) -> Sight:
    patch = part.integer("patch_size", 14)
    return Sight(
        (Seen("image", tokens, patches),), part.integer("hidden_size", 1152), part.integer("intermediate_size", 4304),
        widths=4, inners=2, pixel_bytes=2 * _COLOURS * patch * patch, patch=patch, measured=True,
    )  # fmt: skip


def _side(part: Config, size: int) -> int:
    """Patches along a side of the largest image."""
    return part.integer("image_size", size) // max(1, part.integer("patch_size", 14))


def _gemma3(config: Config, part: Config) -> Sight:
    return _siglip(part, gemma3_tokens(config), _side(part, 896) ** 2)


def _paligemma(config: Config, part: Config) -> Sight:
    patches = paligemma_tokens(config)
    return _siglip(part, patches, patches)


def _pixtral(part: Config, merge: int) -> Sight:
    """One token more ends each row."""
    side, patch = _side(part, 1540), part.integer("patch_size", 14)
    rows = max(1, side // max(1, merge))
    width = part.integer("hidden_size", 1024)
    return Sight(
        (Seen("image", rows * (rows + 1), side * side),), width, part.integer("intermediate_size", 4 * width), widths=6,
        inners=3, rest=3 * part.integer("head_dim", 64), pixel_bytes=2 * _COLOURS * patch * patch, patch=patch,
    )  # fmt: skip


def _mistral3(config: Config, part: Config) -> Sight:
    return _pixtral(part, whole("spatial_merge_size", config.whole.get("spatial_merge_size") or 2))


def _llava(_config: Config, part: Config) -> Sight | None:
    return _pixtral(part, 1) if part.get("model_type") == "pixtral" else None


_SIGHTS: dict[str, Callable[[Config, Config], Sight | None]] = {
    "qwen2": _qwen2, "qwen2_5": _qwen2_5, "qwen3": _qwen3, "gemma3": _gemma3, "paligemma": _paligemma,
    "mistral3": _mistral3, "llava": _llava,
}  # fmt: skip

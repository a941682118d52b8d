"""How large an image a model's processor makes at most, where a file beside config.json says it. Opens no file.

Only of Qwen's processors, in whose files it is an area; those of other towers in planner/sight.py go by config.json.
Source: transformers 5, models/qwen2_vl/image_processing_qwen2_vl.py; vLLM 0.32, models/qwen2_vl.py
(`_get_vision_size`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..api import limits

# The file, and the key of the part about images, "" where it is about nothing else.
FILES = {"preprocessor_config.json": "", "processor_config.json": "image_processor"}
_KIND = "Qwen2VLImageProcessor"


def pixels_of(names: Collection[str], read: Callable[[str], Mapping[str, Any] | None]) -> int | None:
    """Pixels of the largest image, by the first of these files among `names` that says anything; None: none does.

    `read` gives None for a file that holds no object. Raises what it raises.
    """
    for name, key in FILES.items():
        content = read(name) if name in names else None
        part = content.get(key) if isinstance(content, Mapping) and key else content
        if isinstance(part, Mapping) and str(part.get("image_processor_type")).startswith(_KIND):
            size = part.get("size")
            said = part.get("max_pixels") or (size.get("longest_edge") if isinstance(size, Mapping) else None)
            return limits.whole(said, limits.IMAGE_PIXELS) or None
    return None

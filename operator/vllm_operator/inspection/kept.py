"""What an inspection found, as it is kept: plain JSON in the cluster, and packed in the operator's memory. Pure.

A plan is made from it for as long as the same model is named, without another look at the model.
"""

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .report import Facts, fold, unfold

Content = Mapping[str, Any]


def content_of(facts: Facts) -> Content:
    """The JSON object that keeps the facts. Long lists of module names are folded: they may name thousands."""
    return {
        "commit": facts.commit,
        "weightsBytes": facts.weights_bytes,
        "chatTemplate": facts.chat_template,
        "config": fold(facts.config),
        "quantization": fold(facts.quantization),
    }


def pack(content: Content) -> bytes:
    """The content for the memory of the operator; equal contents give equal bytes."""
    return zlib.compress(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def unpack(packed: bytes) -> Content:
    """The content that was packed."""
    return dict(json.loads(zlib.decompress(packed)))


@lru_cache(maxsize=512)
def facts_of(packed: bytes) -> Facts:
    """The facts that were packed. Raises KeyError where something else was."""
    content = json.loads(zlib.decompress(packed), object_hook=unfold)
    return Facts(
        content["config"],
        content["quantization"],
        content["weightsBytes"],
        content["commit"],
        content["chatTemplate"],
    )

"""What an inspection found, as it is kept: plain JSON in the cluster, and packed in the operator's memory. Pure.

A plan is made from it for as long as the same model is named, without another look at the model.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from ..api.encoding import canonical
from ..api.limits import CACHE_BYTES, OBJECTS_PER_BYTE, mapping
from .cache import SizedCache
from .report import Facts, facts_in

Content = Mapping[str, Any]


def pack(content: Content) -> bytes:
    """The content for the memory of the operator; equal contents give equal bytes."""
    return pack_text(canonical(content))


def pack_text(text: bytes) -> bytes:
    """The same of a content that is canonical JSON already."""
    return zlib.compress(text, level=1)


def unpack(packed: bytes) -> Content:
    """The content that was packed."""
    return dict(json.loads(zlib.decompress(packed)))


def checked(content: Any) -> Content:
    """The content, if it is one of facts. Raises InspectionError: anybody who may edit a namespace may write one."""
    facts_in(mapping(content))
    return mapping(content)


_FACTS = SizedCache[tuple[Facts, int]](CACHE_BYTES)


def facts_of(packed: bytes) -> Facts:
    """The facts that were packed. Raises InspectionError where something else was."""
    return _FACTS.get(packed, lambda: _facts(packed))[0]


def size_of(packed: bytes) -> int:
    """About how many bytes the facts that were packed take in memory, when they are read. Raises InspectionError."""
    return _FACTS.get(packed, lambda: _facts(packed))[1]


def _facts(packed: bytes) -> tuple[tuple[Facts, int], int]:
    text = zlib.decompress(packed)
    facts, names = facts_in(json.loads(text))
    size = len(packed) + OBJECTS_PER_BYTE * len(text) + names
    return (facts, size), size

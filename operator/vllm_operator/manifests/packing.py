"""A rendering as it is held in memory: packed, as there may be ten thousand.

Half of a template is our middleware, or two thirds of one of an older operator. It is held once for all templates that
have the same, whatever version it is of.
"""

import hashlib
import json
import zlib
from typing import NamedTuple

from .metadata import Manifest
from .names import MIDDLEWARE_ANNOTATION
from .revision import Rendered

# What the middleware has before it in JSON.
_BEFORE = f'"{MIDDLEWARE_ANNOTATION}":'
# What is in its place. No JSON has this character as it is.
_MARK = "\0"
# By digest. Versions are few; whoever writes others into kept templates does so for more bytes of their own.
_held: dict[str, str] = {}
MOST_HELD = 16


class Packed(NamedTuple):
    """A packed rendering, which is put together again as it was, the order of its fields included."""

    template: bytes
    resolved: str | None
    """As JSON; None: kept by an operator that knew no ServingClasses."""

    def unpack(self) -> Rendered:
        """The rendering that was packed."""
        return Rendered(unpack_template(self.template), None if self.resolved is None else json.loads(self.resolved))


def pack(rendered: Rendered) -> Packed:
    """Packs a rendering."""
    resolved = None if rendered.resolved is None else json.dumps(list(rendered.resolved))
    return Packed(pack_template(json.dumps(rendered.template)), resolved)


def pack_template(text: str) -> bytes:
    """Packs a template that is JSON already."""
    return zlib.compress(_without_middleware(text).encode())


def unpack_template(packed: bytes) -> Manifest:
    """The template that was packed by this very process."""
    before, *rest = zlib.decompress(packed).decode().split(_MARK)
    text = f"{before}{_held[rest[0]]}{rest[1]}" if rest else before
    return dict(json.loads(text))


def _without_middleware(text: str) -> str:
    """The text with a mark in the place of the middleware, which is held."""
    before, name, rest = text.partition(_BEFORE)
    end = _end_of_text(rest, rest.find('"')) if rest[:2].lstrip(" ").startswith('"') else 0
    if not end:
        return text
    found, after = rest[:end], rest[end:]
    digest = hashlib.sha256(found.encode()).hexdigest()[:16]
    if digest not in _held and len(_held) == MOST_HELD:
        return text
    _held.setdefault(digest, found)
    return f"{before}{name}{_MARK}{digest}{_MARK}{after}"


def _end_of_text(text: str, start: int) -> int:
    """Where a text of JSON ends, whose first quote is at `start`: after the next one that is not escaped; else 0."""
    quote = start
    while (quote := text.find('"', quote + 1)) >= 0:
        slash = quote
        while text[slash - 1] == "\\":
            slash -= 1
        if (quote - slash) % 2 == 0:
            return quote + 1
    return 0

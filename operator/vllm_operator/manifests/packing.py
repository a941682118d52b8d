"""A rendering as it is held in memory: packed, as there may be ten thousand.

Half of a template is our middleware, or two thirds of one of an older operator. It is held once for all templates that
have the same, whatever version it is of.
"""

import hashlib
import json
import re
import zlib
from typing import NamedTuple

from .metadata import Manifest
from .names import MIDDLEWARE_ANNOTATION
from .revision import Rendered

# The middleware as it stands in JSON, within its quotes.
_MIDDLEWARE = re.compile(rf'(?<="{re.escape(MIDDLEWARE_ANNOTATION)}":)( ?)"([^"\\]*(?:\\.[^"\\]*)*)"')
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
    return zlib.compress(_MIDDLEWARE.sub(_hold, text, count=1).encode())


def unpack_template(packed: bytes) -> Manifest:
    """The template that was packed by this very process."""
    before, *rest = zlib.decompress(packed).decode().split(_MARK)
    text = f"{before}{_held[rest[0]]}{rest[1]}" if rest else before
    return dict(json.loads(text))


def _hold(found: re.Match[str]) -> str:
    digest = hashlib.sha256(found[0].encode()).hexdigest()[:16]
    if digest not in _held and len(_held) == MOST_HELD:
        return found[0]
    _held.setdefault(digest, found[0])
    return f"{_MARK}{digest}{_MARK}"

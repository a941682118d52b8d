"""A rendering as it is held in memory: packed, as there may be ten thousand. Pure.

Half of a template is our middleware, which most templates share: it is packed against that file.
"""

import json
import zlib
from functools import cache
from typing import NamedTuple

from .metadata import Manifest
from .pod import middleware_source
from .revision import Rendered


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
    packing = zlib.compressobj(zdict=_shared())
    return packing.compress(text.encode()) + packing.flush()


def unpack_template(packed: bytes) -> Manifest:
    """The template that was packed by this very operator: another version may have another middleware."""
    return dict(json.loads(zlib.decompressobj(zdict=_shared()).decompress(packed)))


@cache
def _shared() -> bytes:
    """What most templates have in common, as it stands in JSON."""
    return json.dumps(middleware_source()).encode()

"""JSON: a text that is the same for equal values, and lists of objects, which are read one at a time. Pure."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec


def canonical(value: Any) -> bytes:
    """The value as JSON, whatever the order of its keys: what digests are made of."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except (UnicodeEncodeError, RecursionError):  # half a character, or deeper than anything of ours
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Page(msgspec.Struct, rename="camel"):
    """A list of the API server's, or a part of one. Raises msgspec.DecodeError (a ValueError) where it is none.

    Its objects are made one at a time, which takes a third of the CPU of all at once, and no memory for all.
    """

    items: list[msgspec.Raw] | None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    kind: str = ""
    api_version: str = ""

    @classmethod
    def of(cls, text: bytes) -> "Page":
        """The list in an answer."""
        return _PAGES.decode(text)

    def objects(self) -> Iterator[dict[str, Any]]:
        """Each with kind and API version, which most lists tell once."""
        own = {"kind": self.kind.removesuffix("List"), "apiVersion": self.api_version} if self.kind else {}
        for item in self.items or ():
            yield own | _OBJECTS.decode(item)


_PAGES = msgspec.json.Decoder(Page)
_OBJECTS = msgspec.json.Decoder(dict[str, Any])

"""Values that are nested deep, as others may write them."""

from typing import Any


def nested(levels: int) -> dict[str, Any]:
    """An object in an object, so many times."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found

"""A ServingClass as it was last seen, parsed once for all services of it. Pure: a watch event's body in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..api.serving_class import ServingClass, ServingClassSpec


@dataclass(frozen=True, slots=True)
class UnreadClass:
    """A class whose spec this operator cannot read: of another version."""

    name: str
    fault: str


def serving_class(body: Mapping[str, Any]) -> ServingClass | UnreadClass:
    """The class, or what is wrong with it."""
    meta = body["metadata"]
    try:
        spec = ServingClassSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return UnreadClass(meta["name"], f"spec.{where}: {first['msg']}")
    return ServingClass(meta["name"], meta["uid"], int(meta["generation"]), str(meta["creationTimestamp"]), spec)

"""A ServingClass as it was last seen, parsed once for all services of it. Pure: a watch event's body in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..api.base import first_fault
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
        where, wrong = first_fault(error)
        return UnreadClass(meta["name"], f"spec.{where}: {wrong}")
    return ServingClass(meta["name"], meta["uid"], int(meta["generation"]), str(meta["creationTimestamp"]), spec)

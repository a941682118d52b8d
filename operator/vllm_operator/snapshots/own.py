"""An object of one of our own kinds as it was last seen. Pure: a watch event's body in, a snapshot out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api.resource import Body, Key


@dataclass(frozen=True, slots=True)
class ObjectSnapshot:
    """Identity, spec and status of an object whose spec users write."""

    uid: str
    created: str
    generation: int
    resource_version: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]


def key_of(body: Body) -> Key:
    """What names the object."""
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])


def snapshot(body: Body) -> ObjectSnapshot:
    """Snapshot of an object."""
    meta = body["metadata"]
    return ObjectSnapshot(
        uid=meta["uid"],
        created=str(meta.get("creationTimestamp", "")),
        generation=int(meta["generation"]),
        resource_version=int(meta["resourceVersion"]),
        spec=dict(body["spec"]),
        status=dict(body.get("status") or {}),
    )

"""An object of one of our own kinds as it was last seen. Pure: a watch event's body in, a snapshot out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api import QUEUE_LABEL
from ..api.encoding import canonical
from ..api.limits import SPEC_BYTES
from ..api.resource import Body, Key


@dataclass(frozen=True, slots=True)
class ObjectSnapshot:
    """Identity, spec and status of an object whose spec users write."""

    uid: str
    created: str
    generation: int
    resource_version: int
    spec: Mapping[str, Any]
    packed_status: str
    """As JSON, which takes a fifth of the memory: it is looked at once in each reconcile."""
    queue: str = ""
    """The Kueue queue that its label names."""
    oversize: str = ""
    """Why the spec is not kept, where it is larger than any: nothing is in `spec` then."""
    edited: bool = False
    """Whether the spec is another one than its status tells of."""

    @property
    def status(self) -> dict[str, Any]:
        """The status; empty where there is none yet."""
        return dict(json.loads(self.packed_status))


def key_of(body: Body) -> Key:
    """What names the object."""
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])


def is_edited(body: Body) -> bool:
    """Whether the spec was changed since the status was written; not of an object that has none yet."""
    observed = (body.get("status") or {}).get("observedGeneration")
    return observed is not None and observed != body["metadata"]["generation"]


def snapshot(body: Body) -> ObjectSnapshot:
    """Snapshot of an object."""
    meta, spec = body["metadata"], dict(body["spec"])
    # Of all services that anybody makes, all specs are in memory.
    size = len(canonical(spec))
    oversize = f"it has {size:,} bytes, of {SPEC_BYTES:,} at most" if size > SPEC_BYTES else ""
    return ObjectSnapshot(
        uid=meta["uid"],
        created=str(meta.get("creationTimestamp", "")),
        generation=int(meta["generation"]),
        resource_version=int(meta["resourceVersion"]),
        spec={} if oversize else spec,
        oversize=oversize,
        packed_status=json.dumps(body.get("status") or {}),
        queue=str((meta.get("labels") or {}).get(QUEUE_LABEL, "")),
        edited=is_edited(body),
    )

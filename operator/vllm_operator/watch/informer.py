"""One resource that is watched: what is kept of its objects, and whose turn their changes make it. Decides nothing."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from ..api.resource import Body
from .indices import Deleted, Index
from .sources import URGENT_SECONDS, Item, Source

log = logging.getLogger(__name__)


class Queue(Protocol):
    """Takes what an event concerns, how long it may wait, and how urgent it is among those of its namespace."""

    def __call__(self, item: Item, delay: float, urgency: int = 0) -> None:
        """`urgency`: 0 for what may wait for all others."""


class Informer:
    """Keeps the indices of one resource's sources, and queues what concerns whom."""

    def __init__(
        self,
        sources: Sequence[Source],
        indices: Mapping[str, Index],
        queue: Queue,
        deleted: Mapping[str, Deleted] | None = None,
    ) -> None:
        self._sources, self._indices, self._queue, self._deleted = sources, indices, queue, deleted or {}
        self.moved = False
        """Whether anything has come but lists."""

    def note(self, change: str | None, body: Body, *, tell: bool) -> None:
        """An event: its type, None for what was there already, and its object. `tell`: whether those hear of it."""
        self.moved = self.moved or change is not None
        # All is kept before anybody is told.
        each = [self._keep(source, body, gone=change == "DELETED") for source in self._sources]
        if change == "DELETED":
            self._note_deleted(body)
        for source, left in zip(self._sources, each, strict=True):
            if tell and (left is not None or not source.by_snapshot):
                self._tell(source, change, body, left or ())

    def _note_deleted(self, body: Body) -> None:
        meta = body["metadata"]
        for source in self._sources:
            for item in source.concerns(body, self._indices) if source.deleted else ():
                name = (item.key, body["kind"], meta["name"])
                self._deleted[source.deleted].put(name, int(meta["resourceVersion"]))

    def forget(self, uid: str) -> None:
        """Nothing is kept of an object any more, and nobody told."""
        for index in {name for source in self._sources for name in source.indices}:
            self._indices[index].put(uid, {})

    def _keep(self, source: Source, body: Body, *, gone: bool) -> set[Any] | None:
        """Brings the source's indices up to date. Returns the keys that the object has left; None: nothing changes."""
        changes = []
        for name, snapshot in source.indices.items():
            kept = {} if gone else _kept(source, snapshot, body)
            changes.append(self._indices[name].put(body["metadata"]["uid"], kept))
        left = [keys for keys in changes if keys is not None]
        return set().union(*left) if left else None

    def _tell(self, source: Source, change: str | None, body: Body, left: Collection[Any]) -> None:
        urgency = source.urgency(body, change) if source.urgency else 0
        owners = [Item(source.owner, key) for key in left] if source.owner else []
        for item in dict.fromkeys([*source.concerns(body, self._indices), *owners]):
            self._queue(item, min(URGENT_SECONDS, source.delay) if urgency else source.delay, urgency)


def _kept(source: Source, snapshot: Callable[[Body], Mapping[Any, Any]], body: Body) -> Mapping[Any, Any]:
    """What is kept of an object; nothing of one that is so odd that it cannot be read."""
    try:
        return snapshot(body)
    except Exception as error:  # whoever wrote the object: it costs this one
        where = f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
        log.warning("%s %s is left out: %s: %s", source.resource.plural, where, type(error).__name__, error)
        return {}

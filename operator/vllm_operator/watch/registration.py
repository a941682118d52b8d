"""Tells kopf what to watch, and that every event queues the keys that it concerns. No decision is made here.

kopf runs no event handler before every indexed resource was listed, so the first reconcile sees all children: after a
restart, kept pod templates are found and not rendered anew.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import kopf

from .. import metrics, settings
from ..api.resource import Body
from ..manifests.names import MANAGED_BY, MANAGED_BY_LABEL
from .informer import NoDiffBase, NoProgress
from .sources import URGENT_SECONDS, Item, Source
from .watches import Watches

log = logging.getLogger(__name__)


class Queue(Protocol):
    """Takes what an event concerns, how long it may wait, and how urgent it is among those of its namespace."""

    def __call__(self, item: Item, delay: float, urgency: int = 0) -> None:
        """`urgency`: 0 for what may wait for all others."""


def register(registry: kopf.OperatorRegistry, watches: Watches, sources: Iterable[Source], queue: Queue) -> None:
    """Watches all sources. `queue` gets what their events concern."""
    kopf.on.login(registry=registry)(watches.login)
    for source in sources:
        selector = _selector(source)
        if not source.optional:
            metrics.watches.wanted(source.resource.plural)
        for name, snapshot in source.indices.items():
            kopf.index(*selector, id=name, registry=registry)(_keeping(source, snapshot))
        handler = _by_snapshot(source, queue) if source.by_snapshot else _by_event(source, queue)
        kopf.on.event(*selector, registry=registry)(handler)


def _selector(source: Source) -> tuple[str, ...]:
    return (*source.resource.api_version.split("/"), source.resource.plural)


def _keeping(source: Source, snapshot: Callable[[Body], Any]) -> Callable[..., Awaitable[Any]]:
    async def keep(body: kopf.Body, **_: Any) -> Any:
        return _kept(source, snapshot, body)

    return keep


def _kept(source: Source, snapshot: Callable[[Body], Any], body: Body) -> Any:
    """What is kept of an object; nothing of one that is so odd that it cannot be read."""
    try:
        return snapshot(body)
    except Exception as error:  # whoever wrote the object: it costs this one
        where = f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}"
        log.warning("%s %s is left out: %s: %s", source.resource.plural, where, type(error).__name__, error)
        return {}


def _by_event(source: Source, queue: Queue) -> Callable[..., Awaitable[None]]:
    async def changed(event: kopf.RawEvent, body: kopf.Body, **indices: Any) -> None:
        urgency = source.urgency(body, event["type"]) if source.urgency else 0
        for item in source.concerns(body, indices):
            queue(item, min(URGENT_SECONDS, source.delay) if urgency else source.delay, urgency)

    return changed


def _by_snapshot(source: Source, queue: Queue) -> Callable[..., Awaitable[None]]:
    last: dict[tuple[str, str], list[Any]] = {}

    async def changed(event: kopf.RawEvent, body: kopf.Body, **indices: Any) -> None:
        where = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
        gone = event["type"] == "DELETED"
        now = [] if gone else [kept for snapshot in source.indices.values() if (kept := _kept(source, snapshot, body))]
        before = last.pop(where, [])
        if now:
            last[where] = now
        if before != now:
            for item in source.concerns(body, indices):
                queue(item, source.delay)

    return changed


def kopf_settings(own: settings.Settings, watches: Watches, sources: Iterable[Source]) -> kopf.OperatorSettings:
    """kopf as a plain informer: only objects with our labels, no Events, nothing written to any object."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = bool(own.watch_namespaces)
    watches.configure(result.watching, result.networking)
    # kopf keeps a task and the last event of each object for so long: of a fleet whose pods all start, that is much.
    result.queueing.idle_timeout = 0.1
    result.persistence.diffbase_storage = NoDiffBase()
    result.persistence.progress_storage = NoProgress()
    for source in sources:
        if source.labelled:
            result.watching.label_selectors[_selector(source)] = f"{MANAGED_BY_LABEL}={MANAGED_BY}"  # type: ignore[index]
        elif source.label:
            result.watching.label_selectors[_selector(source)] = source.label  # type: ignore[index]
    return result

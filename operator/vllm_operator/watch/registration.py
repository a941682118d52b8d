"""Tells kopf what to watch, and that an informer of ours gets every event. No decision is made here."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import kopf

from .. import metrics, settings
from ..manifests.names import MANAGED_BY, MANAGED_BY_LABEL
from .indices import Deleted, Index
from .informer import Informer, Queue
from .lists import Lists
from .memories import NoDiffBase, NoProgress
from .parts import CHUNK
from .sources import Source
from .watches import Watches


def register(
    registry: kopf.OperatorRegistry, watches: Watches, sources: Iterable[Source], queue: Queue
) -> dict[str, Index | Deleted]:
    """Watches all sources. `queue` gets what their events concern. Returns what is kept of all objects, by index.

    Raises ValueError where sources would take from each other what is kept.
    """
    kopf.on.login(registry=registry)(watches.login)
    rows: dict[tuple[str, str], list[Source]] = defaultdict(list)
    for source in sources:
        rows[source.resource.api_version, source.resource.plural].append(source)
        if not source.optional:
            metrics.watches.wanted(source.resource.plural)
    _check_names(rows)
    indices = {name: Index() for one in rows.values() for source in one for name in source.indices}
    deleted = {source.deleted: Deleted() for one in rows.values() for source in one if source.deleted}
    watches.lists.informers = {resource: Informer(one, indices, queue, deleted) for resource, one in rows.items()}
    for resource, informer in watches.lists.informers.items():
        kopf.on.event(*_selector(*resource), registry=registry)(_noting(informer, watches.lists))
    return {**indices, **deleted}


def _check_names(rows: Mapping[tuple[str, str], Sequence[Source]]) -> None:
    """An index keeps of an object what was put last: two sources of one resource would take it from each other.

    Sources of several resources may share one where its keys are of one kind of ours.
    """
    uses: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for (_, plural), sources in rows.items():
        named = [(name, one) for one in sources for name in (*one.indices, one.deleted) if name]
        names = [name for name, _ in named]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several sources of {plural} keep what they have in {', '.join(twice)}: rename one")
        for name, one in named:
            uses[name].add((one.owner, name == one.deleted))
    if mixed := sorted(name for name, found in uses.items() if len(found) > 1):
        raise ValueError(f"sources of several kinds keep what they have in {', '.join(mixed)}: rename one")


def _selector(api_version: str, plural: str) -> tuple[str, ...]:
    return (*api_version.split("/"), plural)


def _noting(informer: Informer, lists: Lists) -> Callable[..., Awaitable[None]]:
    async def changed(event: kopf.RawEvent, **_: Any) -> None:
        informer.note(event["type"], event["object"], tell=lists.complete)

    return changed


def kopf_settings(own: settings.Settings, watches: Watches, sources: Iterable[Source]) -> kopf.OperatorSettings:
    """kopf as a plain informer: only objects with our labels, no Events, nothing written to any object.

    Raises ValueError where sources of one resource want objects with several labels: there is one watch for them.
    """
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = bool(own.watch_namespaces)
    watches.configure(result.watching, result.networking)
    # kopf keeps a task and the last event of each object for so long: of a fleet whose pods all start, that is much.
    result.queueing.idle_timeout = 0.1
    result.watching.chunk_size = CHUNK
    result.persistence.diffbase_storage = NoDiffBase()
    result.persistence.progress_storage = NoProgress()
    labels: dict[tuple[str, ...], str] = {}
    for source in sources:
        selector = _selector(source.resource.api_version, source.resource.plural)
        label = f"{MANAGED_BY_LABEL}={MANAGED_BY}" if source.labelled else source.label
        if labels.setdefault(selector, label) != label:
            raise ValueError(f"sources of {source.resource.plural} differ in the label they want: it has one watch")
        if label:
            result.watching.label_selectors[selector] = label  # type: ignore[index]
    return result

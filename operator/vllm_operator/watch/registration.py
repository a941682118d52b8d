"""kopf's part: what is watched, and that every event queues the key of its service. No decision is made here.

kopf runs no event handler before every indexed resource was listed, so the first reconcile sees all children: after a
restart, kept pod templates are found and not rendered anew.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from .. import metrics, settings
from ..api import GROUP, PLURAL, VERSION
from ..manifests.kinds import KINDS
from ..manifests.names import INSPECTION_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from ..snapshots import inspection_pod
from ..snapshots.child import Child, instance
from ..snapshots.child import child as child_of
from ..snapshots.node import Node
from ..snapshots.node import snapshot as node_of
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod import pod as pod_of
from .informer import NoDiffBase, NoProgress
from .view import Key, ServiceSnapshot, View
from .watches import Watches

# Several events of a rollout come at once; they are worth one look.
CHILD_EVENT_DELAY_SECONDS = 0.5
# Nodes come in groups, and each concerns the plan of every service.
NODE_EVENT_DELAY_SECONDS = 2.0
OPTIONAL = frozenset(row.plural for row in KINDS if row.optional)

OnKey = Callable[[View, Key, float], None]


def _child_resources() -> list[tuple[str, ...]]:
    """kopf's selectors of everything that carries our label."""
    return [*((*row.api_version.split("/"), row.plural) for row in KINDS), ("v1", "pods")]


async def _index_service(body: kopf.Body, **_: Any) -> dict[Key, ServiceSnapshot]:
    meta = body["metadata"]
    snapshot = ServiceSnapshot(
        uid=meta["uid"],
        generation=int(meta["generation"]),
        resource_version=int(meta["resourceVersion"]),
        spec=dict(body["spec"]),
        status=dict(body.get("status") or {}),
    )
    return {(meta["namespace"], meta["name"]): snapshot}


async def _index_child(body: kopf.Body, **_: Any) -> dict[Key, Child]:
    return {instance(body): child_of(body)}


async def _index_pod(body: kopf.Body, **_: Any) -> dict[Key, PodSnapshot]:
    inspects = INSPECTION_LABEL in (body["metadata"].get("labels") or {})
    return {} if inspects else {instance(body): pod_of(body)}


async def _index_inspection(body: kopf.Body, **_: Any) -> dict[Key, inspection_pod.InspectionPod]:
    found = inspection_pod.snapshot(body, INSPECTION_LABEL)
    return {instance(body): found} if found else {}


async def _index_node(body: kopf.Body, **_: Any) -> dict[str, Node]:
    node = node_of(body)
    return {node.name: node} if node.devices else {}


def _view(indices: Mapping[str, Any]) -> View:
    return View(
        by_key=indices["services"],
        children_by_key=indices["children"],
        pods_by_key=indices["pods"],
        inspections_by_key=indices["inspections"],
        nodes_by_name=indices.get("nodes", {}),
    )


def register(registry: kopf.OperatorRegistry, watches: Watches, on_key: OnKey, *, with_nodes: bool) -> None:
    """Tells kopf what to watch. `on_key` gets the view, the key of the service concerned, and how long it may wait."""

    async def service_changed(body: kopf.Body, **kwargs: Any) -> None:
        on_key(_view(kwargs), (body["metadata"]["namespace"], body["metadata"]["name"]), 0.0)

    async def child_changed(body: kopf.Body, **kwargs: Any) -> None:
        on_key(_view(kwargs), instance(body), CHILD_EVENT_DELAY_SECONDS)

    kopf.on.login(registry=registry)(watches.login)
    kopf.index(GROUP, VERSION, PLURAL, id="services", registry=registry)(_index_service)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(service_changed)
    metrics.watches.wanted(PLURAL)
    for selector in _child_resources():
        if selector[-1] not in OPTIONAL:
            metrics.watches.wanted(selector[-1])
        if selector[-1] == "pods":
            kopf.index(*selector, id="pods", registry=registry)(_index_pod)
            kopf.index(*selector, id="inspections", registry=registry)(_index_inspection)
        else:
            kopf.index(*selector, id="children", registry=registry)(_index_child)
        kopf.on.event(*selector, registry=registry)(child_changed)
    if with_nodes:
        _register_nodes(registry, on_key)


def _register_nodes(registry: kopf.OperatorRegistry, on_key: OnKey) -> None:
    seen: dict[str, Node] = {}

    async def node_changed(event: kopf.RawEvent, body: kopf.Body, **kwargs: Any) -> None:
        # Nodes tell every few seconds that they live: only what a plan is made of counts.
        name, node = body["metadata"]["name"], None if event["type"] == "DELETED" else node_of(body)
        before = seen.pop(name, None)
        if node and node.devices:
            seen[name] = node
        if before != seen.get(name):
            found = _view(kwargs)
            for key in found.known():
                on_key(found, key, NODE_EVENT_DELAY_SECONDS)

    kopf.index("v1", "nodes", id="nodes", registry=registry)(_index_node)
    kopf.on.event("v1", "nodes", registry=registry)(node_changed)


def kopf_settings(own: settings.Settings, watches: Watches) -> kopf.OperatorSettings:
    """kopf as a plain informer: only objects with our label, no Events, nothing written to any object."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = bool(own.watch_namespaces)
    watches.configure(result.watching, result.networking)
    # kopf keeps a task and the last event of each object for a while: of a fleet, that is much.
    result.queueing.idle_timeout = 0.5
    result.persistence.diffbase_storage = NoDiffBase()
    result.persistence.progress_storage = NoProgress()
    for selector in _child_resources():
        result.watching.label_selectors[selector] = f"{MANAGED_BY_LABEL}={MANAGED_BY}"  # type: ignore[index]
    return result

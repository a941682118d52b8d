"""kopf's part: what is watched, and that every event queues the key of its service. No decision is made here.

kopf runs no event handler before every indexed resource was listed, so the first reconcile sees all children: after a
restart, kept pod templates are found and not rendered anew.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import kopf
from prometheus_client import start_http_server

from . import metrics, nodes, observed, settings
from .api import GROUP, PLURAL, VERSION
from .cluster import CHILD_KINDS, RESOURCES, Cluster, connect
from .informer import NoDiffBase, NoProgress, watched
from .inspection import pod as inspection_pod
from .manifests.inspection import INSPECTION_LABEL
from .manifests.metadata import MANAGED_BY, MANAGED_BY_LABEL
from .reconcile import Reconciler
from .view import Key, ServiceSnapshot, View
from .workqueue import WorkQueue

# Several events of a rollout come at once; they are worth one look.
CHILD_EVENT_DELAY_SECONDS = 0.5
# Nodes come in groups, and each concerns the plan of every service.
NODE_EVENT_DELAY_SECONDS = 2.0
OPTIONAL_API_SECONDS = 30.0
# What a cluster may not know.
OPTIONAL = RESOURCES["ServiceMonitor"].plural

OnKey = Callable[[View, Key, float], None]


def _child_resources() -> list[tuple[str, ...]]:
    """kopf's selectors of everything that carries our label."""
    resources = [RESOURCES[kind] for kind in CHILD_KINDS]
    return [*((*resource.api_version.split("/"), resource.plural) for resource in resources), ("v1", "pods")]


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


async def _index_child(body: kopf.Body, **_: Any) -> dict[Key, observed.Child]:
    return {observed.instance(body): observed.child(body)}


async def _index_pod(body: kopf.Body, **_: Any) -> dict[Key, observed.PodSnapshot]:
    inspects = INSPECTION_LABEL in (body["metadata"].get("labels") or {})
    return {} if inspects else {observed.instance(body): observed.pod(body)}


async def _index_inspection(body: kopf.Body, **_: Any) -> dict[Key, inspection_pod.InspectionPod]:
    found = inspection_pod.snapshot(body, INSPECTION_LABEL)
    return {observed.instance(body): found} if found else {}


async def _index_node(body: kopf.Body, **_: Any) -> dict[str, nodes.Node]:
    node = nodes.snapshot(body)
    return {node.name: node} if node.devices else {}


async def _login(**kwargs: Any) -> kopf.AiohttpSession | None:
    found = kopf.login_with_service_account(**kwargs)
    if found:
        # By address, as every other client does: the operator needs no DNS.
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        found = replace(found, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")
    else:
        found = kopf.login_with_kubeconfig(**kwargs)
    return watched(found, metrics.watches.accepted) if found else None


def _view(indices: Mapping[str, Any]) -> View:
    return View(
        by_key=indices["services"],
        children_by_key=indices["children"],
        pods_by_key=indices["pods"],
        inspections_by_key=indices["inspections"],
        nodes_by_name=indices.get("nodes", {}),
    )


def register(registry: kopf.OperatorRegistry, on_key: OnKey, *, with_nodes: bool) -> None:
    """Tells kopf what to watch. `on_key` gets the view, the key of the service concerned, and how long it may wait."""

    async def service_changed(body: kopf.Body, **kwargs: Any) -> None:
        on_key(_view(kwargs), (body["metadata"]["namespace"], body["metadata"]["name"]), 0.0)

    async def child_changed(body: kopf.Body, **kwargs: Any) -> None:
        on_key(_view(kwargs), observed.instance(body), CHILD_EVENT_DELAY_SECONDS)

    kopf.on.login(registry=registry)(_login)
    kopf.index(GROUP, VERSION, PLURAL, id="services", registry=registry)(_index_service)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(service_changed)
    metrics.watches.wanted(PLURAL)
    for selector in _child_resources():
        if selector[-1] != OPTIONAL:
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
    seen: dict[str, nodes.Node] = {}

    async def node_changed(event: kopf.RawEvent, body: kopf.Body, **kwargs: Any) -> None:
        # Nodes tell every few seconds that they live: only what a plan is made of counts.
        name, node = body["metadata"]["name"], None if event["type"] == "DELETED" else nodes.snapshot(body)
        before = seen.pop(name, None)
        if node and node.devices:
            seen[name] = node
        if before != seen.get(name):
            found = _view(kwargs)
            for key in found.known():
                on_key(found, key, NODE_EVENT_DELAY_SECONDS)

    kopf.index("v1", "nodes", id="nodes", registry=registry)(_index_node)
    kopf.on.event("v1", "nodes", registry=registry)(node_changed)


def kopf_settings(own: settings.Settings) -> kopf.OperatorSettings:
    """kopf as a plain informer: only objects with our label, no Events, nothing written to any object."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = bool(own.watch_namespaces)
    result.watching.server_timeout = 600
    # kopf keeps a task and the last event of each object for a while: of a fleet, that is much.
    result.queueing.idle_timeout = 0.5
    result.persistence.diffbase_storage = NoDiffBase()
    result.persistence.progress_storage = NoProgress()
    for selector in _child_resources():
        result.watching.label_selectors[selector] = f"{MANAGED_BY_LABEL}={MANAGED_BY}"  # type: ignore[index]
    return result


async def _watch_optional_apis(cluster: Cluster, state: "_State") -> None:
    """ServiceMonitors are made once their API appears; everything else goes on without."""
    while True:
        known = await cluster.serves("ServiceMonitor")
        if known is not None:
            state.set_monitoring(known)
        await asyncio.sleep(OPTIONAL_API_SECONDS)


class _State:
    """The parts of a running operator. The reconciler exists from the first event on, when kopf shows its indices."""

    def __init__(self, cluster: Cluster, own: settings.Settings) -> None:
        self.cluster, self.own = cluster, own
        self.reconciler: Reconciler | None = None
        self.view: View | None = None
        self.monitoring = False
        self.queue: WorkQueue[Key] = WorkQueue(self._work, own.workers)

    async def _work(self, key: Key) -> float | None:
        if self.reconciler is None:
            raise RuntimeError("a key was queued before the first event")
        return await self.reconciler.reconcile(key)

    def on_key(self, view: View, key: Key, delay: float) -> None:
        """An event concerns the service `key`."""
        if self.reconciler is None:
            self.view = view
            self.reconciler = Reconciler(self.cluster, self.own, view, self.queue.add)
            self.reconciler.monitoring = self.monitoring
        self.queue.add(key, delay)

    def set_monitoring(self, known: bool) -> None:
        """Whether the cluster serves ServiceMonitors; a change concerns every service."""
        self.monitoring = known
        if not known:
            metrics.watches.forget(OPTIONAL)
        if self.reconciler and self.view and self.reconciler.monitoring != known:
            self.reconciler.monitoring = known
            for key in self.view.known():
                self.queue.add(key)


async def _operate(own: settings.Settings, health_port: int) -> None:
    registry = kopf.OperatorRegistry()
    async with connect() as cluster, asyncio.TaskGroup() as tasks:
        state = _State(cluster, own)
        state.monitoring = bool(await cluster.serves("ServiceMonitor"))
        # Rights on some namespaces are none on nodes.
        register(registry, state.on_key, with_nodes=not own.watch_namespaces)
        background = [tasks.create_task(state.queue.run()), tasks.create_task(_watch_optional_apis(cluster, state))]
        await kopf.operator(
            registry=registry,
            settings=kopf_settings(own),
            standalone=True,
            clusterwide=not own.watch_namespaces,
            namespaces=own.watch_namespaces,
            liveness_endpoint=f"http://0.0.0.0:{health_port}/healthz",
        )
        for task in background:
            task.cancel()


def run_operator(path: Path | None, metrics_port: int, health_port: int) -> None:
    """Runs until SIGTERM. Serves /metrics and /healthz at the ports."""
    own = settings.load(path)
    kopf.configure(log_format=kopf.LogFormat.JSON if own.log_format == "json" else kopf.LogFormat.FULL)
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    start_http_server(metrics_port)
    asyncio.run(_operate(own, health_port))

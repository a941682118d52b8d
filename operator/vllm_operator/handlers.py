"""kopf's part: what is watched, and that every event queues the key of its service. No decision is made here.

An operator that waits for its Lease watches as well, so that it can act at once. kopf runs no event handler before
every indexed resource was listed, so the first reconcile sees all children: after a restart, kept pod templates are
found and not rendered anew.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import kopf
from prometheus_client import start_http_server

from . import health, metrics, nodes, observed, settings
from .api import GROUP, PLURAL, VERSION
from .cluster import CHILD_KINDS, OPTIONAL_KINDS, RESOURCES, Cluster, connect
from .informer import NoDiffBase, NoProgress
from .inspection import pod as inspection_pod
from .lease import Leases
from .manifests.inspection import INSPECTION_LABEL
from .manifests.metadata import MANAGED_BY, MANAGED_BY_LABEL
from .reconcile import Reconciler
from .view import Key, ServiceSnapshot, View
from .watches import Watches
from .workqueue import WorkQueue

# Several events of a rollout come at once; they are worth one look.
CHILD_EVENT_DELAY_SECONDS = 0.5
# Nodes come in groups, and each concerns the plan of every service.
NODE_EVENT_DELAY_SECONDS = 2.0
OPTIONAL_API_SECONDS = 30.0
OPTIONAL = frozenset(RESOURCES[kind].plural for kind in OPTIONAL_KINDS)
STOP_SECONDS = 8.0

log = logging.getLogger(__name__)

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
        on_key(_view(kwargs), observed.instance(body), CHILD_EVENT_DELAY_SECONDS)

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


class _State:
    """The parts of a running operator. The reconciler exists from the first event on, when kopf shows its indices."""

    def __init__(self, cluster: Cluster, own: settings.Settings, stop: asyncio.Event) -> None:
        self.cluster, self.own = cluster, own
        self.reconciler: Reconciler | None = None
        self.view: View | None = None
        self.served: frozenset[str] = frozenset()
        self.queue: WorkQueue[Key] = WorkQueue(self._work, own.workers)
        self.watches = Watches(stop.set, OPTIONAL)
        self.leases = Leases(cluster, own.watch_namespaces, self._queue_all)
        cluster.allows = self.leases.allow

    async def _work(self, key: Key) -> float | None:
        if self.reconciler is None:
            raise RuntimeError("a key was queued before the first event")
        # Without the Lease nothing is to be done; when it is held, every key comes back.
        return await self.reconciler.reconcile(key) if self.leases.allow(key[0]) else None

    def _queue_all(self, namespace: str | None = None) -> None:
        for key in self.view.known() if self.view else ():
            if namespace in (None, key[0]):
                self.queue.add(key)

    def on_key(self, view: View, key: Key, delay: float) -> None:
        """An event concerns the service `key`."""
        if self.reconciler is None:
            self.view = view
            self.reconciler = Reconciler(self.cluster, self.own, view, self.queue.add)
            self.reconciler.served = self.served
        self.queue.add(key, delay)

    async def watch_optional_apis(self) -> None:
        """ServiceMonitors and ScaledObjects are made once their API appears; everything else goes on without."""
        while True:
            await self.look_for_optional_apis()
            await asyncio.sleep(OPTIONAL_API_SECONDS)

    async def look_for_optional_apis(self) -> None:
        """Asks which optional kinds the cluster serves; a change concerns every service."""
        known = {kind: await self.cluster.serves(kind) for kind in OPTIONAL_KINDS}
        # Where the API server does not say, what was known stands.
        served = {kind for kind, told in known.items() if (kind in self.served if told is None else told)}
        self.served = frozenset(served)
        for kind in OPTIONAL_KINDS:
            tell = self.watches.expect if kind in self.served else self.watches.forget
            tell(RESOURCES[kind].plural)
        if self.reconciler and self.reconciler.served != self.served:
            self.reconciler.served = self.served
            self._queue_all()

    def trouble(self) -> str:
        """What only a restart helps against; empty when all is well, or when the API server is what fails."""
        dead = self.watches.dead() if self.leases.api_answers() else []
        return f"these watches are dead: {', '.join(dead)}" if dead else ""


async def _operate(own: settings.Settings, health_port: int) -> int:
    """Runs until a signal, a gap in a watch or a failure; returns the process's exit status."""
    stop = asyncio.Event()
    registry = kopf.OperatorRegistry()
    async with connect() as cluster:
        state = _State(cluster, own, stop)
        await state.look_for_optional_apis()
        # Rights on some namespaces are none on nodes.
        register(registry, state.watches, state.on_key, with_nodes=not own.watch_namespaces)
        kopf.on.startup(registry=registry)(partial(_stop_on_signals, stop))
        # Started before kopf, which at its end cancels every task that was started later.
        jobs = [state.queue.run(), state.watch_optional_apis(), *state.leases.tasks()]
        working = [asyncio.create_task(job) for job in jobs]
        watching = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(own, state.watches),
                standalone=True,
                clusterwide=not own.watch_namespaces,
                namespaces=own.watch_namespaces,
                stop_flag=stop,
            )
        )
        async with health.serve(health_port, state.trouble):
            ending = [*working, watching, asyncio.create_task(stop.wait())]
            done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            status = 0 if stop.is_set() else 1
            for task in working:
                task.cancel()
            _, still_working = await asyncio.wait(working, timeout=STOP_SECONDS)
            # Nothing is written any more: the next one may act.
            await state.leases.release()
            stop.set()
            _, still_watching = await asyncio.wait([watching], timeout=STOP_SECONDS)
    for task in done:
        if not task.cancelled() and (error := task.exception()):
            log.error("ends after %s: %s", type(error).__name__, error, exc_info=error)
    # kopf's watches can overlook that they are to end, and the event loop would wait for them.
    if still_watching or still_working:
        logging.shutdown()
        os._exit(status)
    return status


async def _stop_on_signals(stop: asyncio.Event, **_: Any) -> None:
    """In place of kopf's own way: what writes ends first, and then the watches."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def run_operator(path: Path | None, metrics_port: int, health_port: int) -> None:
    """Runs until SIGTERM, or until it has to start again. Serves /metrics and /healthz at the ports."""
    own = settings.load(path)
    kopf.configure(log_format=kopf.LogFormat.JSON if own.log_format == "json" else kopf.LogFormat.FULL)
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    start_http_server(metrics_port)
    sys.exit(asyncio.run(_operate(own, health_port)))

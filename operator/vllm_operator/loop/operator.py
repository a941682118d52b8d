"""The running operator: its queue, Leases and watches, from start to end. What is done with a key is decided elsewhere.

An operator that waits for its Lease watches as well, so that it can act at once.
"""

import asyncio
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import kopf
from prometheus_client import start_http_server

from .. import health, settings
from ..cluster import Cluster, connect
from ..manifests.kinds import BY_KIND, OPTIONAL_KINDS
from ..watch.registration import OPTIONAL, kopf_settings, register
from ..watch.view import Key, View
from ..watch.watches import Watches
from .lease import Leases
from .reconcile import Reconciler
from .workqueue import WorkQueue

OPTIONAL_API_SECONDS = 30.0
STOP_SECONDS = 8.0

log = logging.getLogger(__name__)


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
            tell(BY_KIND[kind].plural)
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

"""The running operator: its queue, Leases and watches, from start to end. What is done with a key, its kind decides.

An operator that waits for its Lease watches as well, so that it can act at once.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import kopf
from prometheus_client import REGISTRY

from .. import metrics, settings
from ..cluster import Cluster, UnavailableError, connect
from ..resources import Resource
from ..watch.memories import NoMemories
from ..watch.optional import OptionalApis
from ..watch.registration import kopf_settings, register
from ..watch.sources import Indices, Item, Source
from ..watch.watches import Watches
from . import authority, health, heap, scrape
from .kinds import Kind, Reconciler, Surroundings, all_claimants, queues
from .lag import Lag
from .leases import Leases, Told
from .shares import WHOLE, Share
from .workqueue import WorkQueue

STOP_SECONDS = 8.0
# Longer than all lists take: 10,000 services are some 30 s of CPU.
LISTED_SECONDS = 600.0
# How often an API server that does not answer is asked again, before anything is watched.
AGAIN_SECONDS = 2.0
# How often rights that are missing are asked for again.
RIGHTS_SECONDS = 60.0

log = logging.getLogger(__name__)


class Ports(NamedTuple):
    """Where the operator serves /metrics, and /healthz and /readyz."""

    metrics: int
    health: int


class _May(NamedTuple):
    """What rights there are, or are not, to watch."""

    sources: Sequence[Source] = ()
    namespaces: Sequence[str] = ()


class Operator:
    """The parts of a running operator. Its reconcilers exist from `begin` on."""

    def __init__(
        self, kinds: Sequence[Kind], own: settings.Settings, stop: asyncio.Event, share: Share = WHOLE
    ) -> None:
        self._kinds, self.own, self._share = kinds, own, share
        # Rights on some namespaces are none on what belongs to the whole cluster.
        sources = [source for kind in kinds for source in kind.sources]
        out_of_reach = [one for one in sources if one.resource.cluster_scoped and not one.resource.granted]
        self.sources = [one for one in sources if not (own.watch_namespaces and one in out_of_reach)]
        self.namespaces: Sequence[str] = own.watch_namespaces
        """Those that are watched; empty for all."""
        self.stop = stop
        self._ungranted = _May()
        self._reconcilers: dict[str, Reconciler] = {}
        self._began = time.monotonic()
        self.queue: WorkQueue[Item] = WorkQueue(self._work, own.workers, lambda item: item.key.namespace)
        metadata_only = frozenset(one.resource.plural for one in self.sources if one.resource.metadata_only)
        self.watches = Watches(stop.set, self.queue_all, _plurals_of_optional(self.sources), metadata_only)
        self.leases = Leases(own, Told(held=self._queue_all, lost=self._lose), share)

    async def leave_out_ungranted(self, cluster: Cluster) -> bool:
        """What an operator for some namespaces may have rights for, and has not, is not watched, nor such a namespace.

        Returns whether the API server has answered, and there is something to watch.
        """
        granted, own = [one for one in self.sources if one.resource.granted], self.own.watch_namespaces
        may = await self._may_watch(cluster, granted, own)
        if may is None:
            return False
        if own and not may.namespaces:
            log.warning("may watch none of its namespaces: asks again in %.0f s", RIGHTS_SECONDS)
            await asyncio.sleep(RIGHTS_SECONDS)
            return False
        self._ungranted = _May(
            [one for one in granted if one not in may.sources], [one for one in own if one not in may.namespaces]
        )
        for one in self._ungranted.sources:
            log.warning("may not list %s: what needs them is told so", one.resource.plural)
        for namespace in self._ungranted.namespaces:
            log.warning("may not watch namespace %s: leaves it alone", namespace)
        self.sources = [one for one in self.sources if one not in self._ungranted.sources]
        self.namespaces = may.namespaces
        self.leases.leave_out(self._ungranted.namespaces)
        return True

    async def await_rights(self, cluster: Cluster) -> None:
        """Ends this operator, so that it starts again, once it has been given rights that it had not."""
        while True:
            await asyncio.sleep(RIGHTS_SECONDS)
            may = await self._may_watch(cluster, *self._ungranted) or _May()
            for one in [*(source.resource.plural for source in may.sources), *may.namespaces]:
                log.warning("may watch %s now: starting again", one)
                self.stop.set()

    async def _may_watch(self, cluster: Cluster, sources: Sequence[Source], namespaces: Sequence[str]) -> _May | None:
        """Those of them that this operator may watch; None where the API server does not answer.

        A namespace that was deleted took the operator's Role with it. The others go on.
        """
        if not self.own.watch_namespaces:
            return _May(sources)
        needed = [one for one in self.sources if not (one.optional or one.resource.cluster_scoped)]
        resources = {one.resource.plural: one.resource for one in needed}.values()
        try:
            return _May(
                [one for one in sources if await cluster.may_list(one.resource)],
                [one for one in namespaces if await _may_list_all(cluster, resources, one)],
            )
        except UnavailableError as error:
            log.warning("cannot tell what it may list: %s", error)
            return None

    def begin(self, cluster: Cluster, apis: OptionalApis, indices: Indices) -> None:
        """`indices`: what the watches show; they fill before anything is looked at."""
        self._began = time.monotonic()
        claimants, shared = all_claimants(self._kinds, indices, self.own), queues()
        for kind in self._kinds:
            requeue = partial(self._requeue, kind.name)
            surroundings = Surroundings(
                cluster, self.own, indices, apis.served, requeue, time.monotonic, claimants, shared
            )
            self._reconcilers[kind.name] = kind.reconciler(surroundings)

    def _requeue(self, kind: str, key: Any) -> None:
        self.want(Item(kind, key))

    def want(self, item: Item, delay: float = 0.0, urgency: int = 0) -> None:
        """Something has changed that concerns an object: it is looked at, where it is ours to see to."""
        if self._share.covers(item.key):
            self.queue.add(item, delay, urgency)

    async def _work(self, item: Item) -> float | None:
        reconciler = self._reconcilers[item.kind]
        # Without the Lease nothing is to be done; when it is held, every key comes back. What is remembered holds
        # where it only could not be renewed in time: an API server that is busy would else be sent every child again.
        if not self.leases.seconds(item.key.namespace):
            if not self.leases.kept(item.key.namespace):
                reconciler.forget(item.key)
            return None
        return await reconciler.reconcile(item.key)

    def _queue_all(self, namespace: str | None = None) -> None:
        """Until all has been shown nothing: what was looked at earlier would seem to have no children."""
        for item in self._known(namespace) if self.watches.lists.complete else ():
            self.want(item)

    def _lose(self, namespace: str | None) -> None:
        """Another operator acts there: what we remember of these objects may be wrong."""
        for item in self._known(namespace):
            self._reconcilers[item.kind].forget(item.key)
            # Of one that is being worked on, something may be remembered again.
            self.want(item)

    def _known(self, namespace: str | None) -> Iterable[Item]:
        """All objects in a namespace, or in all."""
        for kind, reconciler in self._reconcilers.items():
            yield from (Item(kind, key) for key in reconciler.known() if namespace in (None, key.namespace))

    def queue_all(self) -> None:
        """Something that concerns every object has changed, or all that was there has been shown."""
        self._queue_all()

    def trouble(self) -> str:
        """What only a restart helps against; empty when all is well, or when the API server is what fails."""
        if not self.leases.api_answers():
            return ""
        if dead := self.watches.dead():
            return f"these watches are dead: {', '.join(dead)}"
        late = self.watches.lists.missing() if time.monotonic() - self._began > LISTED_SECONDS else []
        return f"these were not listed in {LISTED_SECONDS:.0f} s: {', '.join(late)}" if late else ""

    def unready(self) -> str:
        """Why it could not take over from another operator: trouble, or what it has not seen yet; empty when it could.

        What was seen once is enough: a silent API server makes no difference between this operator and a new one.
        """
        return self.trouble() or ("" if self.watches.lists.complete else "not all that there is has been listed")


async def _may_list_all(cluster: Cluster, resources: Iterable[Resource], namespace: str) -> bool:
    for one in resources:
        if await cluster.may_list(one, namespace) is False:
            return False
    return True


def _plurals_of_optional(sources: Iterable[Source]) -> frozenset[str]:
    return frozenset(source.resource.plural for source in sources if source.optional)


async def _operate(kinds: Sequence[Kind], own: settings.Settings, share: Share, health_port: int) -> int:
    """Runs until a signal, a gap in a watch or a failure; returns the process's exit status.

    It is healthy from the first moment: an API server that is slow to answer is no reason to start it again. It is
    ready once it has seen everything, so that no rollout takes one away that acts for one that cannot.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    operator = Operator(kinds, own, stop, share)
    looks = {"/healthz": operator.trouble, "/readyz": operator.unready}
    async with (
        authority.followed(operator.leases.silence, stop.set),
        connect(operator.leases.seconds) as cluster,
        health.serve(health_port, looks),
    ):
        apis = OptionalApis(cluster, operator.watches, operator.queue_all)
        stopped, asking = asyncio.create_task(stop.wait()), asyncio.create_task(_ask(operator, cluster, apis))
        await asyncio.wait([stopped, asking], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            asking.cancel()
            return 0
        await asking
        return await _run(operator, cluster, apis)


async def _ask(operator: Operator, cluster: Cluster, apis: OptionalApis) -> None:
    """What has to be known before anything is watched: silence is no answer.

    Taken for a no, it would end autoscalers whose API is there, and lift the limits that the platform has set.
    """
    while True:
        if await apis.look() and await operator.leave_out_ungranted(cluster):
            return
        await asyncio.sleep(AGAIN_SECONDS)


async def _run(operator: Operator, cluster: Cluster, apis: OptionalApis) -> int:
    registry, stop = kopf.OperatorRegistry(), operator.stop
    operator.begin(cluster, apis, register(registry, operator.watches, operator.sources, operator.want))

    async def take_signals(**_: Any) -> None:
        _stop_on_signals(stop)

    kopf.on.startup(registry=registry)(take_signals)
    # Started before kopf, which at its end cancels every task that was started later.
    jobs = [operator.queue.run(), Lag().measure(), apis.watch(), operator.await_rights(cluster)]
    working = [asyncio.create_task(job) for job in [*jobs, *operator.leases.tasks(cluster)]]
    watching = asyncio.create_task(_watch(registry, operator))
    ending = [*working, watching, asyncio.create_task(stop.wait())]
    done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    status = 0 if stop.is_set() else 1
    for task in working:
        task.cancel()
    _, still_working = await asyncio.wait(working, timeout=STOP_SECONDS)
    # Nothing is written any more: the next one may act.
    await operator.leases.release(cluster)
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


async def _watch(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """kopf, until the operator is to stop."""
    own = operator.own
    await kopf.operator(
        registry=registry,
        settings=kopf_settings(own, operator.watches, operator.sources),
        memories=NoMemories(),
        insights=operator.watches.lists.insights,
        standalone=True,
        clusterwide=not own.watch_namespaces,
        namespaces=operator.namespaces,
        stop_flag=operator.stop,
    )


def _stop_on_signals(stop: asyncio.Event) -> None:
    """In place of kopf's own way: what writes ends first, and then the watches."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def run_operator(kinds: Sequence[Kind], path: Path | None, shard: int, ports: Ports) -> None:
    """Runs until SIGTERM, or until it has to start again. `shard`: which one of the setting shards it is, from 0."""
    heap.give_back()
    heap.collect_seldom()
    own = settings.load(path).in_pod(os.environ.get("POD_IP", ""))
    if not 0 <= shard < own.shards:
        sys.exit(f"vllm-operator: --shard is {shard} and the setting shards {own.shards}: they are numbered from 0")
    kopf.configure(log_format=kopf.LogFormat.JSON if own.log_format == "json" else kopf.LogFormat.FULL)
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for collector in (metrics.watches, *(collector for kind in kinds for collector in kind.collectors)):
        REGISTRY.register(collector)
    scrape.serve(ports.metrics)
    sys.exit(asyncio.run(_operate(kinds, own, Share(shard, own.shards), ports.health)))

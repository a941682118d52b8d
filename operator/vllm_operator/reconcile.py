"""One service, from spec to children to status. Read this first.

gather (from memory) -> desired (pure) -> apply, prune -> status (pure) -> write it if it differs -> Events on transitions.
Two kinds of trouble: the user's becomes a condition and waits for a change; the world's is raised, and the queue retries.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from . import engine, metrics
from .api.resource import InferenceService
from .api.spec import InferenceServiceSpec
from .apply import WATCH_LAG_SECONDS, Applier, Live, NameTakenError, StillDeletingError
from .cluster import Cluster, GoneError, RefusedError
from .manifests import Manifest, controller_revision, desired, pod_template, revision_name
from .manifests.revision import KEPT_REVISIONS
from .observed import Child, PodSnapshot
from .reasons import Reason
from .settings import Settings
from .status import Engine, Observed, status

log = logging.getLogger(__name__)

Key = tuple[str, str]
# The first status waits this long for the Deployment controller, so that it says something; one write less per service.
FIRST_STATUS_SECONDS = 2.0
ENGINE_RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """An InferenceService as it was last seen."""

    uid: str
    generation: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    resource_version: int


class View:
    """What is known of the cluster, from the watches. `handlers.py` fills it."""

    def __init__(
        self,
        services: Mapping[Key, Iterable[ServiceSnapshot]],
        children: Mapping[Key, Iterable[Child]],
        pods: Mapping[Key, Iterable[PodSnapshot]],
    ) -> None:
        self._services, self._children, self._pods = services, children, pods

    def service(self, key: Key) -> ServiceSnapshot | None:
        """The service, or None after it was deleted."""
        return next(iter(self._services.get(key, ())), None)

    def children(self, key: Key) -> Live:
        """The service's children by kind and name."""
        return {(child.kind, child.name): child for child in self._children.get(key, ())}

    def pods(self, key: Key) -> list[PodSnapshot]:
        """The service's pods, by name."""
        return sorted(self._pods.get(key, ()), key=lambda pod: pod.name)

    def keys(self) -> list[Key]:
        """All services."""
        return list(self._services)


@dataclass(slots=True)
class _Memory:
    """What is remembered of one service between reconciles. Losing it costs requests, never correctness."""

    uid: str
    applier: Applier
    first_seen: float = field(default_factory=time.monotonic)
    parsed: tuple[int, InferenceService] | None = None
    templates: dict[str, Manifest] = field(default_factory=dict)
    written: tuple[int, dict[str, Any]] | None = None
    engine: tuple[str, Engine] | None = None
    engine_attempts: int = 0
    engine_next: float = 0.0
    gauge: tuple[str, str] | None = None


class Reconciler:
    """Reconciles services one at a time per key; `requeue(key)` asks for a key to come back at once."""

    def __init__(self, cluster: Cluster, settings: Settings, view: View, requeue: Callable[[Key], None]) -> None:
        self._cluster, self._settings, self._view, self._requeue = cluster, settings, view, requeue
        self._memories: dict[Key, _Memory] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.monitoring = False

    async def reconcile(self, key: Key) -> float | None:
        """Brings one service to its desired state. Returns seconds after which to look again, or None to wait for a change."""
        with metrics.reconcile_seconds.time():
            snapshot = self._view.service(key)
            if snapshot is None:
                self._forget(key)
                return None
            memory = self._memories.get(key)
            if memory is None or memory.uid != snapshot.uid:
                self._forget(key)
                memory = self._memories[key] = _Memory(snapshot.uid, Applier(self._cluster))
            try:
                return await self._reconcile(key, snapshot, memory)
            except (GoneError, StillDeletingError) as error:
                # The service or its namespace is going away, or its predecessor's children are.
                log.info("%s/%s: %s", *key, error)
                return 2.0

    def keys(self) -> list[Key]:
        """All services."""
        return self._view.keys()

    async def _reconcile(self, key: Key, snapshot: ServiceSnapshot, memory: _Memory) -> float | None:
        service, error = self._parse(key, snapshot, memory)
        if service is None or error:
            service = service or InferenceService(*key, snapshot.uid, snapshot.generation, _UNREADABLE)
            await self._write_status(service, Observed(spec_error=error), snapshot, memory)
            return None
        live = self._view.children(key)
        template, apply_error = await self._apply(service, live, memory)
        observed = self._observe(service, template, apply_error, live, snapshot, memory)
        if wait := self._too_early(observed, service, snapshot, memory):
            return wait
        await self._write_status(service, observed, snapshot, memory)
        if memory.applier.unseen():
            return WATCH_LAG_SECONDS
        return 30.0 if apply_error else self._engine_retry(memory)

    def _parse(
        self, key: Key, snapshot: ServiceSnapshot, memory: _Memory
    ) -> tuple[InferenceService | None, tuple[Reason, str] | None]:
        if memory.parsed is None or memory.parsed[0] != snapshot.generation:
            try:
                spec = InferenceServiceSpec.model_validate(snapshot.spec)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                return None, (Reason.INVALID, f"spec.{where}: {first['msg']}")
            memory.parsed = (snapshot.generation, InferenceService(*key, snapshot.uid, snapshot.generation, spec))
        service = memory.parsed[1]
        image = service.spec.image
        if image and not self._settings.allows_image(image):
            return service, (
                Reason.IMAGE_NOT_ALLOWED,
                f"image {image} is not on the platform team's list ({', '.join(self._settings.allowed_images)}): leave spec.image out, or ask for it to be allowed",
            )
        return service, None

    async def _apply(
        self, service: InferenceService, live: Live, memory: _Memory
    ) -> tuple[Manifest | None, tuple[Reason, str] | None]:
        template: Manifest | None = None
        try:
            template = await self._kept_template(service, live, memory)
            children = desired(service, template, monitoring=self.monitoring)
            for manifest in children:
                await memory.applier.apply(service, manifest, live)
            await memory.applier.prune(service, children, live)
        except NameTakenError as error:
            return template, (Reason.NAME_TAKEN, str(error))
        except RefusedError as error:
            return template, (Reason.REFUSED, f"the API server refuses what the spec leads to: {error}")
        return template, None

    async def _kept_template(self, service: InferenceService, live: Live, memory: _Memory) -> Manifest:
        """The pod template rendered when the spec last changed; rendered and kept now, if it has just changed."""
        revision = revision_name(service)
        if revision in memory.templates:
            return memory.templates[revision]
        kept = [
            child for child in live.values() if child.kind == "ControllerRevision" and child.owner_uid == service.uid
        ]
        current = next((child for child in kept if child.revision == revision), None)
        if current:
            template = current.template
        else:
            template = pod_template(service, revision, self._settings)
            number = max((child.revision_number for child in kept), default=0) + 1
            await memory.applier.apply(service, controller_revision(service, number, template), live)
            for old in sorted(kept, key=lambda child: child.revision_number)[: -(KEPT_REVISIONS - 1)]:
                await memory.applier.delete(service, ("ControllerRevision", old.name))
        memory.templates = {revision: template}
        return template

    def _observe(
        self,
        service: InferenceService,
        template: Manifest | None,
        apply_error: tuple[Reason, str] | None,
        live: Live,
        snapshot: ServiceSnapshot,
        memory: _Memory,
    ) -> Observed:
        revision = revision_name(service)
        pods = [pod for pod in self._view.pods((service.namespace, service.name)) if not pod.terminating]
        current = [pod for pod in pods if pod.revision == revision]
        deployment = live.get(("Deployment", service.name))
        return Observed(
            apply_error=apply_error,
            deployment=deployment.deployment if deployment and deployment.owner_uid == service.uid else None,
            pods=current,
            old_pods=[pod for pod in pods if pod.revision != revision],
            image=template["spec"]["containers"][0]["image"] if template else None,
            monitoring=self.monitoring,
            engine=self._engine(service, current, snapshot, memory),
        )

    def _too_early(
        self, observed: Observed, service: InferenceService, snapshot: ServiceSnapshot, memory: _Memory
    ) -> float | None:
        if snapshot.status or memory.written or observed.apply_error:
            return None
        answered = observed.deployment and observed.deployment.replicas >= (service.wanted_replicas or 1)
        left = FIRST_STATUS_SECONDS - (time.monotonic() - memory.first_seen)
        return left if left > 0 and not answered else None

    async def _write_status(
        self, service: InferenceService, observed: Observed, snapshot: ServiceSnapshot, memory: _Memory
    ) -> None:
        before = dict(snapshot.status)
        if memory.written and memory.written[0] > snapshot.resource_version:
            before = memory.written[1]  # the watch has not shown our last write yet
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        after = status(service, observed, before, now)
        self._count(memory, after)
        if after == before:
            return
        result = await self._cluster.apply_status(service, after)
        memory.written = (int(result["metadata"]["resourceVersion"]), after)
        old, new = _ready(before), _ready(after)
        if (old.get("status"), old.get("reason")) != (new["status"], new["reason"]):
            log.info(
                "%s/%s Ready=%s reason=%s: %s",
                service.namespace,
                service.name,
                new["status"],
                new["reason"],
                new["message"],
            )
            stalled = any(entry["type"] == "Stalled" for entry in after["conditions"])
            await self._cluster.post_event(service, "Warning" if stalled else "Normal", new["reason"], new["message"])

    def _count(self, memory: _Memory, after: Mapping[str, Any]) -> None:
        ready = _ready(after)
        gauge = (ready["status"], ready["reason"])
        if gauge != memory.gauge:
            if memory.gauge:
                metrics.services.labels(*memory.gauge).dec()
            metrics.services.labels(*gauge).inc()
            memory.gauge = gauge

    def _forget(self, key: Key) -> None:
        memory = self._memories.pop(key, None)
        if memory and memory.gauge:
            metrics.services.labels(*memory.gauge).dec()

    def _engine(
        self, service: InferenceService, pods: list[PodSnapshot], snapshot: ServiceSnapshot, memory: _Memory
    ) -> Engine:
        """What vLLM reported; asks a pod for it, in the background, when none of the ready pods was asked yet."""
        ready = {f"{pod.name}/{pod.restarts}": pod.ip for pod in pods if pod.ready and pod.ip}
        if memory.engine and memory.engine[0] in ready:
            return memory.engine[1]
        if ready and self._settings.engine_metrics and time.monotonic() >= memory.engine_next:
            name, ip = next(iter(ready.items()))
            memory.engine_next = (
                time.monotonic() + ENGINE_RETRY_SECONDS[min(memory.engine_attempts, len(ENGINE_RETRY_SECONDS) - 1)]
            )
            memory.engine_attempts += 1
            task = asyncio.create_task(self._read_engine((service.namespace, service.name), name, str(ip), memory))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        # Until it answers, what is known of this very spec stands: an operator restart must change nothing.
        known = snapshot.status if snapshot.status.get("observedGeneration") == service.generation else {}
        figures = known.get("engine") or {}
        return Engine(known.get("vllmVersion"), figures.get("kvCacheTokens"), figures.get("maxModelLen"))

    async def _read_engine(self, key: Key, pod: str, ip: str, memory: _Memory) -> None:
        try:
            memory.engine = (pod, await engine.read(ip))
            memory.engine_attempts = 0
            memory.engine_next = 0.0
        except engine.EngineError as error:
            log.info("%s/%s: vLLM in pod %s does not tell its KV cache size: %s", *key, pod, error)
        self._requeue(key)

    def _engine_retry(self, memory: _Memory) -> float | None:
        left = memory.engine_next - time.monotonic()
        return left if memory.engine is None and memory.engine_attempts and left > 0 else None


def _ready(status_of: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((entry for entry in status_of.get("conditions") or () if entry["type"] == "Ready"), {})


# Stands in for a spec that cannot be read, where only the status is written.
_UNREADABLE = InferenceServiceSpec.model_validate({"model": {"uri": "hf://unreadable/spec"}, "replicas": 0})

"""One service, from spec to children to status. Read this first.

gather (from memory) -> desired (pure) -> apply, prune -> status (pure) -> write if it differs -> Event on a transition.
The user's trouble becomes a condition and waits for a change; the world's is raised, and the queue tries again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from . import metrics
from .api.resource import InferenceService
from .api.spec import InferenceServiceSpec
from .apply import WATCH_LAG_SECONDS, Applier, NameTakenError, StillDeletingError
from .cluster import Cluster, GoneError, RefusedError
from .diagnosis import Finding
from .engine import EngineReader
from .manifests import Manifest, controller_revision, desired, pod_template, revision_name
from .manifests.revision import KEPT_REVISIONS
from .reasons import Reason
from .settings import Settings
from .status import Engine, Observed, status
from .view import Key, Live, ServiceSnapshot, View

log = logging.getLogger(__name__)

# The first status waits this long for the Deployment controller, so that it says something: one write less per service.
FIRST_STATUS_SECONDS = 2.0
# What only tells how far the pods are is written no more often than this; a change of a condition at once.
PROGRESS_SECONDS = 5.0
# While services arrive by the hundred, their pods give way, but not for ever: each Deployment costs the API server ten
# times what its apply costs, and the rest of the fleet would wait for that.
GIVE_WAY_SECONDS = 0.25
LONGEST_GIVE_WAY_SECONDS = 10.0
# What the API server refused may be allowed later without any event of ours: a quota, an admission policy.
REFUSED_RETRY_SECONDS = 30.0


class _GivesWayError(Exception):
    """Other services have nothing yet: the pods of this one come after them."""


@dataclass(slots=True)
class _Memory:
    """What is remembered of one service between reconciles. Losing it costs requests, never correctness."""

    uid: str
    applier: Applier
    engine: EngineReader
    first_seen: float = field(default_factory=time.monotonic)
    gave_way_at: float = 0.0
    parsed: InferenceService | None = None
    templates: dict[str, Manifest] = field(default_factory=dict)
    written: tuple[int, dict[str, Any]] | None = None
    written_at: float = -PROGRESS_SECONDS
    gauge: tuple[str, str] | None = None


class Reconciler:
    """Reconciles services. `requeue(key)` makes a key come back at once. One call per key at a time."""

    def __init__(self, cluster: Cluster, settings: Settings, view: View, requeue: Callable[[Key], None]) -> None:
        self._cluster, self._settings, self._view, self._requeue = cluster, settings, view, requeue
        self._memories: dict[Key, _Memory] = {}
        # When a service was last seen for the first time.
        self._newest = 0.0
        # Whether the cluster serves ServiceMonitors; may change while the operator runs.
        self.monitoring = False

    async def reconcile(self, key: Key) -> float | None:
        """Brings a service to its desired state. Returns seconds after which to look again; None: wait for a change."""
        snapshot = self._view.service(key)
        if snapshot is None:
            self._forget(key)
            return None
        memory = self._remember(key, snapshot.uid)
        with metrics.reconcile_seconds.time():
            try:
                return await self._reconcile(key, snapshot, memory)
            except _GivesWayError:
                return GIVE_WAY_SECONDS
            except (GoneError, StillDeletingError) as error:
                # The service or its namespace is going away, or the children of its predecessor are.
                log.info("%s/%s: %s", *key, error)
                return FIRST_STATUS_SECONDS

    async def _reconcile(self, key: Key, snapshot: ServiceSnapshot, memory: _Memory) -> float | None:
        service, spec_error = self._parse(key, snapshot, memory)
        if spec_error:
            return await self._write_status(service, Observed(spec_error=spec_error), snapshot, memory)
        live = self._view.children(key)
        memory.applier.note(live)
        template, apply_error = await self._bring_about(service, live, memory)
        observed = self._observe(service, snapshot, memory)
        observed.apply_error = apply_error
        observed.image = template["spec"]["containers"][0]["image"] if template else None
        if wait := _too_early(service, observed, snapshot, memory):
            return wait
        if wait := await self._write_status(service, observed, snapshot, memory):
            return wait
        if memory.applier.unseen():
            return WATCH_LAG_SECONDS
        return REFUSED_RETRY_SECONDS if apply_error else memory.engine.retry_after

    def _parse(self, key: Key, snapshot: ServiceSnapshot, memory: _Memory) -> tuple[InferenceService, Finding | None]:
        """The service and what is wrong with its spec, beyond the schema that the API server has checked."""
        if memory.parsed is None or memory.parsed.generation != snapshot.generation:
            try:
                spec = InferenceServiceSpec.model_validate(snapshot.spec)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                unread = InferenceService(*key, snapshot.uid, snapshot.generation, _UNREADABLE)
                return unread, (Reason.INVALID, f"spec.{where}: {first['msg']}")
            memory.parsed = InferenceService(*key, snapshot.uid, snapshot.generation, spec)
        image = memory.parsed.spec.image
        if image and not self._settings.allows_image(image):
            allowed = ", ".join(self._settings.allowed_images) or "only the operator's default"
            message = f"image {image} is not allowed ({allowed}): leave spec.image out, or ask the platform team"
            return memory.parsed, (Reason.IMAGE_NOT_ALLOWED, message)
        return memory.parsed, None

    async def _bring_about(
        self, service: InferenceService, live: Live, memory: _Memory
    ) -> tuple[Manifest | None, Finding | None]:
        """Applies and prunes the children. Returns the kept pod template, and why that stopped, if it did."""
        template: Manifest | None = None
        try:
            template = await self._kept_template(service, live, memory)
            children = desired(service, template, monitoring=self.monitoring)
            for manifest in children:
                if manifest["kind"] == "Deployment" and self._gives_way(service, live, memory):
                    memory.gave_way_at = time.monotonic()
                    raise _GivesWayError
                await memory.applier.apply(service, manifest, live)
            await memory.applier.prune(service, children, live)
        except NameTakenError as error:
            return template, (Reason.NAME_TAKEN, str(error))
        except RefusedError as error:
            return template, (Reason.REFUSED, f"the API server refuses what the spec leads to: {error}")
        return template, None

    def _gives_way(self, service: InferenceService, live: Live, memory: _Memory) -> bool:
        """Whether a new service's pods should wait, as newer services still come in. The newest never waits."""
        new = ("Deployment", service.name) not in live and not memory.written
        now = time.monotonic()
        arriving = memory.first_seen < self._newest and now - self._newest < GIVE_WAY_SECONDS
        return new and arriving and now - memory.first_seen < LONGEST_GIVE_WAY_SECONDS

    async def _kept_template(self, service: InferenceService, live: Live, memory: _Memory) -> Manifest:
        """The pod template rendered when the spec last changed; rendered and kept now, if it has just changed."""
        revision = revision_name(service)
        kept = [child for child in live.values() if child.revision and child.owner_uid == service.uid]
        current = next((child for child in kept if child.revision == revision), None)
        template = memory.templates.get(revision) or (current and current.template)
        memory.templates = {revision: template or pod_template(service, revision, self._settings)}
        others = sorted((child for child in kept if child is not current), key=lambda child: child.revision_number)
        number = current.revision_number if current else max((other.revision_number for other in others), default=0) + 1
        manifest = controller_revision(service, number, memory.templates[revision])
        await memory.applier.apply(service, manifest, live)
        for old in others[: 1 - KEPT_REVISIONS]:
            await memory.applier.delete(service, (old.kind, old.name))
        return memory.templates[revision]

    def _observe(self, service: InferenceService, snapshot: ServiceSnapshot, memory: _Memory) -> Observed:
        key = (service.namespace, service.name)
        revision = revision_name(service)
        pods = self._view.pods(key)
        current = [pod for pod in pods if pod.revision == revision]
        deployment = self._view.children(key).get(("Deployment", service.name))
        engine = memory.engine.get(current) if self._settings.engine_metrics else None
        return Observed(
            deployment=deployment.deployment if deployment and deployment.owner_uid == service.uid else None,
            pods=current,
            old_pods=[pod for pod in pods if pod.revision != revision],
            monitoring=self.monitoring,
            engine=engine or Engine.known(snapshot.status, service.generation),
        )

    async def _write_status(
        self, service: InferenceService, observed: Observed, snapshot: ServiceSnapshot, memory: _Memory
    ) -> float | None:
        """Writes the status if it differs; returns seconds to wait where that can wait."""
        before = dict(snapshot.status)
        if memory.written and memory.written[0] > snapshot.resource_version:
            before = memory.written[1]  # the watch has not shown our last write yet
        after = status(service, observed, before, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        old, new = _ready(before), _ready(after)
        self._count(memory, (new["status"], new["reason"]))
        if after == before:
            return None
        left = memory.written_at + PROGRESS_SECONDS - time.monotonic()
        if left > 0 and _outline(before) == _outline(after):
            return left
        result = await self._cluster.apply_status(service, after)
        memory.written, memory.written_at = (int(result["metadata"]["resourceVersion"]), after), time.monotonic()
        if (old.get("status"), old.get("reason")) != (new["status"], new["reason"]):
            name = f"{service.namespace}/{service.name}"
            log.info("%s Ready=%s reason=%s: %s", name, new["status"], new["reason"], new["message"])
            stalled = any(entry["type"] == "Stalled" for entry in after["conditions"])
            await self._cluster.post_event(service, "Warning" if stalled else "Normal", new["reason"], new["message"])
        return None

    def _remember(self, key: Key, uid: str) -> _Memory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            self._forget(key)
            memory = _Memory(uid, Applier(self._cluster), EngineReader(lambda: self._requeue(key)))
            self._memories[key] = memory
            self._newest = memory.first_seen
        return memory

    def _forget(self, key: Key) -> None:
        memory = self._memories.pop(key, None)
        if memory:
            self._count(memory, None)

    @staticmethod
    def _count(memory: _Memory, gauge: tuple[str, str] | None) -> None:
        if gauge != memory.gauge:
            if memory.gauge:
                metrics.services.labels(*memory.gauge).dec()
            if gauge:
                metrics.services.labels(*gauge).inc()
            memory.gauge = gauge


def _too_early(
    service: InferenceService, observed: Observed, snapshot: ServiceSnapshot, memory: _Memory
) -> float | None:
    """Seconds by which the first status should wait for the Deployment controller's answer."""
    if snapshot.status or memory.written or observed.apply_error:
        return None
    answered = observed.deployment and observed.deployment.replicas >= (service.wanted_replicas or 1)
    left = max(memory.first_seen, memory.gave_way_at) + FIRST_STATUS_SECONDS - time.monotonic()
    return left if left > 0 and not answered else None


def _outline(status_of: Mapping[str, Any]) -> list[Any]:
    """What of a status is never late: each condition without its message, and the spec that it is about."""
    conditions = [(entry["type"], entry["status"], entry["reason"]) for entry in status_of.get("conditions") or ()]
    return [status_of.get("observedGeneration"), *conditions]


def _ready(status_of: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((entry for entry in status_of.get("conditions") or () if entry["type"] == "Ready"), {})


# Stands in for a spec that cannot be read: only the status is written then.
_UNREADABLE = InferenceServiceSpec.model_validate({"model": {"uri": "hf://unreadable/spec"}, "replicas": 0})

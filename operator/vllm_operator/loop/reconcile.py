"""One service, from spec to children to status. Read this first.

gather (from memory) -> assess (pure) -> desired (pure) -> apply, prune -> status (pure) -> write if it differs -> Event
on a transition.
The user's trouble becomes a condition and waits for a change; the world's is raised, and the queue tries again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from .. import metrics
from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..apply.applier import WATCH_LAG_SECONDS, StillDeletingError
from ..apply.children import Children, GivesWayError, Known, deployment_of, revisions
from ..assess.fits import Assessment, Inspection, assess
from ..assess.supply import Supply, supply
from ..cluster import Cluster, GoneError
from ..diagnosis import Autoscaler, Finding, asks_for_gpus
from ..manifests import inspection_key, revision_name
from ..manifests.names import CONTAINER, hpa_of
from ..readers.engine import ConfigurationReader, EngineReader, HangReader
from ..readers.events import EventReader
from ..readers.inspection import Inspector
from ..readers.logs import LogReader
from ..settings import Settings
from ..snapshots.node import Node
from ..snapshots.pod import PodSnapshot
from ..status.conditions import Engine, Observed
from ..status.figures import Restarts, figures
from ..status.status import status
from ..vllm.argv import configuration
from ..watch.view import Key, ServiceSnapshot, View
from .arrivals import Arrivals

log = logging.getLogger(__name__)

# The first status waits this long for the Deployment controller, so that it says something: one write less per service.
FIRST_STATUS_SECONDS = 3.0
# What only tells how far the pods are is written no more often than this; a change of a condition at once.
PROGRESS_SECONDS = 10.0
# And not at once, as the next change of a condition often follows: one write less.
SETTLE_SECONDS = 4.0
# A first status that gives way to the children of other services is looked at again so often.
GIVE_WAY_SECONDS = 0.5
# Who holds the GPUs that pods wait for changes without an event of theirs.
SUPPLY_SECONDS = 30.0
# What the API server refused may be allowed later without any event of ours: a quota, an admission policy.
REFUSED_RETRY_SECONDS = 30.0


@dataclass(slots=True)
class _Memory:
    """What is remembered of one service between reconciles. Losing it costs requests, never correctness."""

    uid: str
    children: Children
    engine: EngineReader
    inspector: Inspector
    logs: LogReader
    configuration: ConfigurationReader
    hangs: HangReader
    events: EventReader
    first_seen: float = field(default_factory=time.monotonic)
    settled_at: float = 0.0
    parsed: InferenceService | None = None
    written: tuple[int, dict[str, Any]] | None = None
    written_at: float = -PROGRESS_SECONDS
    # Since when the status that stands is not what it should be.
    differs_since: float | None = None
    restarts: Restarts = field(default_factory=Restarts)
    # What the last assessment was made of, and what came of it.
    assessed: tuple[tuple[int, Inspection, list[Node]], Assessment] | None = None


class Reconciler:
    """Reconciles services. `requeue(key)` makes a key come back at once. One call per key at a time."""

    def __init__(self, cluster: Cluster, settings: Settings, view: View, requeue: Callable[[Key], None]) -> None:
        self._cluster, self._settings, self._view, self._requeue = cluster, settings, view, requeue
        self._memories: dict[Key, _Memory] = {}
        self._arrivals = Arrivals(requeue)
        # Which optional kinds (ServiceMonitor, ScaledObject) the cluster serves; may change while the operator runs.
        self.served: frozenset[str] = frozenset()

    async def reconcile(self, key: Key) -> float | None:
        """Brings a service to its desired state. Returns seconds after which to look again; None: wait for a change."""
        snapshot = self._view.service(key)
        if snapshot is None:
            self._forget(key)
            return None
        if self._arrivals.is_held(key):
            return None
        memory = self._remember(key, snapshot.uid)
        with metrics.reconcile_seconds.time():
            try:
                return await self._reconcile(key, snapshot, memory)
            except GivesWayError:
                return None
            except (GoneError, StillDeletingError) as error:
                # The service or its namespace is going away, or the children of its predecessor are.
                log.info("%s/%s: %s", *key, error)
                return FIRST_STATUS_SECONDS

    async def _reconcile(self, key: Key, snapshot: ServiceSnapshot, memory: _Memory) -> float | None:
        service, spec_error = self._parse(key, snapshot, memory)
        before = _newest_status(snapshot, memory)
        live, children = self._view.children(key), memory.children
        children.replicas.note(deployment_of(service, live), self._view.pods(key), before)
        if spec_error:
            self._arrivals.settled(key)
            return await self._write_status(service, self._observed(service, spec_error, memory), before, memory)
        children.applier.note(live)
        inspection = await memory.inspector.look(service, before, self._view.inspection(key, inspection_key(service)))
        assessment = self._assess(service, inspection, memory)
        known = Known(inspection, assessment, memory.inspector.job(service, before, inspection))
        outcome = await children.bring_about(service, live, known, self.served)
        self._arrivals.settled(key)
        memory.settled_at = memory.settled_at or time.monotonic()
        observed = await self._observe(service, before, memory)
        observed.apply_error, observed.withheld = outcome.error, outcome.withheld
        observed.inspection, observed.assessment = inspection, assessment
        observed.autoscaler = replace(observed.autoscaler, refused=outcome.autoscaler_refused)
        observed.image = outcome.template["spec"]["containers"][0]["image"] if outcome.template else None
        wait = self._too_early(service, observed, snapshot, memory) or memory.logs.wait() or memory.hangs.wait()
        wait = wait or await self._write_status(service, observed, before, memory)
        waits = (
            wait,
            memory.engine.retry_after,
            memory.inspector.retry_after,
            memory.configuration.retry_after,
            memory.events.retry_after,
            WATCH_LAG_SECONDS if children.applier.unseen() else None,
            REFUSED_RETRY_SECONDS if outcome.error or outcome.autoscaler_refused else None,
            SUPPLY_SECONDS if observed.supply else None,
        )
        return min(filter(None, waits), default=None)

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

    def _assess(self, service: InferenceService, inspection: Inspection, memory: _Memory) -> Assessment:
        """Whether the service fits; worked out anew when its spec, its model or the nodes have changed."""
        made_of = (service.generation, inspection, self._view.nodes())
        if memory.assessed is None or memory.assessed[0] != made_of:
            image = self._settings.default_image(service.spec.accelerator.resource)
            memory.assessed = (made_of, assess(service, inspection, made_of[2], image))
        return memory.assessed[1]

    def _observed(self, service: InferenceService, spec_error: Finding | None, memory: _Memory) -> Observed:
        """What is known of a service whatever its pods do."""
        live = self._view.children((service.namespace, service.name))
        hpa, scaled_object = live.get(hpa_of(service)), live.get(("ScaledObject", service.name))
        return Observed(
            spec_error=spec_error,
            deployment=deployment_of(service, live),
            monitoring="ServiceMonitor" in self.served,
            autoscaler=Autoscaler(
                hpa.autoscaler if hpa else None,
                scaled_object.autoscaler if scaled_object else None,
                keda="ScaledObject" in self.served,
            ),
            start_replicas=memory.children.replicas.at_start(service),
            startup_seconds=memory.children.replicas.startup_seconds,
        )

    async def _observe(self, service: InferenceService, before: Mapping[str, Any], memory: _Memory) -> Observed:
        key = (service.namespace, service.name)
        revision = revision_name(service)
        pods = self._view.pods(key)
        observed = self._observed(service, None, memory)
        current = await memory.events.fill([pod for pod in pods if pod.revision == revision])
        observed.pods = memory.logs.fill(memory.hangs.fill(current) if self._settings.engine_metrics else current)
        observed.old_pods = [pod for pod in pods if pod.revision != revision]
        observed.replaces = len(revisions(service, self._view.children(key))) > 1
        observed.supply = self._supply(service) if asks_for_gpus(observed.deployment, observed.pods) else None
        engine = memory.engine.get(observed.pods) if self._settings.engine_metrics else None
        observed.engine = engine or Engine.known(before, service.generation)
        if self._settings.engine_metrics and configuration(service.spec):
            observed.changed = memory.configuration.get(observed.pods)
        return observed

    def _supply(self, service: InferenceService) -> Supply | None:
        """The GPUs that there are for a service's pods; None where the operator may not see nodes."""
        nodes = self._view.nodes()
        return supply(service.namespace, service.spec, nodes, self._view.all_pods()) if nodes else None

    def _too_early(
        self, service: InferenceService, observed: Observed, snapshot: ServiceSnapshot, memory: _Memory
    ) -> float | None:
        """Seconds by which the first status waits for the Deployment controller's answer, and for other services."""
        verdict = observed.withheld and not observed.assessment.pending
        if "conditions" in snapshot.status or memory.written or observed.apply_error or verdict:
            return None
        if self._arrivals.holds_status():
            return GIVE_WAY_SECONDS
        answered = observed.deployment and observed.deployment.replicas >= (service.wanted_replicas or 1)
        left = memory.settled_at + FIRST_STATUS_SECONDS - time.monotonic()
        return left if left > 0 and not answered else None

    async def _write_status(
        self, service: InferenceService, observed: Observed, before: dict[str, Any], memory: _Memory
    ) -> float | None:
        """Writes the status if it differs; returns seconds to wait where that can wait."""
        after = status(service, observed, before, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        old, new = _ready(before), _ready(after)
        self._show(service, observed, new, memory)
        if after == before:
            memory.differs_since = None
            return None
        now = time.monotonic()
        memory.differs_since = memory.differs_since or now
        left = max(memory.written_at + PROGRESS_SECONDS, memory.differs_since + SETTLE_SECONDS) - now
        if left > 0 and _outline(before) == _outline(after):
            return left
        result = await self._cluster.apply_status(service, after)
        memory.differs_since = None
        memory.written, memory.written_at = (int(result["metadata"]["resourceVersion"]), after), time.monotonic()
        if (old.get("status"), old.get("reason")) != (new["status"], new["reason"]):
            _log_transition(service, new)
            stalled = any(entry["type"] == "Stalled" for entry in after["conditions"])
            await self._cluster.post_event(service, "Warning" if stalled else "Normal", new["reason"], new["message"])
        return None

    def _remember(self, key: Key, uid: str) -> _Memory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            self._forget(key)
            reader = EngineReader(lambda: self._requeue(key))
            inspector = Inspector(self._cluster, self._settings)
            logs = LogReader(partial(self._read_log, key[0]), lambda: self._requeue(key))
            changes = ConfigurationReader(lambda: self._requeue(key))
            hangs = HangReader(lambda: self._requeue(key))
            events = EventReader(partial(self._cluster.read_events, key[0]))
            children = Children(self._cluster, self._settings, lambda: self._arrivals.holds_pods(key))
            memory = _Memory(uid, children, reader, inspector, logs, changes, hangs, events)
            self._memories[key] = memory
            self._arrivals.arrived(key)
        return memory

    async def _read_log(self, namespace: str, pod: PodSnapshot) -> str:
        previous = pod.ending is not None and pod.ending.replaced
        return await self._cluster.read_log(namespace, pod.name, CONTAINER, previous=previous)

    def _forget(self, key: Key) -> None:
        self._arrivals.settled(key)
        self._memories.pop(key, None)
        metrics.fleet.forget(key)

    def _show(self, service: InferenceService, observed: Observed, ready: Mapping[str, Any], memory: _Memory) -> None:
        """Brings the service's metrics up to date."""
        key = (service.namespace, service.name)
        restarts = memory.restarts.count(self._view.pods(key))
        metrics.fleet.show(key, figures(service, observed, ready, restarts))


def _newest_status(snapshot: ServiceSnapshot, memory: _Memory) -> dict[str, Any]:
    """The status as it stands: the watch may not have shown our last write yet."""
    if memory.written and memory.written[0] > snapshot.resource_version:
        return memory.written[1]
    return dict(snapshot.status)


def _log_transition(service: InferenceService, ready: Mapping[str, Any]) -> None:
    """One line for people, and its parts as fields for the format json."""
    fields = {"namespace": service.namespace, "inferenceservice": service.name}
    fields |= {"ready": ready["status"], "reason": ready["reason"]}
    name = f"{service.namespace}/{service.name}"
    log.info("%s Ready=%s reason=%s: %s", name, ready["status"], ready["reason"], ready["message"], extra=fields)


def _outline(status_of: Mapping[str, Any]) -> list[Any]:
    """What of a status is never late: each condition without its message, and the spec that it is about."""
    conditions = [(entry["type"], entry["status"], entry["reason"]) for entry in status_of.get("conditions") or ()]
    return [status_of.get("observedGeneration"), *conditions]


def _ready(status_of: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((entry for entry in status_of.get("conditions") or () if entry["type"] == "Ready"), {})


# Stands in for a spec that cannot be read: only the status is written then.
_UNREADABLE = InferenceServiceSpec.model_validate({"model": {"uri": "hf://unreadable/spec"}, "replicas": 0})

"""All that is known of a batch, as one frozen value. Reads what the watches do not show; decides nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..api import BATCH_KIND
from ..api.batch import InferenceBatch
from ..api.reasons import Reason
from ..api.resource import InferenceService, Key
from ..api.spec import AUTO
from ..assess.fits import Inspection
from ..assess.limits import Bounds, counts_gpus, over_budget, room
from ..loop.kinds import Surroundings
from ..manifests.batch import INSPECT
from ..manifests.inspection import inspection_name
from ..readers.reader import told_by
from ..services.gather import lacking
from ..services.view import View
from ..snapshots.batch import BatchPod, JobSnapshot
from ..snapshots.child import Child, Live
from ..snapshots.own import ObjectSnapshot
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Evidence
from ..vllm.batch import RUN
from .engine import Engine, as_begun, claims_of, claims_refused, engine_of
from .evidence import BatchEvidence
from .memory import QUEUE_SECONDS, BatchMemory
from .parse import is_readable, parse
from .view import BatchView

log = logging.getLogger(__name__)


async def gather(
    key: Key, snapshot: ObjectSnapshot, before: Mapping[str, Any], memory: BatchMemory, surroundings: Surroundings
) -> BatchEvidence:
    """The evidence on which the batch is decided, with its status as it stands (`before`).

    What is still being read, `memory.waits()` tells.
    """
    evidence = _watched(key, snapshot, before, surroundings)
    if evidence.finished:
        return evidence
    progress = memory.progress.read(evidence.pods)
    evidence = replace(evidence, progress=progress, pace=memory.progress.pace())
    if evidence.spec_error:
        return evidence
    evidence = _with_room(evidence, surroundings)
    if not evidence.has_pods:
        batch, spec = evidence.batch, evidence.engine.service.spec
        claims = await memory.claims.read(claims_of(batch, spec))
        finding = claims_refused(batch, spec, claims, surroundings.settings)
        evidence = replace(evidence, spec_error=finding)
        if finding:
            return evidence
    engine = evidence.engine
    for reader in memory.readers:
        engine = await told_by(reader, engine)
    queue = await _queue(evidence, memory, surroundings)
    said = {step: reader.look(*_without_pods(evidence, step)) for step, reader in memory.refusals.items()}
    refused = {step: words for step, words in said.items() if words}
    reads = any(wait.holds_status for reader in memory.readers for wait in reader.waits())
    return replace(evidence, engine=engine, queue=queue, refused_pods=refused, reads=reads)


def _with_room(evidence: BatchEvidence, surroundings: Surroundings) -> BatchEvidence:
    """With what its class has left of the namespace's GPUs, as long as it has no pods: those it keeps."""
    batch, own = evidence.batch, evidence.own
    if own is None or not counts_gpus(own) or evidence.has_pods or batch.spec.suspend:
        return evidence
    claimants, holder = list(surroundings.claimants(batch.namespace, own)), (BATCH_KIND, batch.key)
    bounds = Bounds(own, room(own, claimants, holder))
    open_to_it = evidence.engine.service.spec.tensor_parallel_size == AUTO
    engine = replace(evidence.engine, bounds=bounds) if open_to_it else evidence.engine
    return replace(evidence, engine=engine, crowded=over_budget(own, claimants).get(holder))


async def _queue(evidence: BatchEvidence, memory: BatchMemory, surroundings: Surroundings) -> str:
    """What Kueue says of why it holds the Job whose pods answer, as it was read some time ago at most."""
    run, now = evidence.jobs.get(RUN), surroundings.clock()
    if run is None or not run.suspended:
        memory.queue = None
        return ""
    if memory.queue is None or now >= memory.queue[1] + QUEUE_SECONDS:
        memory.queue = (await surroundings.cluster.read_queue(evidence.batch.namespace, run.uid), now)
    return memory.queue[0]


def _without_pods(evidence: BatchEvidence, step: str) -> tuple[str, str]:
    """Whose Events say why a step has no pods, and since when; empty where it has some, or needs none."""
    job = evidence.jobs.get(step)
    if job is None or job.suspended or job.complete or job.failed or job.terminating:
        return "", ""
    pods = [pod for pod in evidence.pods if pod.owner == job.uid]
    if any(not pod.ended for pod in pods):
        return "", ""
    return f"involvedObject.uid={job.uid}", max((pod.created for pod in pods), default="")


def _watched(
    key: Key, snapshot: ObjectSnapshot, before: Mapping[str, Any], surroundings: Surroundings
) -> BatchEvidence:
    """What the watches show."""
    view = BatchView(surroundings.indices)
    batch, fault = parse(key, snapshot)
    jobs = view.jobs(key, snapshot.uid)
    pods = view.pods(key, jobs.values())
    engine = _engine(batch, jobs, surroundings)
    lacks = lacking(engine.service.spec, engine.resolved, surroundings)
    refusal = (Reason.INVALID, fault) if fault else engine.refusal or lacks
    goes_on = engine.begun and is_readable(batch)
    run = jobs.get(RUN)
    inspect = jobs.get(INSPECT)
    inspections = [one.inspection for one in pods if one.inspection and one.inspection.key == engine.service.inspected]
    return BatchEvidence(
        batch=batch,
        engine=Evidence(
            engine.service,
            before=before,
            live=_inspecting(engine.service, inspect) if inspect else {},
            pods=_answering([one for one in pods if run and one.owner == run.uid]),
            inspection_pod=max(inspections, key=lambda one: one.ended, default=None),
            inspection=Inspection(engine.service.inspected, pending=True),
            resolved=engine.resolved,
        ),
        now=datetime.now(UTC),
        before=before,
        created=snapshot.created,
        spec_error=None if goes_on else refusal,
        refused=refusal if goes_on else None,
        own=engine.own,
        jobs=jobs,
        pods=pods,
    )


def _answering(pods: Sequence[BatchPod]) -> list[PodSnapshot]:
    """The pods that answer, or are about to. While none answers also the last one of each index, where that failed."""
    own = [one for one in pods if not one.pod.terminating]
    live = [one.pod for one in own if not one.ended]
    if any(pod.ready for pod in live):
        return live
    last = {one.index: one for one in sorted(own, key=lambda one: one.created) if one.ended}
    return [*live, *(one.pod for one in last.values() if one.failed)]


def _inspecting(service: InferenceService, job: JobSnapshot) -> Live:
    """The Job that inspects, where its reader looks for that of a service."""
    return {("Job", inspection_name(service)): Child("Job", job.name, job.owner, 0, "", uid=job.uid)}


def _engine(batch: InferenceBatch, jobs: Mapping[str, JobSnapshot], surroundings: Surroundings) -> Engine:
    view = View(surroundings.indices)
    ref, classes = batch.spec.service_ref, view.classes(batch.namespace)
    lender = Key(batch.namespace, ref.name) if ref else None
    shown, has_cache = (view.service(lender), view.has_shared_cache(lender)) if lender else (None, False)
    now = engine_of(batch, shown.spec if shown else None, classes, surroundings.settings, has_cache=has_cache)
    return as_begun(now, batch, jobs, classes)

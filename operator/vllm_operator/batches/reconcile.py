"""One batch, from spec to Jobs to status. Read this first.

gather (evidence) -> assess (does it fit) -> plan (a value) -> make and delete Jobs -> status (pure) -> write it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import metrics
from ..again import Again, soonest
from ..api import API_VERSION, BATCH_KIND
from ..api.reasons import Finding, Reason
from ..api.resource import Key, Reference
from ..assess.fits import NOT_ASSESSED, Assessment
from ..cluster import GoneError, RefusedError, UnavailableError
from ..inspection.kept import facts_of
from ..loop.kinds import Surroundings
from ..manifests.batch import (
    INSPECT,
    BatchParts,
    check_job,
    inspect_job,
    job_name,
    merge_job,
    run_job,
)
from ..manifests.metadata import Manifest
from ..manifests.pod import Rendering
from ..services.judge import Judge
from ..services.view import View
from ..snapshots.child import owner_uid
from ..snapshots.own import ObjectSnapshot
from ..status.conditions import operator_failed
from ..status.status import outline
from ..vllm.batch import CHECK, MERGE, RUN
from .evidence import BatchEvidence
from .figures import batch_fleet
from .gather import gather
from .memory import QUEUE_SECONDS, BatchMemory, new_readers, remember
from .status import BatchAccount, stamp_of, status
from .steps import Plan, plan
from .view import BatchView

log = logging.getLogger(__name__)
# What others may mend without any event for us: nodes, classes, claims, a service.
LOOK_SECONDS = 60.0
# The Jobs of a deleted batch of the same name are soon gone, and so is a batch that is going away.
PREDECESSOR_SECONDS = GONE_SECONDS = 3.0
_BUILD: dict[str, Callable[[BatchParts], Manifest]] = {
    INSPECT: inspect_job,
    CHECK: check_job,
    RUN: run_job,
    MERGE: merge_job,
}


class PredecessorError(Exception):
    """A Job of a deleted batch of the same name is not gone yet."""


class BatchReconciler:
    """Reconciles InferenceBatches."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._view = BatchView(surroundings.indices)
        self._memories: dict[Key, BatchMemory] = {}
        self._judge = Judge(surroundings, View(surroundings.indices).nodes)

    def known(self) -> list[Key]:
        """All batches."""
        return self._view.known()

    def forget(self, key: Key) -> None:
        """The batch is gone, or another operator sees to it."""
        self._memories.pop(key, None)
        self._judge.forget(key)
        batch_fleet.forget(key)

    async def reconcile(self, key: Key) -> float | None:
        """Brings a batch forward. Returns seconds after which to look again; None: wait for a change."""
        snapshot = self._view.batch(key)
        if snapshot is None:
            self.forget(key)
            return None
        with metrics.reconcile_seconds.time():
            try:
                again = soonest(await self._reconcile(key, snapshot, self._remember(key, snapshot.uid)))
            except GoneError as error:  # the batch, or its namespace
                again = Again(GONE_SECONDS, str(error))
            except Exception:
                self._judge.give_up(key)
                raise
        if again:
            log.debug("%s: again in %.1f s, as %s", key, again.seconds, again.why)
        return again.seconds if again else None

    async def _reconcile(self, key: Key, snapshot: ObjectSnapshot, memory: BatchMemory) -> list[Again]:
        before = memory.writer.newest(snapshot.resource_version, snapshot.status)
        evidence = await gather(key, snapshot, before, memory, self._surroundings)
        account = await self._bring_about(evidence)
        after = status(account)
        batch_fleet.show(key, after)
        if evidence.finished:
            # The logs of its pods are large, and nobody asks for them any more.
            memory.readers = new_readers(key, self._surroundings)
            wait = await self._write(evidence, memory, after)
            return [*await self._finish(evidence), *([wait] if wait else [])]
        # Of a spec that cannot be acted on nothing else is read: what was due before that stays due.
        waits = [*(memory.progress.waits() if evidence.spec_error else memory.waits()), *_rules(account)]
        if any(wait.holds_status for wait in waits):
            return waits
        wait = await self._write(evidence, memory, after)
        return [*waits, wait] if wait else waits

    async def _write(self, evidence: BatchEvidence, memory: BatchMemory, after: dict[str, Any]) -> Again | None:
        """Writes the status, in outline where the API server refuses a value of it."""
        about = Reference(API_VERSION, BATCH_KIND, evidence.batch.key, evidence.batch.uid)
        try:
            return await memory.writer.write(about, evidence.before, after)
        except RefusedError as error:
            return await memory.writer.write(about, evidence.before, outline(after, str(error), stamp_of(evidence)))

    async def _bring_about(self, evidence: BatchEvidence) -> BatchAccount:
        """What is concluded and done. A fault of ours is told as well, in place of a status that is never written."""
        possible = bool(self._surroundings.settings.images.operator)
        try:
            assessment = await self._assess(evidence)
            if assessment.chosen:
                evidence = replace(evidence, engine=evidence.engine.with_chosen(assessment.chosen))
            planned = plan(evidence, assessment, inspects=possible)
            try:
                fault = await self._carry_out(evidence, planned, assessment)
            except PredecessorError as error:
                waits = replace(planned, make=())
                return BatchAccount(evidence, assessment, waits, (Reason.STARTING, str(error)), predecessor=True)
        except (GoneError, UnavailableError):
            raise
        except Exception as error:
            log.exception("%s: its Jobs cannot be seen to", evidence.batch.key)
            metrics.reconcile_errors.labels(type(error).__name__).inc()
            return BatchAccount(evidence, error=operator_failed("batch", error))
        return BatchAccount(evidence, assessment, planned, fault)

    async def _assess(self, evidence: BatchEvidence) -> Assessment:
        """Whether it fits, as long as there are no pods yet: then what was known stands."""
        if evidence.finished or evidence.spec_error or evidence.batch.spec.suspend or evidence.has_pods:
            self._judge.forget(evidence.batch.key)
            return NOT_ASSESSED
        await self._judge.look_at_nodes()
        return await self._judge.assess(evidence.engine)

    async def _carry_out(self, evidence: BatchEvidence, planned: Plan, assessment: Assessment) -> Finding | None:
        """Makes and deletes Jobs; returns why that could not be done, where somebody has to change something."""
        batch, cluster = evidence.batch, self._surroundings.cluster
        for step in planned.delete:
            if job := evidence.jobs.get(step):
                await cluster.delete("Job", batch.namespace, job.name, job.uid)
        packed = evidence.engine.inspection.packed
        rendering = Rendering(facts_of(packed).commit if packed else None, assessment.products)
        parts = BatchParts(batch, evidence.engine.service, self._surroundings.settings, rendering, planned.cause)
        for step in planned.make:
            try:
                made = await cluster.apply_new(_BUILD[step](parts))
            except RefusedError as error:
                return Reason.REFUSED, f"the API server refuses what the spec leads to: {error}"
            if made is None and (taken := await self._taken(evidence, step)):
                return taken
        return None

    async def _taken(self, evidence: BatchEvidence, step: str) -> Finding | None:
        """Whose the Job is that has the name of one of ours; None where it is this batch's, and the watch lags."""
        batch, name = evidence.batch, job_name(evidence.batch.name, step)
        body = await self._surroundings.cluster.read("Job", batch.namespace, name)
        if body is None or owner_uid(body["metadata"]) == batch.uid:
            return None
        owners = body["metadata"].get("ownerReferences") or ()
        if any((one.get("kind"), one.get("name")) == (BATCH_KIND, batch.name) for one in owners):
            raise PredecessorError(f"Job {name} belongs to a deleted batch of this name and is not gone yet")
        text = f"the Job {name} in namespace {batch.namespace} does not belong to this batch"
        return Reason.NAME_TAKEN, f"{text}: rename the batch, or delete that Job"

    async def _finish(self, evidence: BatchEvidence) -> list[Again]:
        """A batch that has ended goes after the time that it asks for; nothing else is done about it."""
        seconds, ended = evidence.batch.spec.ttl_seconds_after_finished, evidence.before.get("finishedAt")
        if seconds is None or not ended:
            return []
        left = evidence.left(ended, seconds)
        if left > 0:
            return [Again(left, "it is deleted then (ttlSecondsAfterFinished)")]
        await self._surroundings.cluster.delete(BATCH_KIND, *evidence.batch.key)
        return []

    def _remember(self, key: Key, uid: str) -> BatchMemory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            self.forget(key)
            memory = self._memories[key] = remember(key, uid, self._surroundings)
        return memory


def _rules(account: BatchAccount) -> list[Again]:
    """What wants another look without an event."""
    evidence, found = account.evidence, []
    if account.predecessor:
        found.append(Again(PREDECESSOR_SECONDS, "what a deleted batch of this name had may be gone"))
    kept = evidence.spec_error or evidence.refused or evidence.crowded or account.plan.withheld or account.plan.unmerged
    if kept or account.error:
        found.append(Again(LOOK_SECONDS, "others may have changed what keeps it from running"))
    seconds = evidence.batch.spec.expire_after_seconds
    if seconds and evidence.created and not evidence.overdue:
        found.append(Again(max(evidence.left(evidence.created, seconds), 0.1), "it expires then"))
    if RUN in evidence.jobs and evidence.jobs[RUN].suspended:
        found.append(Again(QUEUE_SECONDS, "Kueue may say something else of why it waits"))
    return found

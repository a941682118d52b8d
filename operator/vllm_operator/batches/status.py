"""From all that is known of a batch to its status. Pure, with the time given in the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from .. import diagnosis
from ..api.batch import InferenceBatchStatus
from ..api.conditions import ConditionType, find
from ..api.reasons import Finding, Reason
from ..api.times import written
from ..assess.fits import NOT_ASSESSED, Assessment
from ..assess.limits import gpus_of_pod
from ..diagnosis import refusals
from ..manifests.metadata import compact
from ..status.conditions import Verdict, fits
from ..status.evidence import Account
from ..status.schema import conform
from ..status.status import Stamp, conditions, with_gaps
from ..vllm.batch import CHECK, MERGE, RUN
from .evidence import BatchEvidence, Progress
from .steps import Plan, invalid

_MINUTE = "%Y-%m-%dT%H:%MZ"
_VALID = Verdict(ConditionType.SPEC_VALID, True, Reason.VALID, "the spec is valid")
# No pace is good for a longer forecast.
_LONGEST = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class BatchAccount:
    """Evidence, what was concluded from it, and what was done."""

    evidence: BatchEvidence
    assessment: Assessment = NOT_ASSESSED
    plan: Plan = field(default_factory=Plan)
    error: Finding | None = None
    """Why a Job could not be made."""
    predecessor: bool = False
    """Whether that is a Job of a deleted batch of the same name, which is soon gone."""


def status(account: BatchAccount) -> dict[str, Any]:
    """The whole status, as the API takes it."""
    seen, stamp = account.evidence, stamp_of(account.evidence)
    before, spec = seen.before, seen.engine.service.spec
    if seen.finished:
        return _of_generation(before, stamp.generation)
    report, counts = seen.checked.report, _counts(account)
    ended = account.plan.complete or account.plan.failed
    began = seen.began or RUN in account.plan.make
    total = report.counts.get("total") if report else None
    whole = {
        "observedGeneration": stamp.generation,
        "conditions": conditions(verdicts(account), stamp),
        "input": dict(report.counts) if report else None,
        "total": total,
        "done": counts.done if began else None,
        "failed": counts.failed if began else None,
        "promptTokens": counts.prompt_tokens if began else None,
        "outputTokens": counts.output_tokens if began else None,
        "tokensPerSecond": round(seen.pace.tokens) if seen.pace and not ended else None,
        "estimatedEnd": None if ended or total is None else _end(seen, total - counts.done - counts.failed),
        "gpus": 0 if ended else _gpus(seen),
        "image": spec.image or before.get("image"),
        "startedAt": before.get("startedAt") or (stamp.now if began else None),
        "finishedAt": stamp.now if ended else None,
    }
    return with_gaps(*conform(compact(whole), InferenceBatchStatus), seen.engine.missing, stamp)


def _of_generation(before: Mapping[str, Any], generation: int) -> dict[str, Any]:
    """What stands of a batch that has ended, as said of the spec as it is now: an edit changes nothing of it.

    kubectl, Flux and Argo CD pass over what is said of an earlier one.
    """
    told = [{**entry, "observedGeneration": generation} for entry in before["conditions"]]
    return {**before, "observedGeneration": generation, "conditions": told}


def _gpus(seen: BatchEvidence) -> int:
    """GPUs of all pods together: without an engine those of the pods that there are."""
    if seen.spec_error:
        return seen.jobs[RUN].gpus if RUN in seen.jobs else 0
    return gpus_of_pod(seen.engine.service.spec) * seen.batch.pods


def stamp_of(seen: BatchEvidence) -> Stamp:
    """What each of a batch's conditions tells."""
    return Stamp(seen.before.get("conditions") or (), seen.batch.generation, written(seen.now))


def _counts(account: BatchAccount) -> Progress:
    """What is answered: as the output has it, or as the pods tell. That never falls, whoever has forgotten it."""
    seen, before = account.evidence, account.evidence.before
    if seen.merged:
        return seen.merged
    names = ("done", "failed", "promptTokens", "outputTokens")
    return Progress(*(max(int(before.get(name) or 0), now) for name, now in zip(names, seen.progress, strict=True)))


def _end(seen: BatchEvidence, left: int) -> str | None:
    if seen.pace is None or seen.pace.requests <= 0:
        return None
    lasts = timedelta(seconds=min(max(left, 0) / seen.pace.requests, _LONGEST.total_seconds()))
    return None if lasts >= _LONGEST else (seen.now + lasts).strftime(_MINUTE)


def verdicts(account: BatchAccount) -> list[Verdict]:
    """All conditions, in the order in which people should read them."""
    seen = account.evidence
    checked = _input_valid(seen)
    if seen.spec_error and not account.plan.failed:
        wrong, known = _refused(seen, seen.spec_error), [checked] if checked.status else []
        ready = Verdict(ConditionType.READY, False, wrong.reason, wrong.message)
        return [ready, wrong, *known, Verdict(ConditionType.STALLED, True, wrong.reason, wrong.message)]
    running, complete = _running(account), _complete(account)
    over = account.plan.complete or seen.answered or MERGE in seen.jobs
    failed = Verdict(ConditionType.FAILED, True, *account.plan.failed) if account.plan.failed else None
    held = Verdict(ConditionType.ADMITTED, False, *seen.crowded) if seen.crowded and not over else None
    gate = failed or held or (complete if over else running if checked.status else checked)
    if account.error or account.plan.withheld or (seen.batch.spec.suspend and not over):
        gate = failed or running
    ready = Verdict(ConditionType.READY, account.plan.complete, gate.reason, gate.message)
    finding = seen.refused or seen.spec_error
    valid = _refused(seen, finding) if finding else _VALID
    found = [ready, valid, held, checked, _fits(account), running, complete, failed, _settled(account, gate)]
    return [one for one in found if one]


def _refused(seen: BatchEvidence, wrong: Finding) -> Verdict:
    """Why the batch could not begin now, and what becomes of what it has begun."""
    kind = ConditionType.ADMITTED if ConditionType.ADMITTED in wrong[0].types else ConditionType.SPEC_VALID
    if seen.refused:
        then = "; its pods go on as they were made, and the output is made of what they answer"
    elif not seen.began:
        then = ""
    elif seen.expired:
        then = "; it has expired, and the output is made of what was answered when that is mended"
    else:
        then = "; what was answered is kept, and it goes on when that is mended"
    return Verdict(kind, False, wrong[0], f"{wrong[1]}{then}")


def _settled(account: BatchAccount, gate: Verdict) -> Verdict | None:
    """kstatus' two conditions, of which there is one while the batch is not where it should be."""
    if account.plan.complete:
        return None
    lasts = account.plan.failed or Reason.named(gate.reason).passes is False
    if lasts:
        return Verdict(ConditionType.STALLED, True, gate.reason, gate.message)
    if Reason.named(gate.reason) is Reason.SUSPENDED:
        return None
    return Verdict(ConditionType.RECONCILING, True, Reason.PROGRESSING, gate.message)


def _input_valid(seen: BatchEvidence) -> Verdict:
    checked = seen.checked
    if checked.invalid:
        return Verdict(ConditionType.INPUT_VALID, False, Reason.INPUT_INVALID, invalid(seen))
    if checked.why:
        text = f"the input could not be read: {checked.why}"
        return Verdict(ConditionType.INPUT_VALID, False, Reason.INPUT_UNREADABLE, text)
    if checked.report is None:
        verdict = Verdict(ConditionType.INPUT_VALID, None, Reason.CHECKING_INPUT, "the input is being checked")
        return _with_trouble(verdict, seen, CHECK)
    text = f"{checked.report.requests} requests in {checked.report.counts.get('total', 0)} lines"
    return Verdict(ConditionType.INPUT_VALID, True, Reason.INPUT_CHECKED, text)


def _with_trouble(verdict: Verdict, seen: BatchEvidence, step: str) -> Verdict:
    """The same, and what keeps a step from going on, where it does not only take its time.

    Refused pods give the reason, too: that may last.
    """
    if refused := _pods_refused(seen, step):
        return replace(verdict, reason=refused[0], message=f"{verdict.message}: {refused[1]}")
    pods = [one.pod for one in seen.pods if one.step == step and not one.ended]
    said = seen.last_try(step)
    if finding := diagnosis.workload(None, pods):
        return replace(verdict, message=f"{verdict.message}: {finding[1]}")
    return replace(verdict, message=f"{verdict.message}, again: {said}") if said else verdict


def _pods_refused(seen: BatchEvidence, step: str) -> Finding | None:
    """Why the API server refuses the pods of a step; None where it does not."""
    said = seen.refused_pods.get(step)
    return refusals.pods(said, None) if said else None


def _fits(account: BatchAccount) -> Verdict:
    """Whether the model fits the GPUs. What was known when it was looked at last stands."""
    known = find(account.evidence.before, ConditionType.FITS)
    if known and account.assessment.pending:
        value = {"True": True, "False": False}.get(known["status"])
        return Verdict(ConditionType.FITS, value, known["reason"], known["message"])
    return fits(Account(account.evidence.engine, account.assessment))


def _running(account: BatchAccount) -> Verdict:
    """Whether pods answer requests; if not, why."""
    if why := account.error or _no_pods(account):
        return Verdict(ConditionType.RUNNING, False, *why)
    pods, total = account.evidence.engine.pods, account.evidence.batch.pods
    live = [pod for pod in pods if not pod.failed]
    if answering := sum(pod.ready for pod in pods):
        text = f"{answering} of {total} pods answer requests"
        return Verdict(ConditionType.RUNNING, True, Reason.ANSWERING, text)
    ended = [pod for pod in pods if pod.failed]
    trouble = diagnosis.workload(None, live) or _pods_refused(account.evidence, RUN) or diagnosis.workload(None, ended)
    if finding := trouble:
        return Verdict(ConditionType.RUNNING, False, *finding)
    before = f"; before that, {said}" if (said := account.evidence.last_try(RUN)) else ""
    text = f"0 of {total} pods answer: {diagnosis.progress(live)}{before}"
    return Verdict(ConditionType.RUNNING, False, Reason.STARTING, text)


def _no_pods(account: BatchAccount) -> Finding | None:
    """Why there are no pods; None where there are some, or are to be."""
    seen, plan = account.evidence, account.plan
    run = seen.jobs.get(RUN)
    if plan.complete or plan.failed or MERGE in seen.jobs or (run and (run.complete or run.failed)):
        return Reason.RUN_ENDED, "the pods have ended"
    if seen.batch.spec.suspend:
        return Reason.SUSPENDED, "no pods, as spec.suspend asks; what was answered is kept, and suspend: false goes on"
    if plan.withheld or seen.crowded:
        why = seen.crowded[1] if seen.crowded else account.assessment.message
        return Reason.WITHHELD, f"no pods are made: {why}"
    if run is None:
        return Reason.CHECKING_INPUT, "no pods yet: the input is checked and the plan is made first"
    if run.suspended:
        text = f"Job {run.name} is suspended, as Kueue does until its queue has room"
        return Reason.QUEUED, f"{text}: {seen.queue}" if seen.queue else text
    return None


def _complete(account: BatchAccount) -> Verdict:
    seen = account.evidence
    if account.plan.complete:
        counts = _counts(account)
        text = f"{counts.done} answered, {counts.failed} in the error file"
        return Verdict(ConditionType.COMPLETE, True, Reason.MERGED, text)
    if account.plan.unmerged:
        return Verdict(ConditionType.COMPLETE, False, Reason.MERGE_FAILED, account.plan.unmerged)
    if MERGE in seen.jobs or MERGE in account.plan.make:
        text = "the output is being made of what was answered"
        return _with_trouble(Verdict(ConditionType.COMPLETE, False, Reason.MERGING, text), seen, MERGE)
    return Verdict(ConditionType.COMPLETE, False, Reason.UNFINISHED, "not all requests are answered yet")

"""What is to be done next for a batch, from all that is known of it: which Jobs are made, which go. Pure.

Each step begins when the one before it is known to have ended, whatever was remembered: check and inspect, then run,
then merge. A batch that has ended stays ended.
"""

from dataclasses import dataclass

from .. import diagnosis
from ..api.conditions import ConditionType
from ..api.reasons import Finding, Reason
from ..assess.fits import Assessment, keeps_from_running
from ..manifests.batch import INSPECT, STEPS
from ..snapshots.batch import JobSnapshot
from ..vllm.batch import CHECK, MERGE, RUN
from .evidence import LASTING, BatchEvidence

# Between two Jobs that make the output, where the first one could not: each has tries of its own.
MERGE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now."""

    make: tuple[str, ...] = ()
    """Steps whose Jobs are made."""
    delete: tuple[str, ...] = ()
    """Steps whose Jobs go, with their pods."""
    complete: bool = False
    """Whether the output is whole."""
    failed: Finding | None = None
    """Why the batch has ended before that."""
    unmerged: str = ""
    """Why the output cannot be made for now."""
    withheld: bool = False
    """Whether its pods are not made, as they would not fit."""
    cause: Finding | None = None
    """Why no more requests are answered, which the Job that makes the output keeps."""


def plan(evidence: BatchEvidence, assessment: Assessment, *, inspects: bool) -> Plan:
    """What comes next. `inspects`: whether the operator knows the image that inspects models."""
    if evidence.finished:
        return _after(evidence)
    if evidence.expired and not evidence.began:
        return Plan(delete=_there(evidence, *STEPS), failed=(Reason.EXPIRED, "it expired before any pod had started"))
    if evidence.spec_error:
        ends = evidence.expired or evidence.batch.spec.suspend
        return Plan(delete=_there(evidence, INSPECT, CHECK, RUN) if ends else ())
    cause = _cause(evidence)
    if cause or evidence.answered or MERGE in evidence.jobs:
        return _merge(evidence, cause)
    if evidence.batch.spec.suspend:
        return Plan(delete=_there(evidence, INSPECT, CHECK, RUN))
    return _begin(evidence, assessment, inspects=inspects)


def _cause(evidence: BatchEvidence) -> Finding | None:
    """Why no more requests are answered, though not all are: as it was when the output was begun."""
    merge = evidence.jobs.get(MERGE)
    if merge and merge.cause:
        return merge.cause
    if evidence.expired:
        return Reason.EXPIRED, f"expireAfterSeconds ({evidence.batch.spec.expire_after_seconds}) ended it"
    run = evidence.jobs.get(RUN)
    if run and run.failed:
        ended = diagnosis.workload(None, evidence.engine.pods)
        # What other pods ended of before may have passed.
        found = evidence.given_up(RUN) or (ended[1] if ended else evidence.last_try(RUN))
        words = found or run.message or "see their logs"
        return Reason.RUN_FAILED, f"its pods failed too often: {words}"
    return None


def _begin(evidence: BatchEvidence, assessment: Assessment, *, inspects: bool) -> Plan:
    if wrong := _wrong_input(evidence):
        return Plan(failed=wrong)
    if RUN in evidence.jobs:
        return Plan(delete=_there(evidence, INSPECT))
    if evidence.lost:
        return Plan(delete=(evidence.lost,))
    checked = evidence.checked.report is not None
    make = [] if checked or CHECK in evidence.jobs else [CHECK]
    if assessment.pending:
        make += [INSPECT] if inspects and INSPECT not in evidence.jobs else []
    elif keeps_from_running(evidence.engine.service.spec, assessment):
        return Plan(tuple(make), withheld=True)
    elif checked and not evidence.crowded:
        make.append(RUN)
    return Plan(tuple(make))


def _wrong_input(evidence: BatchEvidence) -> Finding | None:
    checked = evidence.checked
    if checked.invalid:
        return Reason.INPUT_INVALID, invalid(evidence)
    if checked.why:
        return Reason.INPUT_UNREADABLE, f"the input could not be read: {checked.why}"
    return None


def _merge(evidence: BatchEvidence, cause: Finding | None) -> Plan:
    """The output is made of what was answered, also where that is not all."""
    expired = cause is not None and cause[0] is Reason.EXPIRED
    delete = _there(evidence, INSPECT, CHECK, *((RUN,) if expired else ()))
    job = evidence.jobs.get(MERGE)
    if job is None:
        # The log of a pod that failed may tell more of the cause, which is kept as it is then.
        waits = evidence.reads and cause is not None and cause[0] is Reason.RUN_FAILED
        return Plan(() if waits else (MERGE,), delete, cause=cause)
    if job.failed:
        return _unmerged(evidence, job, delete)
    if evidence.lost:
        return Plan(delete=(*delete, evidence.lost))
    if evidence.merged is None:
        return Plan(delete=delete)
    return _ended(evidence, cause, delete)


def _unmerged(evidence: BatchEvidence, job: JobSnapshot, delete: tuple[str, ...]) -> Plan:
    """The output is made anew after a while, unless another try would find the same, or the batch's time is over."""
    said = evidence.ended(MERGE)
    words = (said.message if said else "").strip() or job.message or "see the log of its pod"
    text = f"the output could not be made: {words[-400:]}"
    if (said and said.exit_code in LASTING) or evidence.overdue:
        return Plan(delete=delete, failed=(Reason.MERGE_FAILED, text))
    rests = bool(job.failed_at) and evidence.left(job.failed_at, MERGE_SECONDS) > 0
    return Plan(delete=delete if rests else (*delete, *_there(evidence, MERGE)), unmerged=text)


def _ended(evidence: BatchEvidence, cause: Finding | None, delete: tuple[str, ...]) -> Plan:
    """What is in the output decides: all may have been answered in time, or not all by pods that all have ended."""
    left = evidence.unanswered
    if left == 0 or (left is None and cause is None):
        return Plan(delete=delete, complete=True)
    return Plan(delete=delete, failed=cause or (Reason.RUN_FAILED, f"its pods ended with {left} requests unanswered"))


def _after(evidence: BatchEvidence) -> Plan:
    """A batch that is complete keeps no Job; of one that failed those stay whose logs tell why, and none that runs."""
    if evidence.finished is ConditionType.COMPLETE:
        return Plan(delete=_there(evidence, *STEPS))
    running = [step for step, job in evidence.jobs.items() if not (job.complete or job.failed)]
    return Plan(delete=_there(evidence, *running))


def _there(evidence: BatchEvidence, *steps: str) -> tuple[str, ...]:
    return tuple(step for step in steps if step in evidence.jobs and not evidence.jobs[step].terminating)


def invalid(evidence: BatchEvidence) -> str:
    """What is wrong with the input, for people."""
    report = evidence.checked.report
    if report is None:
        return evidence.checked.why
    counts = report.counts
    names = {"invalid": "invalid", "duplicates": "with a custom_id that was there", "tooLong": "too long"}
    wrong = [f"{counts[name]} {words}" for name, words in names.items() if counts.get(name)]
    if not wrong:
        return "there is no request in the input"
    first = f" (first: {'; '.join(report.first)})" if report.first else ""
    return f"of {counts.get('total', 0)} lines {', '.join(wrong)}{first}"

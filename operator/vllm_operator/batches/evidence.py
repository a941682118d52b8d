"""All that is known of a batch when it is decided on, as one frozen value, and what its pods have left. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..api import limits
from ..api.batch import InferenceBatch
from ..api.conditions import ConditionType, find, holds
from ..api.reasons import Finding
from ..api.serving_class import ServingClass
from ..snapshots.batch import BatchPod, JobSnapshot
from ..status.evidence import Evidence
from ..vllm.batch import CHECK, MERGE, RUN
from ..vllm.batch.faults import BAD_INPUT, BAD_OUTPUT, OURS

MOST_REQUESTS = 1 << 40
MOST_TOKENS = 1 << 53
LASTING = (BAD_INPUT, BAD_OUTPUT)
"""Exit statuses of our programs after which another try would find the same."""
_COUNTS = ("total", "valid", "invalid", "duplicates", "tooLong", "files")
# Of an invalid line, for people.
_MOST_WHY, _MOST_LINES = 160, 3


class Progress(NamedTuple):
    """How far pods are: of one, or of all together."""

    done: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: "Progress") -> "Progress":
        """Both together."""
        return Progress(*(one + another for one, another in zip(self, other, strict=True)))


class Pace(NamedTuple):
    """How fast a batch gets on now."""

    tokens: float
    """Of prompts and answers, in a second."""
    requests: float
    """In a second."""


class Report(NamedTuple):
    """What the check of an input found."""

    counts: Mapping[str, int]
    """By the names that status.input has."""
    first: tuple[str, ...] = ()
    """The first lines that are wrong, for people."""

    @property
    def requests(self) -> int:
        """Requests that there are to answer."""
        return self.counts.get("valid", 0)


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of the input; nothing as long as the check is at it."""

    report: Report | None = None
    invalid: bool = False
    """Whether it is so wrong that nothing is answered."""
    why: str = ""
    """What the check ended with, where it failed."""


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """What the watches and the readers have shown."""

    batch: InferenceBatch
    engine: Evidence
    """Of a service of the same engine: its effective spec, the pods that answer, and what is known of the model."""
    now: datetime
    before: Mapping[str, Any] = field(default_factory=dict)
    """The status as it stands."""
    created: str = ""
    spec_error: Finding | None = None
    """Why the operator cannot act on the spec."""
    refused: Finding | None = None
    """Why it could not begin any more; what it has begun it goes on with, as that was made."""
    own: ServingClass | None = None
    """Its class."""
    crowded: Finding | None = None
    """Why its class has no room for its pods in the namespace; they are made when there is."""
    jobs: Mapping[str, JobSnapshot] = field(default_factory=dict)
    """The Jobs of this very batch, by step."""
    pods: Sequence[BatchPod] = ()
    """The pods of these Jobs."""
    progress: Progress = field(default_factory=Progress)
    """Of all pods that answer, or have."""
    pace: Pace | None = None
    queue: str = ""
    """What Kueue says of why it holds the batch."""
    refused_pods: Mapping[str, str] = field(default_factory=dict)
    """What the API server says as it refuses the pods of a step, where that has none."""
    reads: bool = False
    """Whether something is being read that is worth waiting for."""

    @property
    def finished(self) -> ConditionType | None:
        """Which end the batch has had, if any: nothing is done for it any more."""
        return end_of(self.before)

    def stood(self, kind: ConditionType) -> str | None:
        """The status of a condition, as it stands."""
        status: str | None = find(self.before, kind).get("status")
        return status

    @property
    def began(self) -> bool:
        """Whether pods may have answered something."""
        return RUN in self.jobs or "startedAt" in self.before

    @property
    def has_pods(self) -> bool:
        """Whether the Job whose pods answer is there, or what comes after it."""
        return RUN in self.jobs or MERGE in self.jobs

    @property
    def answered(self) -> bool:
        """Whether the pods have answered all that there is."""
        return RUN in self.jobs and self.jobs[RUN].complete

    @property
    def expired(self) -> bool:
        """Whether expireAfterSeconds ends it."""
        return self.overdue and not self.answered

    @property
    def overdue(self) -> bool:
        """Whether its time is over, also where nothing is left to answer."""
        seconds = self.batch.spec.expire_after_seconds
        return bool(seconds and self.created) and self.left(self.created, seconds) <= 0

    def left(self, since: str, seconds: int | None) -> float:
        """Seconds that are left of so many since a time in RFC 3339."""
        return (datetime.fromisoformat(since) + timedelta(seconds=seconds or 0) - self.now).total_seconds()

    def ended(self, step: str) -> BatchPod | None:
        """The pod of a step that ended last."""
        return max((pod for pod in self.pods if pod.step == step and pod.ended), key=_created, default=None)

    def last_try(self, step: str) -> str:
        """What kept the last try of a step from its input and output, where another one is made; else nothing."""
        job, pod = self.jobs.get(step), self.ended(step)
        tries = job is not None and not job.complete
        return _words(pod.message) if tries and pod and pod.message.startswith(OURS) else ""

    def given_up(self, step: str) -> str:
        """Why a program of a step has ended the whole step, as another try would find the same; else nothing."""
        pods = (pod for pod in self.pods if pod.step == step and pod.ended and pod.exit_code in LASTING)
        return next((_words(pod.message) for pod in pods if pod.message.startswith(OURS)), "")

    @property
    def checked(self) -> Checked:
        """What is known of the input."""
        if self.stood(ConditionType.INPUT_VALID) == "True" and (known := self.before.get("input")):
            return Checked(Report(known))
        job, pod = self.jobs.get(CHECK), self.ended(CHECK)
        if job is None or pod is None or not (job.complete or job.failed):
            return Checked(why=_words(job.message) if job and job.failed else "")
        wrong = job.failed and pod.exit_code == BAD_INPUT
        try:
            report = report_in(pod.message)
        except ValueError:
            words = _words(pod.message) or f"exit status {pod.exit_code}"
            return Checked(invalid=wrong, why=words)
        return Checked(report, invalid=wrong or not report.requests, why=_words(pod.message) if job.failed else "")

    @property
    def merged(self) -> Progress | None:
        """What the output has; None as long as it is not made."""
        job, pod = self.jobs.get(MERGE), self.ended(MERGE)
        return progress_in(pod.message) if job and job.complete and pod else None

    @property
    def unanswered(self) -> int | None:
        """Requests that the output says nobody has answered; None where that is not known."""
        pod = self.ended(MERGE)
        return limits.whole(_said(pod.message).get("unanswered"), MOST_REQUESTS) if pod else None

    @property
    def lost(self) -> str | None:
        """A step whose Job is complete and whose pod is gone with what it said: it is to be done again."""
        steps = [step for step in (CHECK, MERGE) if step in self.jobs and self.jobs[step].complete]
        needed = {CHECK: self.checked.report is None, MERGE: True}
        return next((step for step in steps if needed[step] and self.ended(step) is None), None)


def end_of(status: Mapping[str, Any]) -> ConditionType | None:
    """Which end a status tells of, if any."""
    return next((kind for kind in (ConditionType.COMPLETE, ConditionType.FAILED) if holds(status, kind)), None)


def _created(pod: BatchPod) -> str:
    return pod.created


def _words(text: str) -> str:
    """The last line of what a container left."""
    lines = [line for line in text.splitlines() if line.strip()]
    return limits.text_of(lines[-1] if lines else "", limits.ERROR_CHARACTERS // 2)


def report_in(message: str) -> Report:
    """What a check left. Raises ValueError for what is none."""
    said = limits.parsed(message, "what the check left", limits.MESSAGE_BYTES)
    if not isinstance(said, Mapping) or limits.whole(said.get("total"), MOST_REQUESTS) is None:
        raise ValueError("no report")
    counts = {name: value for name in _COUNTS if (value := limits.whole(said.get(name), MOST_REQUESTS)) is not None}
    return Report(counts, tuple(_lines(said.get("first"))))


def _lines(said: Any) -> Iterator[str]:
    for one in said[:_MOST_LINES] if isinstance(said, list) else ():
        entry = limits.mapping(one)
        line, why = limits.whole(entry.get("line"), MOST_REQUESTS), limits.text_of(entry.get("why"), _MOST_WHY)
        file = limits.text_of(entry.get("file"), limits.NAME_CHARACTERS // 2)
        if line is not None and why:
            yield f"{file}:{line}: {why}"


def progress_in(message: str) -> Progress:
    """What a pod says of how far it is; of what is no such thing, that nothing is done."""
    said = _said(message)
    counts = [limits.whole(said.get(name), MOST_REQUESTS) or 0 for name in ("done", "failed")]
    tokens = [limits.whole(said.get(name), MOST_TOKENS) or 0 for name in ("promptTokens", "outputTokens")]
    return Progress(*counts, *tokens)


def _said(message: str) -> Mapping[str, Any]:
    try:
        return limits.mapping(limits.parsed(message, "what the pod says", limits.MESSAGE_BYTES))
    except ValueError:
        return {}

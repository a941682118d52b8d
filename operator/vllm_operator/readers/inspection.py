"""What is known of one service's model: from what is kept of it, or from what the inspect Job's pod left."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from ..again import Again
from ..api import QUEUE_LABEL
from ..api.reasons import Finding, Reason
from ..api.resource import InferenceService
from ..api.storage import BUCKETS
from ..assess.fits import Inspection
from ..diagnosis import refusals
from ..diagnosis.redaction import redact, shorten
from ..diagnosis.scheduling import OF_QUEUE
from ..inspection.kept import checked, pack
from ..inspection.report import InspectionError, content_in
from ..manifests import Manifest, inspection_name, kept_model_name, model_claim
from ..manifests.names import INSPECTION_LABEL
from ..snapshots.child import Child, kept_models
from ..status.evidence import Evidence
from ..vllm.paths import model_image
from .queued import about_workload
from .reader import Clock
from .said import REFUSED, Events, Said
from .together import JOBLESS_SECONDS, Together

# The first pods wait this long for the Job; it never keeps a service from running.
PATIENCE_SECONDS = 120.0
CLAIM_RETRY_SECONDS = 30.0

ReadClaim = Callable[[str], Awaitable[Manifest | None]]


class InspectionReader:
    """Follows the inspections of one service. Losing it costs a request, never a result.

    `read_claim(name)` gets a claim; `together`: those with whom it shares a Job.
    """

    def __init__(self, read_claim: ReadClaim, events: Events, clock: Clock, together: Together) -> None:
        self._read_claim, self._clock, self._together = read_claim, clock, together
        self._known: Inspection | None = None
        self._kept = False
        # Of the pod that was read last: what it says costs time.
        self._message: str | None = None
        self._since: tuple[str, float] = ("", 0.0)
        self._claim_bound = False
        self._again: Again | None = None
        self._refused, self._held = Said(events, clock, REFUSED), Said(events, clock, *OF_QUEUE)

    async def read(self, evidence: Evidence) -> Evidence:
        """The inspection, from what is kept or from what the Job's pod left."""
        return replace(evidence, inspection=await self._look(evidence))

    def waits(self) -> Iterator[Again]:
        """The Job is waited for, or the claim."""
        if self._again:
            yield self._again

    async def _look(self, evidence: Evidence) -> Inspection:
        key, pod = evidence.service.inspected, evidence.inspection_pod
        self._again = None
        if packed := _kept(evidence):
            self._known, self._kept = Inspection(key, packed), True
            self._together.leave(evidence.service.key)
            return self._known
        # What was kept and is gone was deleted by hand: the model is to be inspected anew.
        anew = self._kept
        if self._kept or self._known is None or self._known.key != key:
            self._known, self._kept, self._message = _of_earlier_version(evidence, key), False, None
        if (self._known is None or self._known.error) and pod and pod.ended and self._message != pod.message:
            self._known, self._message = _decoded(key, pod.message), pod.message
        if self._known and self._known.packed:
            self._together.tell(evidence.service.key, self._known)
            return self._known
        if trouble := await self._trouble(evidence.service):
            self._together.leave(evidence.service.key)
            return Inspection(key, error=trouble)
        return self._ask(evidence, key, anew=anew)

    def _ask(self, evidence: Evidence, key: str, *, anew: bool) -> Inspection:
        """From the Job of this service, or of another one that asks the same."""
        service, job = evidence.service, _job(evidence)
        has_job = job is not None and job.owner_uid == service.uid
        heard = self._together.heard(service, has_job=has_job, anew=anew, created=evidence.created)
        if heard is None:
            now = self._known or self._wait(evidence, key)
            self._together.tell(service.key, now)
            return now
        if not heard.pending:
            self._known = heard
        now = self._known or self._wait(evidence, key)
        if now.pending:
            self._again = Again(JOBLESS_SECONDS + 1, "another service inspects the same model")
        return replace(now, elsewhere=True)

    async def _trouble(self, service: InferenceService) -> InspectionError | None:
        """Why there can be no Job. A Job would bind a claim that waits for its first consumer, on the wrong node."""
        if not self._together.possible:
            text = "the operator does not know its own image (settings: images.operator)"
            return InspectionError(Reason.NOT_INSPECTED, text)
        uri = service.spec.model.uri
        if uri.startswith(BUCKETS):
            text = f"{uri} is in a bucket, which only vLLM reads: nothing is planned, and vLLM says whether it fits"
            return InspectionError(Reason.NOT_INSPECTED, text)
        claim = model_claim(service)
        if claim is None or self._claim_bound:
            return None
        body = await self._read_claim(claim)
        self._claim_bound = bool(body) and (body or {}).get("status", {}).get("phase") == "Bound"
        if self._claim_bound:
            return None
        self._again = Again(CLAIM_RETRY_SECONDS, f"the claim {claim} is looked at again")
        if body:
            return InspectionError(Reason.VOLUME_NOT_BOUND, f"the claim {claim} is not bound yet")
        return InspectionError(Reason.CLAIM_MISSING, f"there is no claim {claim}: check model.uri")

    def _wait(self, evidence: Evidence, key: str) -> Inspection:
        now = self._clock()
        if self._since[0] != key:
            self._since = (key, now)
        if finding := _without_image(evidence):
            return Inspection(key, error=InspectionError(*finding))
        refused, held = self._said(evidence)
        left = self._since[1] + PATIENCE_SECONDS - now
        if left > 0 and (not refused or refusals.may_pass(refused)):
            due = min([left, *(wait.seconds for wait in self._refused.waits())])
            self._again = Again(due + 1, "the inspect Job has not ended")
            return Inspection(key, pending=True)
        text = f"the inspection has not ended within {PATIENCE_SECONDS:.0f} s{_why(evidence, held)}"
        if refused:
            text = f"the pod of the inspect Job is refused: {shorten(redact(refused))}"
        return Inspection(key, error=InspectionError(Reason.NOT_INSPECTED, text))

    def _said(self, evidence: Evidence) -> tuple[str, str]:
        """Why a Job has no pod: as the API server refuses it, and as a queue holds the Job."""
        job = None if evidence.inspection_pod else _job(evidence)
        pod = evidence.service.spec.pod
        queued = job and QUEUE_LABEL in ((pod.labels if pod else None) or {})
        refused = self._refused.look(f"involvedObject.uid={job.uid}" if job else "")
        return refused, self._held.look(about_workload("Job", job.name, job.uid) if job and queued else "")


def _job(evidence: Evidence) -> Child | None:
    return evidence.live.get(("Job", inspection_name(evidence.service)))


def _without_image(evidence: Evidence) -> Finding | None:
    """Why the node has not the model's image for the Job's pod, where that lasts."""
    pod, image = evidence.inspection_pod, model_image(evidence.service.spec.model)
    return refusals.inspected_image(image, pod) if pod and image else None


def _why(evidence: Evidence, held: str) -> str:
    if held:
        return f", as the inspect Job waits in its queue: {shorten(redact(held))}"
    pod, job = evidence.inspection_pod, _job(evidence)
    if pod and pod.waits:
        return f", as its pod waits: {shorten(redact(pod.waits))}"
    name = inspection_name(evidence.service)
    if refused := evidence.jobs.refused.get(name):
        return f", as the API server refuses the inspect Job: {shorten(redact(refused))}"
    if job is None:
        return f": see kubectl get jobs -l {INSPECTION_LABEL}={evidence.service.inspected}"
    more = "" if pod else ", which has no pod"
    return f": see kubectl describe job {job.name}{more}"


def _kept(evidence: Evidence) -> bytes | None:
    """What the watch shows that is kept of the model that the spec names."""
    name = kept_model_name(evidence.service)
    kept = kept_models(evidence.live, evidence.service.uid)
    return next((child.packed_model for child in kept if child.name == name), None)


def _of_earlier_version(evidence: Evidence, key: str) -> Inspection | None:
    """What the first versions of the operator kept in the status; it goes with the next write of the status."""
    model = evidence.before.get("model") or {}
    report = model.get("report") if model.get("inspected") == key else None
    return _decoded(key, report) if report else None


def _decoded(key: str, report: str) -> Inspection:
    try:
        return Inspection(key, pack(checked(content_in(report))))
    except InspectionError as error:
        return Inspection(key, error=error)

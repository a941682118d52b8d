"""What the watches keep of a batch's Jobs and of their pods. Pure: a watch event's body in, a snapshot out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from ..api import limits
from ..api.reasons import Finding, Reason
from ..api.resource import Body, Key
from ..manifests.batch import CAUSE_ANNOTATION, ENGINE_ANNOTATION, INSPECT
from ..manifests.names import (
    BATCH_LABEL,
    CLASS_LABEL,
    CONTAINER,
    INSPECTION_LABEL,
    INSPECTOR,
    STEP_LABEL,
)
from ..manifests.transfer import FETCH
from ..vllm.batch.faults import OURS, STOPPED
from .child import owner_uid
from .container import devices, ours
from .inspection_pod import InspectionPod
from .inspection_pod import snapshot as inspection_pod
from .pod import PodSnapshot, pod

INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
# How vLLM begins the lines of the engine's processes. Those of the runner begin with none.
_OF_ENGINE = re.compile(r"\([^()\n]{1,80} pid=\d{1,10}\)")


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """How far a Job of a batch is."""

    step: str
    name: str
    uid: str
    owner: str
    """The uid of the batch that it is of."""
    suspended: bool = False
    complete: bool = False
    failed: bool = False
    message: str = ""
    """Of a Job that failed: Kubernetes' own words."""
    failed_at: str = ""
    """In RFC 3339."""
    terminating: bool = False
    gpus: int = 0
    """Of all its pods together."""
    serving_class: str = ""
    """The ServingClass that its pods are made of; empty: of none."""
    cause: Finding | None = None
    """Of the Job that makes the output: why, where not all was answered."""
    engine: str = ""
    """What is kept of the spec of its pods' engine: see manifests/batch.py."""


@dataclass(frozen=True, slots=True)
class BatchPod:
    """A pod of a step, and what its container left when it ended, or the one that had to end before."""

    step: str
    owner: str
    """The uid of the Job that controls it."""
    index: int
    pod: PodSnapshot
    created: str = ""
    ended: bool = False
    exit_code: int = 0
    message: str = ""
    inspection: InspectionPod | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended and its own program has not told why: what is known of its end has to be looked at."""
        said = self.message.startswith(OURS) and self.exit_code != STOPPED
        return self.ended and bool(self.exit_code or self.pod.reason) and not said


def of_batch(body: Body) -> Key | None:
    """The batch that an object's labels name; None where they name none."""
    name = (body["metadata"].get("labels") or {}).get(BATCH_LABEL)
    return Key(body["metadata"]["namespace"], name) if name else None


def job(body: Body) -> JobSnapshot:
    """Snapshot of a Job of a batch."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    held = {entry["type"]: entry for entry in status.get("conditions") or () if entry.get("status") == "True"}
    return JobSnapshot(
        step=str((meta.get("labels") or {}).get(STEP_LABEL, "")),
        name=meta["name"],
        uid=str(meta["uid"]),
        owner=owner_uid(meta) or "",
        suspended=bool(spec.get("suspend")),
        complete="Complete" in held,
        failed="Failed" in held,
        message=str(held.get("Failed", {}).get("message") or ""),
        failed_at=str(held.get("Failed", {}).get("lastTransitionTime") or ""),
        terminating="deletionTimestamp" in meta,
        gpus=_gpus(spec),
        serving_class=intern(str((_of_pods(spec).get("labels") or {}).get(CLASS_LABEL, ""))),
        cause=_cause(meta),
        engine=_engine(spec),
    )


def _gpus(spec: Mapping[str, Any]) -> int:
    template = spec.get("template")
    return devices(template)[1] * int(spec.get("parallelism") or 0) if template else 0


def _of_pods(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of a Job's pods."""
    return (spec.get("template") or {}).get("metadata") or {}


def _engine(spec: Mapping[str, Any]) -> str:
    return str((_of_pods(spec).get("annotations") or {}).get(ENGINE_ANNOTATION, ""))


def _cause(meta: Mapping[str, Any]) -> Finding | None:
    kept = str((meta.get("annotations") or {}).get(CAUSE_ANNOTATION, ""))
    try:
        reason, text = limits.parsed(kept, "why the output is made", limits.MESSAGE_BYTES)
        return Reason.named(reason), limits.text_of(text, limits.ERROR_CHARACTERS)
    except (TypeError, ValueError):  # there is none, or somebody has written there
        return None


def _ended_before(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the container failed that brings what the runner reads; None where it has not."""
    states = [one.get("state") or {} for one in status.get("initContainerStatuses") or () if one.get("name") == FETCH]
    ends: list[Mapping[str, Any]] = [state["terminated"] for state in states if "terminated" in state]
    return next((one for one in ends if one.get("exitCode")), None)


def batch_pod(body: Body) -> BatchPod:
    """Snapshot of a pod of a batch."""
    meta, status = body["metadata"], body.get("status") or {}
    labels: Mapping[str, Any] = meta.get("labels") or {}
    step = str(labels.get(STEP_LABEL, ""))
    container = ours(status.get("containerStatuses") or (), INSPECTOR if step == INSPECT else CONTAINER)
    ended = (container.get("state") or {}).get("terminated") or _ended_before(status)
    index = (meta.get("annotations") or {}).get(INDEX_ANNOTATION, "")
    return BatchPod(
        step=step,
        owner=owner_uid(meta) or "",
        index=int(index) if str(index).isdecimal() and len(index) < 6 else 0,
        pod=_explained(pod(body), status),
        created=str(meta.get("creationTimestamp", "")),
        ended=ended is not None or status.get("phase") in ("Failed", "Succeeded"),
        exit_code=int((ended or {}).get("exitCode", 0)),
        message=str((ended or {}).get("message") or ""),
        inspection=inspection_pod(body, INSPECTION_LABEL),
    )


def _explained(known: PodSnapshot, status: Mapping[str, Any]) -> PodSnapshot:
    """Of a pod that failed, also who ended it, where Kubernetes did; and its log, as far as it tells why."""
    if status.get("phase") != "Failed":
        return known
    if known.ending:
        known = replace(known, ending=replace(known.ending, log=told(known.ending.log, served=known.ending.served)))
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    ended = next((one for one in conditions if one.get("type") == "DisruptionTarget"), None)
    if known.reason or ended is None or ended.get("status") != "True":
        return known
    reason, message = (str(ended.get(key) or "") for key in ("reason", "message"))
    return replace(known, reason=reason or "DisruptionTarget", message=message)


def told(log: str, *, served: bool) -> str:
    """A log without what may be of requests. `served`: the pod answered some, and the runner tells what vLLM said."""
    return "\n".join(line for line in limits.lines_of(log) if not served or _OF_ENGINE.match(line))

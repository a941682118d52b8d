"""Compact snapshots of what the API server shows. Memory is per object, and there may be ten thousand services.

Pure: a watch event's body in, a snapshot out.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .manifests.metadata import INSTANCE_LABEL, REVISION_LABEL, Manifest

Body = Mapping[str, Any]
FIELD_MANAGER = "vllm-operator"


@dataclass(frozen=True, slots=True)
class ConditionSnapshot:
    """A condition of a Deployment."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DeploymentSnapshot:
    """What the Deployment controller has made of a Deployment."""

    generation: int
    observed_generation: int
    replicas: int
    wanted: int
    conditions: tuple[ConditionSnapshot, ...]


@dataclass(frozen=True, slots=True)
class Child:
    """A child as it stands. `owned_fields` changes exactly when somebody else edits a field that we applied."""

    kind: str
    name: str
    owner_uid: str | None
    resource_version: int
    owned_fields: str
    revision: str | None = None
    revision_number: int = 0
    packed_template: bytes | None = None
    deployment: DeploymentSnapshot | None = None
    owns_replicas: bool = False

    @property
    def template(self) -> Manifest:
        """The pod template that a ControllerRevision keeps."""
        if self.packed_template is None:
            raise ValueError(f"{self.kind} {self.name} keeps no pod template")
        return dict(json.loads(zlib.decompress(self.packed_template)))


@dataclass(frozen=True, slots=True)
class PodSnapshot:
    """A pod: whether it serves, and otherwise what is known of why."""

    name: str
    revision: str
    ip: str | None
    ready: bool
    terminating: bool
    scheduled: bool
    restarts: int
    started: bool
    reason: str = ""
    message: str = ""
    image: str = ""
    # The last lines of a container that ended, as long as the pod does not serve.
    log: str = ""


def owned_fields(metadata: Body) -> str:
    """Digest of the fields that our last apply owns. An edit by somebody else takes fields away from us.

    See https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
    """
    fields = _applied_fields(metadata)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16] if fields else ""


def _applied_fields(metadata: Body) -> Body:
    for entry in metadata.get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return dict(entry.get("fieldsV1") or {})
    return {}


def owner_uid(metadata: Body) -> str | None:
    """The uid of the controlling owner."""
    return next((str(ref["uid"]) for ref in metadata.get("ownerReferences") or () if ref.get("controller")), None)


def child(body: Body) -> Child:
    """Snapshot of one of the children."""
    metadata = body["metadata"]
    kind = body["kind"]
    revision = kind == "ControllerRevision"
    return Child(
        kind=kind,
        name=metadata["name"],
        owner_uid=owner_uid(metadata),
        resource_version=int(metadata["resourceVersion"]),
        owned_fields=owned_fields(metadata),
        revision=metadata.get("labels", {}).get(REVISION_LABEL) if revision else None,
        revision_number=int(body.get("revision", 0)) if revision else 0,
        packed_template=zlib.compress(json.dumps(body["data"]["template"]).encode()) if revision else None,
        deployment=_deployment(body) if kind == "Deployment" else None,
        owns_replicas="f:replicas" in _applied_fields(metadata).get("f:spec", {}),
    )


def _deployment(body: Body) -> DeploymentSnapshot:
    status = body.get("status") or {}
    return DeploymentSnapshot(
        generation=int(body["metadata"].get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        replicas=int(status.get("replicas", 0)),
        wanted=int(body["spec"].get("replicas", 1)),
        conditions=tuple(
            ConditionSnapshot(entry["type"], entry["status"], entry.get("reason", ""), entry.get("message", ""))
            for entry in status.get("conditions") or ()
        ),
    )


def pod(body: Body) -> PodSnapshot:
    """Snapshot of one of the pods."""
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    container: Body = (status.get("containerStatuses") or ({},))[0]
    reason, message = _trouble(status, scheduled, container)
    ended = _ended(container)
    return PodSnapshot(
        name=metadata["name"],
        revision=metadata.get("labels", {}).get(REVISION_LABEL, ""),
        ip=status.get("podIP"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        terminating="deletionTimestamp" in metadata,
        scheduled=scheduled.get("status") == "True",
        restarts=int(container.get("restartCount", 0)),
        started="running" in container.get("state", {}),
        reason=reason,
        message=message,
        image=body["spec"]["containers"][0]["image"],
        log=(ended.get("message") or "") if ended else "",
    )


def _trouble(status: Body, scheduled: Body, container: Body) -> tuple[str, str]:
    """Kubernetes' own word and sentence for why the pod does not run, newest evidence first; empty where it runs."""
    if scheduled.get("status") == "False":
        return scheduled.get("reason", "Unschedulable"), scheduled.get("message", "")
    ended = _ended(container)
    waiting = container.get("state", {}).get("waiting", {})
    if waiting.get("reason") and waiting["reason"] not in ("ContainerCreating", "PodInitializing", "CrashLoopBackOff"):
        return waiting["reason"], waiting.get("message", "")
    if ended:
        return ended.get("reason") or "Error", f"exit code {ended.get('exitCode')}"
    return status.get("reason", ""), status.get("message", "")


def _ended(container: Body) -> Body | None:
    """How the container ended last, unless another one serves by now."""
    ended: Body | None = container.get("state", {}).get("terminated") or container.get("lastState", {}).get(
        "terminated"
    )
    return None if container.get("ready") else ended


def instance(body: Body) -> tuple[str, str]:
    """(namespace, name) of the service that a child or a pod belongs to."""
    metadata = body["metadata"]
    return metadata["namespace"], metadata.get("labels", {}).get(INSTANCE_LABEL, "")

"""Compact snapshots of what the API server shows. Memory is per object, and there may be ten thousand services.

Pure: a watch event's body in, a snapshot out.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from .manifests import AUTOSCALERS
from .manifests.metadata import INSTANCE_LABEL, REVISION_LABEL, Manifest
from .manifests.pod import CONTAINER
from .pod_events import PodEvent

Body = Mapping[str, Any]
FIELD_MANAGER = "vllm-operator"


@dataclass(frozen=True, slots=True)
class ConditionSnapshot:
    """A condition of a Deployment or an autoscaler."""

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

    @property
    def rolled_out(self) -> bool:
        """Whether the newest pod template has once had all its pods."""
        progressing = [entry.reason for entry in self.conditions if entry.type == "Progressing"]
        return self.generation == self.observed_generation and progressing == ["NewReplicaSetAvailable"]


@dataclass(frozen=True, slots=True)
class AutoscalerSnapshot:
    """What a HorizontalPodAutoscaler, or KEDA's ScaledObject, says of itself."""

    conditions: tuple[ConditionSnapshot, ...]

    def condition(self, kind: str) -> ConditionSnapshot | None:
        """The condition of a type; None while there is none."""
        return next((entry for entry in self.conditions if entry.type == kind), None)


@dataclass(frozen=True, slots=True)
class Child:
    """A child as it stands. `owned_fields` changes exactly when somebody else edits a field that we applied."""

    kind: str
    name: str
    owner_uid: str | None
    resource_version: int
    owned_fields: str
    # Of a ControllerRevision and a Deployment: the rendering that it keeps, or that its pods are of.
    revision: str | None = None
    revision_number: int = 0
    packed_template: bytes | None = None
    deployment: DeploymentSnapshot | None = None
    owns_replicas: bool = False
    autoscaler: AutoscalerSnapshot | None = None

    @property
    def template(self) -> Manifest:
        """The pod template that a ControllerRevision keeps."""
        if self.packed_template is None:
            raise ValueError(f"{self.kind} {self.name} keeps no pod template")
        return dict(json.loads(zlib.decompress(self.packed_template)))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended. `log` is what Kubernetes keeps of its last lines, at most 4 KiB."""

    reason: str
    exit_code: int
    seconds: int
    # Whether the pod was ready while this container ran.
    served: bool
    log: str = ""
    # Whether another container has been made in its place.
    replaced: bool = False
    # When it started, in RFC 3339.
    started: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pod asks of the cluster: for the explanation of why it has no node, or lost it.

    Of a pod that serves only the devices are kept, which others may wait for.
    """

    resource: str = ""
    count: int = 0
    selector: str = ""
    memory_limit: str = ""
    startup_seconds: int = 0
    # What the kubelet needs before it starts the container: the volume's name, and what it is, as "Secret name".
    mounts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PodSnapshot:
    """A pod: whether it serves, and otherwise what is known of why. What explains is kept only while it does not."""

    name: str
    revision: str
    ip: str | None
    ready: bool
    terminating: bool
    scheduled: bool
    restarts: int
    started: bool
    # Kubernetes' own word and sentence for what the pod waits for or was refused, empty where it only needs time.
    reason: str = ""
    message: str = ""
    image: str = ""
    node: str = ""
    # The node has ended the whole pod, or never took it; the ReplicaSet has made another.
    failed: bool = False
    was_ready: bool = False
    # From the pod's start until it was ready; 0 while it is not, and after its container was restarted.
    startup_seconds: int = 0
    # Whether the sandbox is there: volumes are mounted and the network is set up.
    sandboxed: bool = True
    # Whether the container that runs was ready, and is not any more.
    silent: bool = False
    # Read on demand (engine.py): whether requests wait there and the engine makes no step.
    hangs: bool = False
    ending: Ending | None = None
    asked: Asked = Asked()
    uid: str = ""
    # Read on demand (events.py), oldest first.
    events: tuple[PodEvent, ...] = ()


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
    rendered = body["spec"]["template"]["metadata"] if kind == "Deployment" else metadata
    return Child(
        kind=kind,
        name=metadata["name"],
        owner_uid=owner_uid(metadata),
        resource_version=int(metadata["resourceVersion"]),
        owned_fields=owned_fields(metadata),
        revision=(rendered.get("labels") or {}).get(REVISION_LABEL),
        revision_number=int(body.get("revision", 0)) if revision else 0,
        packed_template=zlib.compress(json.dumps(body["data"]["template"]).encode()) if revision else None,
        deployment=_deployment(body) if kind == "Deployment" else None,
        owns_replicas="f:replicas" in _applied_fields(metadata).get("f:spec", {}),
        autoscaler=AutoscalerSnapshot(_conditions(body.get("status") or {})) if kind in AUTOSCALERS else None,
    )


def _conditions(status: Body) -> tuple[ConditionSnapshot, ...]:
    return tuple(
        ConditionSnapshot(entry["type"], entry["status"], entry.get("reason", ""), entry.get("message", ""))
        for entry in status.get("conditions") or ()
    )


def _deployment(body: Body) -> DeploymentSnapshot:
    status = body.get("status") or {}
    return DeploymentSnapshot(
        generation=int(body["metadata"].get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        replicas=int(status.get("replicas", 0)),
        wanted=int(body["spec"].get("replicas", 1)),
        conditions=_conditions(status),
    )


def pod(body: Body) -> PodSnapshot:
    """Snapshot of one of the pods."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    container = _ours(status.get("containerStatuses") or ())
    readiness = conditions.get("Ready", {})
    ready = readiness.get("status") == "True"
    running = container.get("state", {}).get("running")
    reason, message = ("", "") if ready else _trouble(status, conditions.get("PodScheduled", {}), container)
    return PodSnapshot(
        name=metadata["name"],
        revision=metadata.get("labels", {}).get(REVISION_LABEL, ""),
        ip=status.get("podIP"),
        ready=ready,
        terminating="deletionTimestamp" in metadata,
        scheduled=conditions.get("PodScheduled", {}).get("status") == "True",
        restarts=int(container.get("restartCount", 0)),
        started=running is not None,
        reason=reason,
        message=message,
        image=_ours(spec["containers"]).get("image", ""),
        node=spec.get("nodeName", ""),
        failed=status.get("phase") == "Failed",
        startup_seconds=_startup(status, readiness, container) if ready else 0,
        was_ready=ready or _later(readiness.get("lastTransitionTime"), status.get("startTime")),
        sandboxed=conditions.get("PodReadyToStartContainers", {}).get("status") != "False",
        silent=not ready and bool(running) and _later(readiness.get("lastTransitionTime"), running.get("startedAt")),
        ending=None if ready else _ending(container, readiness),
        asked=_holds(*_devices(spec)) if ready else _asked(spec),
        uid=metadata.get("uid", ""),
    )


def _ours(containers: Iterable[Body]) -> Body:
    """vLLM's own container: a service mesh or a policy may have put others beside it."""
    return next((container for container in containers if container.get("name") == CONTAINER), {})


# A condition gets its time when the kubelet first reports the pod; vLLM needs longer than this to become ready.
_READY_AFTER_SECONDS = 5


def _seconds(start: str | None, end: str | None) -> int:
    """Seconds between two of Kubernetes' times; 0 where one of them is not known."""
    if not start or not end:
        return 0
    return int((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _startup(status: Body, readiness: Body, container: Body) -> int:
    if container.get("restartCount"):
        return 0
    return max(_seconds(status.get("startTime"), readiness.get("lastTransitionTime")), 1)


def _later(transition: str | None, start: str | None) -> bool:
    """Whether a readiness that is False now was ever True since `start`: its last change was not the first one."""
    return _seconds(start, transition) > _READY_AFTER_SECONDS


def _trouble(status: Body, scheduled: Body, container: Body) -> tuple[str, str]:
    if scheduled.get("status") == "False":
        return scheduled.get("reason", "Unschedulable"), scheduled.get("message", "")
    waiting = container.get("state", {}).get("waiting", {})
    if waiting.get("reason") and waiting["reason"] not in ("ContainerCreating", "PodInitializing", "CrashLoopBackOff"):
        return waiting["reason"], waiting.get("message", "")
    return status.get("reason", ""), status.get("message", "")


def _ending(container: Body, readiness: Body) -> Ending | None:
    """How the container ended last. It stays the newest evidence while the next one is being started."""
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if not ended:
        return None
    return Ending(
        reason=ended.get("reason") or "Error",
        exit_code=int(ended.get("exitCode", 0)),
        seconds=_seconds(ended.get("startedAt"), ended.get("finishedAt")),
        served=_later(readiness.get("lastTransitionTime"), ended.get("startedAt")),
        log=ended.get("message") or "",
        replaced="terminated" not in container.get("state", {}),
        started=ended.get("startedAt") or "",
    )


def _devices(spec: Body) -> tuple[str, int]:
    limits = _ours(spec["containers"]).get("resources", {}).get("limits") or {}
    return next(((name, int(count)) for name, count in limits.items() if "/" in name), ("", 0))


@lru_cache(maxsize=256)
def _holds(resource: str, count: int) -> Asked:
    """One object for all pods with the same devices."""
    return Asked(resource, count)


def _asked(spec: Body) -> Asked:
    container = _ours(spec["containers"])
    limits = container.get("resources", {}).get("limits") or {}
    resource, count = _devices(spec)
    probe = container.get("startupProbe") or {}
    return Asked(
        resource=resource,
        count=count,
        selector=", ".join(f"{key}={value}" for key, value in (spec.get("nodeSelector") or {}).items()),
        memory_limit=limits.get("memory", ""),
        startup_seconds=int(probe.get("failureThreshold", 0)) * int(probe.get("periodSeconds", 10)),
        mounts=tuple(_mounts(spec.get("volumes") or ())),
    )


def _mounts(volumes: Iterable[Body]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        if "configMap" in volume:
            yield volume["name"], f"ConfigMap {volume['configMap']['name']}"
        if "secret" in volume:
            yield volume["name"], f"Secret {volume['secret']['secretName']}"
        if "persistentVolumeClaim" in volume:
            yield volume["name"], f"PersistentVolumeClaim {volume['persistentVolumeClaim']['claimName']}"


def instance(body: Body) -> tuple[str, str]:
    """(namespace, name) of the service that a child or a pod belongs to."""
    metadata = body["metadata"]
    return metadata["namespace"], metadata.get("labels", {}).get(INSTANCE_LABEL, "")

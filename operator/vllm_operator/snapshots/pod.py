"""A pod of a service as the API server shows it. What explains its trouble is kept only while it does not serve.

Pure: a watch event's body in, a snapshot out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from sys import intern

from ..api.conditions import holds
from ..api.limits import MIB, count_of, cut_lines
from ..api.resource import Body
from ..inspection.cache import SizedCache
from ..manifests.names import (
    CLASS_LABEL,
    CONTAINER,
    GROUP_LABEL,
    MIDDLEWARE_ANNOTATION,
    QUEUED_GROUP_LABEL,
    RANK_LABEL,
    RAY_HEAD,
    RAY_NODE_LABEL,
    REVISION_LABEL,
    SERVICE_UID_LABEL,
    TOPOLOGY_ANNOTATION,
)
from ..manifests.privileges import Digests, digests
from .child import owner_uid
from .container import devices, ours
from .pod_event import PodEvent

# The kubelet counts from when it learns of the deletion.
_LATE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended. `log` is what Kubernetes keeps of its last lines, at most 2 KiB."""

    reason: str
    exit_code: int
    seconds: int
    # Whether the pod was ready while this container ran.
    served: bool
    log: str = ""
    # Whether another container has been made in its place.
    replaced: bool = False
    # When it started, in RFC 3339; of one that never did, when it ended.
    started: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """A container of the pod beside vLLM's that keeps the pod from serving: of a service mesh, say."""

    name: str
    image: str
    # Whether it has to end, or to be there, before vLLM is started.
    first: bool
    # Kubernetes' word and sentence for what it waits for; empty where that is time alone.
    reason: str = ""
    message: str = ""
    # How it ended last, and what it left; None where it did not.
    exit_code: int | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pod asks of the cluster: for the explanation of why it has no node, or lost it.

    Of a pod that serves only the devices are kept, which others may wait for.
    """

    # GPUs, or slices of them; empty where they are claimed, or where there are none.
    resource: str = ""
    count: int = 0
    selector: str = ""
    memory_limit: str = ""
    startup_seconds: int = 0
    # What the kubelet needs before it starts the container: the volume's name, and what it is, as "Secret name".
    mounts: tuple[tuple[str, str], ...] = ()
    # The label of nodes whose domains groups have to themselves.
    topology: str = ""
    # Kueue's Workload of the whole group.
    queued_as: str = ""


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
    # The node has ended the whole pod, or never took it: a record that stays. The ReplicaSet has made another.
    failed: bool = False
    was_ready: bool = False
    # From the pod's start until it was ready; 0 while it is not, and after its container was restarted.
    startup_seconds: int = 0
    # Whether the sandbox is there: volumes are mounted and the network is set up.
    sandboxed: bool = True
    # Whether the container that runs was ready, and is not any more.
    silent: bool = False
    # Whether nothing is heard of its node: the API server shows all as it was, but for the pod's readiness.
    lost: bool = False
    # Whether all containers are ready, and not the pod: for a readiness gate, which something else opens.
    gated: bool = False
    other: Other | None = None
    # Read on demand (readers/hangs.py): whether requests wait there and the engine makes no step.
    hangs: bool = False
    ending: Ending | None = None
    asked: Asked = Asked()
    uid: str = ""
    # The uid of its controlling owner: see owners.py.
    owner: str = ""
    # The label of its service's uid; empty for a pod of an earlier version of the operator.
    service_uid: str = ""
    # The ServingClass that it was made of; empty: of none.
    serving_class: str = ""
    # Of a group of pods, of which rank 0 alone has a server; no group: a replica of its own.
    group: str = ""
    rank: int = 0
    # The RayService that it is a worker of (ray.py); empty: of none.
    cluster: str = ""
    # What it was made of, where it has a server: see manifests/privileges.py.
    privileges: Digests = ()
    # When its node is to have ended it, in RFC 3339; empty while it is not being deleted.
    ends_by: str = ""
    # Read on demand (readers/events.py), oldest first.
    events: tuple[PodEvent, ...] = ()

    def finishes(self, now: datetime) -> bool:
        """Whether it still finishes its requests; no longer where its node does not see to it, and it just stays."""
        late = self.ends_by and now > datetime.fromisoformat(self.ends_by) + _LATE
        return self.terminating and not (self.failed or self.lost or late)


def is_ready(body: Body) -> bool:
    """Whether the API server shows a pod as ready."""
    return holds(body.get("status"), "Ready")


def has_server(body: Body) -> bool:
    """Whether a server runs in a pod: of a group of pods only in that of rank 0."""
    return _rank(body["metadata"].get("labels") or {}) == 0


def pod(body: Body) -> PodSnapshot:
    """Snapshot of one of the pods."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    container = ours(status.get("containerStatuses") or ())
    readiness, rank = conditions.get("Ready", {}), _rank(metadata.get("labels", {}))
    ready = readiness.get("status") == "True" and not _is_lost_rank(rank, container)
    starting, other = (container, None) if ready else (_starting(status, container), _other(status, container))
    answers = bool(container.get("ready")) and readiness.get("status") == "False"
    reason, message = ("", "") if ready else _trouble(status, conditions.get("PodScheduled", {}), starting)
    return PodSnapshot(
        name=metadata["name"],
        revision=metadata.get("labels", {}).get(REVISION_LABEL, ""),
        ip=status.get("podIP"),
        ready=ready,
        terminating="deletionTimestamp" in metadata,
        scheduled=conditions.get("PodScheduled", {}).get("status") == "True",
        restarts=int(container.get("restartCount", 0)),
        started="running" in container.get("state", {}),
        reason=reason,
        message=message,
        image=starting.get("image", "") if starting is not container else ours(spec["containers"]).get("image", ""),
        node=spec.get("nodeName", ""),
        failed=status.get("phase") in ("Failed", "Succeeded"),
        startup_seconds=_startup(status, readiness, container) if ready else 0,
        was_ready=ready or _later(readiness.get("lastTransitionTime"), status.get("startTime")),
        sandboxed=conditions.get("PodReadyToStartContainers", {}).get("status") != "False",
        silent=_is_silent(container, readiness),
        lost=answers and not other and readiness.get("reason") != _GATED,
        gated=answers and not other and readiness.get("reason") == _GATED,
        other=other,
        ending=None if ready or answers else _ending(container, readiness),
        asked=_holds(*devices(body)) if ready else _asked(body),
        uid=metadata.get("uid", ""),
        owner=intern(owner_uid(metadata) or ""),
        service_uid=intern(metadata.get("labels", {}).get(SERVICE_UID_LABEL, "")),
        serving_class=intern(metadata.get("labels", {}).get(CLASS_LABEL, "")),
        group=intern(metadata.get("labels", {}).get(GROUP_LABEL, "")),
        rank=rank,
        privileges=() if rank else _privileges(body),
        ends_by=metadata.get("deletionTimestamp", ""),
    )


# Of the templates that pods were made of lately, by what made them. Losing one costs a tenth of a millisecond.
_PRIVILEGES: SizedCache[Digests] = SizedCache(8 * MIB)
_PRIVILEGES_BYTES = 1024


def _privileges(body: Body) -> Digests:
    """What the pod was made of: one value for all that the same ReplicaSet has made, or StatefulSet of one program."""
    metadata = body["metadata"]
    if not (owner := owner_uid(metadata)):
        return ()
    program = hash((metadata.get("annotations") or {}).get(MIDDLEWARE_ANNOTATION))
    key = (metadata.get("namespace"), owner, (metadata.get("labels") or {}).get(REVISION_LABEL), program)
    return _PRIVILEGES.get(key, lambda: (_digests(body), _PRIVILEGES_BYTES))


def _digests(body: Body) -> Digests:
    """Empty of a pod that is like none of ours: whoever may edit the namespace can make one."""
    try:
        return digests(body)
    except (KeyError, IndexError, TypeError, AttributeError):
        return ()


def _is_lost_rank(rank: int, container: Body) -> bool:
    """A rank without a server is ready as soon as it runs, and one that was started anew does not find the others."""
    return bool(rank and container.get("restartCount"))


def _rank(labels: Body) -> int:
    """Which pod of its group it is; above 0 it has no server. Of a Ray cluster, workers have one, and the head none."""
    return 1 if labels.get(RAY_NODE_LABEL) == RAY_HEAD else count_of(labels.get(RANK_LABEL, "0"))


_TIME_ALONE = (None, "ContainerCreating", "PodInitializing", "CrashLoopBackOff")


def _waits_for(container: Body) -> str | None:
    """Kubernetes' word for what keeps a container from being started, where that is not time alone."""
    reason: str | None = container.get("state", {}).get("waiting", {}).get("reason")
    return None if reason in _TIME_ALONE else reason


def _starting(status: Body, container: Body) -> Body:
    """The container that is looked at: ours, or one before it that does not start."""
    return next((one for one in status.get("initContainerStatuses") or () if _waits_for(one)), container)


# The kubelet's word for a pod whose containers are all ready.
_GATED = "ReadinessGatesNotReady"


def _is_silent(container: Body, readiness: Body) -> bool:
    """Whether our container runs, was ready, and is not any more: of a node that is lost it stays ready."""
    running = container.get("state", {}).get("running")
    if not running or container.get("ready") or readiness.get("status") == "True":
        return False
    return _later(readiness.get("lastTransitionTime"), running.get("startedAt"))


def _other(status: Body, container: Body) -> Other | None:
    """The first container beside ours that fails, or that is all that is missing."""
    found = (
        (one, first)
        for key, first in (("initContainerStatuses", True), ("containerStatuses", False))
        for one in status.get(key) or ()
        if one.get("name") != CONTAINER and not one.get("ready")
    )
    for one, first in found:
        states = one.get("state", {}), one.get("lastState", {})
        ended: Body = next((state["terminated"] for state in states if "terminated" in state), {})
        if _waits_for(one) or ended.get("exitCode") or container.get("ready"):
            return Other(
                name=one.get("name", ""),
                image=one.get("image", ""),
                first=first,
                reason=_waits_for(one) or "",
                message=one.get("state", {}).get("waiting", {}).get("message", "") if _waits_for(one) else "",
                exit_code=int(ended["exitCode"]) if ended else None,
                log=cut_lines(ended.get("message") or ""),
            )
    return None


# Of the end of a log, with FallbackToLogsOnError (MaxContainerTerminationMessageLogLength in pkg/kubelet/container).
_LOG_TAIL_BYTES = 2048


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
    if reason := _waits_for(container):
        return reason, container["state"]["waiting"].get("message", "")
    return status.get("reason", ""), status.get("message", "")


# What the kubelet shows of a container that the runtime did not get to start.
_NEVER = "1970-01-01T00:00:00Z"


def _ending(container: Body, readiness: Body) -> Ending | None:
    """How the container ended last. It stays the newest evidence while the next one is being started."""
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if not ended:
        return None
    started = ended.get("startedAt") or ""
    if started == _NEVER:
        started = ended.get("finishedAt") or ""
    served = _later(readiness.get("lastTransitionTime"), started)
    return Ending(
        reason=ended.get("reason") or "Error",
        exit_code=int(ended.get("exitCode", 0)),
        seconds=_seconds(started, ended.get("finishedAt")),
        served=served,
        log=_log(ended.get("message") or "", served=served),
        replaced="terminated" not in container.get("state", {}),
        started=started,
    )


def _log(message: str, *, served: bool) -> str:
    """What is kept of a log. The first line may be the rest of one: of what users sent, if they could send anything."""
    lines = cut_lines(message)
    cut = served and len(message.encode()) >= _LOG_TAIL_BYTES
    return lines.partition("\n")[2] if cut else lines


@lru_cache(maxsize=256)
def _holds(resource: str, count: int) -> Asked:
    """One object for all pods with the same devices."""
    return Asked(resource, count)


def _asked(body: Body) -> Asked:
    metadata, spec = body["metadata"], body["spec"]
    container = ours(spec["containers"])
    limits = container.get("resources", {}).get("limits") or {}
    resource, count = devices(body)
    probe = container.get("startupProbe") or {}
    return Asked(
        resource=resource,
        count=count,
        selector=", ".join(f"{key}={value}" for key, value in (spec.get("nodeSelector") or {}).items()),
        memory_limit=limits.get("memory", ""),
        startup_seconds=int(probe.get("failureThreshold", 0)) * int(probe.get("periodSeconds", 10)),
        mounts=tuple(_mounts(spec.get("volumes") or ())),
        topology=(metadata.get("annotations") or {}).get(TOPOLOGY_ANNOTATION, ""),
        queued_as=(metadata.get("labels") or {}).get(QUEUED_GROUP_LABEL, ""),
    )


def _mounts(volumes: Iterable[Body]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        if "configMap" in volume:
            yield volume["name"], f"ConfigMap {volume['configMap']['name']}"
        if "secret" in volume:
            yield volume["name"], f"Secret {volume['secret']['secretName']}"
        if "persistentVolumeClaim" in volume:
            yield volume["name"], f"PersistentVolumeClaim {volume['persistentVolumeClaim']['claimName']}"
        if "image" in volume:
            yield volume["name"], f"image {volume['image']['reference']}"

"""What the controllers of a service's workload say of it: Deployment, LeaderWorkerSet or RayService. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..api.limits import cut_lines
from ..api.resource import Body
from ..manifests.names import RAY_KIND

# Of a Serve application: its state, by Serve's words. Not a condition of KubeRay's.
APPLICATION = "Application"
# Whether all its deployments are well: those of before are, where what is new could not even be built.
DEPLOYMENTS = "Deployments"
# KubeRay's reason for a RayService that it makes nothing of.
REFUSED = "ValidationFailed"
_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")


@dataclass(frozen=True, slots=True)
class ConditionSnapshot:
    """A condition of a workload or an autoscaler."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DeploymentSnapshot:
    """What its controller has made of a workload: a Deployment or one of its other forms.

    Replicas of a LeaderWorkerSet are groups of pods; those of a RayService, workers.
    """

    generation: int
    observed_generation: int
    replicas: int
    wanted: int
    conditions: tuple[ConditionSnapshot, ...]
    kind: str = "Deployment"
    gpus: int = 0
    """GPUs of each replica, by the template that is in force."""
    serving_class: str = ""
    """The ServingClass of that template; empty: none."""
    bounds: tuple[int, int] | None = None
    """Of a RayService: the fewest and the most workers that it may have. Other bounds are another RayService."""

    @property
    def most_gpus(self) -> int:
        """GPUs of all pods that it asks for, or that Ray's autoscaler may ask for."""
        return self.most_replicas * self.gpus

    @property
    def most_replicas(self) -> int:
        """Replicas that it asks for, or that Ray's autoscaler may ask for."""
        return self.bounds[1] if self.bounds else self.wanted

    def serves(self, *, before: bool) -> bool:
        """Of a RayService: whether its application answers; `before`: whether it did so far.

        While Serve replaces or adds replicas, the others answer, or requests wait. KubeRay says that it is ready as
        soon as a new head has come, before any model is loaded.
        """
        held = {(entry.type, entry.status) for entry in self.conditions}
        states = {status for kind, status in held if kind == APPLICATION}
        stays = before and (states == {"Unknown"} or (DEPLOYMENTS, "True") in held)
        return ("Ready", "True") in held and (states == {"True"} or stays)

    @property
    def begins(self) -> bool:
        """Of a RayService: whether Serve brings its application up, or to what was changed."""
        return any((entry.type, entry.status) == (APPLICATION, "Unknown") for entry in self.conditions)

    @property
    def rolled_out(self) -> bool:
        """Whether the newest pod template has once had all its pods."""
        if self.generation != self.observed_generation:
            return False
        if self.kind != "Deployment":
            held = {entry.type for entry in self.conditions if entry.status == "True"}
            return bool({"Available", APPLICATION} & held) and "UpdateInProgress" not in held
        progressing = [entry.reason for entry in self.conditions if entry.type == "Progressing"]
        return progressing == ["NewReplicaSetAvailable"]


def conditions_in(status: Body) -> tuple[ConditionSnapshot, ...]:
    """The conditions of a status."""
    return tuple(
        ConditionSnapshot(entry["type"], entry["status"], entry.get("reason", ""), entry.get("message", ""))
        for entry in status.get("conditions") or ()
    )


def workload(body: Body) -> DeploymentSnapshot:
    """What became of a Deployment, a LeaderWorkerSet or a RayService."""
    status, kind = body.get("status") or {}, body["kind"]
    if kind == RAY_KIND:
        return _on_ray(body)
    generation = int(body["metadata"].get("generation", 0))
    return DeploymentSnapshot(
        generation=generation,
        # A LeaderWorkerSet does not say which one its status is about.
        observed_generation=int(status.get("observedGeneration", 0)) if kind == "Deployment" else generation,
        kind=kind,
        replicas=int(status.get("replicas", 0)),
        wanted=int(body["spec"].get("replicas", 1)),
        conditions=conditions_in(status),
    )


def _on_ray(body: Body) -> DeploymentSnapshot:
    """Wanted are the workers, each of which is a replica."""
    status, (group,) = body.get("status") or {}, body["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    active = status.get("activeServiceStatus") or status.get("pendingServiceStatus") or {}
    cluster = active.get("rayClusterStatus") or {}
    least, most = int(group.get("minReplicas") or 1), int(group.get("maxReplicas") or 1)
    workers = least if least == most else max(least, int(cluster.get("desiredWorkerReplicas") or 0))
    return DeploymentSnapshot(
        generation=int(body["metadata"].get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        kind=RAY_KIND,
        replicas=workers,
        wanted=workers,
        bounds=(least, most),
        conditions=(*conditions_in(status), *_applications(active.get("applicationStatuses") or {})),
    )


def _applications(found: Mapping[str, Any]) -> Iterator[ConditionSnapshot]:
    """Whether each Serve application runs; of one that failed, what Serve says of it and of its deployments."""
    for said in found.values():
        state = str(said.get("status") or "")
        deployments = (said.get("serveDeploymentStatuses") or {}).values()
        text = "\n".join(str(part.get("message") or "") for part in (said, *deployments)) if state in _FAILED else ""
        status = "True" if state == "RUNNING" else "False" if state in _FAILED else "Unknown"
        yield ConditionSnapshot(APPLICATION, status, state, cut_lines(text))
        well = bool(deployments) and all(part.get("status") == "HEALTHY" for part in deployments)
        yield ConditionSnapshot(DEPLOYMENTS, str(well), "", "")

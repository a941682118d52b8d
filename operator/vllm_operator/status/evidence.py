"""What a status is made of: what was gathered of a service, what was concluded, and what became of its children.

Each is whole from the line on where it exists, and never changed afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..api.spec import AUTO
from ..assess.device_classes import Claimed
from ..assess.download import Download
from ..assess.fits import NOT_ASSESSED, Assessment, Inspection
from ..assess.limits import Bounds, gpus_of_replica, most_gpus, most_replicas
from ..assess.resolution import Resolved, with_chosen
from ..assess.supply import Supply
from ..assess.terms import Terms, hold_back
from ..diagnosis import Autoscaler, Finding
from ..snapshots.child import Live, deployment_of, kept_of, revisions, workload_of
from ..snapshots.download_pod import DownloadPod
from ..snapshots.groups import leaders
from ..snapshots.inspection_pod import InspectionPod
from ..snapshots.pod import PodSnapshot
from ..snapshots.workload import DeploymentSnapshot

UNREAD = (Reason.INVALID, Reason.OPERATOR_FAILED)
"""Why a spec is not known, and another one stands in its place."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What vLLM reports of itself, read once from a pod that became ready."""

    version: str | None = None
    kv_cache_tokens: int | None = None
    max_model_len: int | None = None

    @classmethod
    def known(cls, status_of: Mapping[str, Any], generation: int) -> "Engine":
        """What a status of this very spec says. It stands until vLLM answers anew: a restart changes nothing."""
        if status_of.get("observedGeneration") != generation:
            return cls()
        figures = status_of.get("engine") or {}
        return cls(status_of.get("vllmVersion"), figures.get("kvCacheTokens"), figures.get("maxModelLen"))


@dataclass(frozen=True, slots=True)
class Jobs:
    """What becomes of a service's Jobs, on which none of its other children depends."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Why the API server refuses one, by name."""
    awaited: bool = False
    """Whether the spec's own pods are not made as the model is being downloaded."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a service when it is decided on, from the watches and from what was read on demand."""

    service: InferenceService
    before: Mapping[str, Any] = field(default_factory=dict)
    """The status as it stands."""
    created: str = ""
    """When the service was; empty where its spec was edited since."""
    spec_error: Finding | None = None
    live: Live = field(default_factory=dict)
    """The children."""
    pods: Sequence[PodSnapshot] = ()
    """Pods of the current rendering, one for each replica, and records of ended ones: of groups of pods their leaders.
    """
    workers: Sequence[PodSnapshot] = ()
    """The other pods of groups, of the current rendering."""
    fallen: PodSnapshot | None = None
    """The pod that brought a group of the current rendering down, until all serve."""
    old_pods: Sequence[PodSnapshot] = ()
    """Pods of earlier renderings, one for each replica; none that has ended, whose record may stay for good."""
    ending: Sequence[PodSnapshot] = ()
    """Pods of earlier renderings that are being deleted: while they finish their requests they hold what they mount."""
    taking: float = 0.0
    """Seconds for which what Ray Serve is said to do may still be of before the last edit."""
    served: frozenset[str] = frozenset()
    """The optional kinds that the cluster knows."""
    autoscaler: Autoscaler = field(default_factory=Autoscaler)
    start_replicas: int = 1
    """Pods that a Deployment would start with under an autoscaler."""
    startup_seconds: int | None = None
    """How long a pod takes to start, rounded up; None until one was seen."""
    inspection_pod: InspectionPod | None = None
    inspection: Inspection = field(default_factory=lambda: Inspection("", pending=True))
    """What is known of the model."""
    jobs: Jobs = field(default_factory=Jobs)
    """What became of its Jobs when the children were seen to last."""
    download_pod: DownloadPod | None = None
    """What became of the download into the cache."""
    download: Download | None = None
    """What is known of it; None where the model is not downloaded by a Job."""
    claimed: Claimed | None = None
    """What devices its DeviceClass has; None where it names none, or that could not be read."""
    supply: Supply | None = None
    """The GPUs that there are for the pods, where that is asked for and known."""
    resolved: Sequence[Resolved] = ()
    """The values of the service's spec that did not come from its user."""
    refusal: Finding | None = None
    """Why its ServingClass does not let it have (more) pods."""
    held_back: bool = False
    """Whether it has fewer pods than its spec asks for because of that."""
    drift: Finding | None = None
    """What has changed since its pods were rendered."""
    bounds: Bounds = field(default_factory=Bounds)
    """What bounds the GPUs that may be chosen for it."""
    spreads: bool = False
    """Whether the plan may choose over how many nodes each replica lies."""
    engine: Engine = field(default_factory=Engine)
    changed: Sequence[str] | None = ()
    """Secrets and ConfigMaps, as kind/name, that the pods have an old version of; None: not known yet."""
    missing: tuple[str, ...] = ()
    """What is not in the evidence though it should be, and why: a clause for each part that cannot be read."""

    def without(self, *parts: str) -> "Evidence":
        """The same, and that parts of it cannot be read."""
        return replace(self, missing=(*self.missing, *parts)) if parts else self

    def with_chosen(self, chosen: Sequence[Resolved]) -> "Evidence":
        """The same, with what the plan has chosen for the service."""
        spec, resolved = with_chosen(self.service.spec, self.resolved, chosen)
        return replace(self, service=replace(self.service, spec=spec), resolved=resolved)

    def held_to_deployed(self, *, refused: bool = False) -> "Evidence":
        """The same where the spec's own pods are not made: its number of replicas is one of what is deployed.

        `refused`: by the API server. Fewer are fewer. Of a spec that cannot be read there are as many as there were.
        """
        service, deployed = self.service, self.deployment
        if deployed and self.spec_error and self.spec_error[0] in UNREAD:
            as_is = service.spec.model_copy(update={"replicas": deployed.wanted})
            return replace(self, service=replace(service, spec=as_is))
        most = self._most_deployed(refused=refused or self.spec_error is not None)
        if most is None or most_replicas(service.spec) <= most:
            return self
        bounds = deployed.bounds if deployed and most else None
        held = hold_back(Terms(service.spec), most, bounds and (bounds[0], most))
        return replace(self, service=replace(service, spec=held.spec), start_replicas=min(self.start_replicas, most))

    def _most_deployed(self, *, refused: bool) -> int | None:
        """The most replicas of what is deployed; None: as many as the spec asks for.

        Of what is refused none are added. Else they may be as many as have the GPUs that the spec asks for, or may
        come to have: the limits of a class were asked of that.
        """
        spec, deployed = self.service.spec, self.deployment
        if self.never_ran:
            return 0
        if deployed is None:
            return self.before.get("wantedReplicas") if revisions(self.live, self.service.uid) else None
        if refused:
            return deployed.most_replicas
        gpus = self.bounds.gpus if spec.tensor_parallel_size == AUTO else most_gpus(spec)
        return max(deployed.most_replicas, gpus // deployed.gpus) if deployed.gpus and gpus is not None else None

    @property
    def never_ran(self) -> bool:
        """Whether the spec is rendered, its workload was made without pods, and no pod of the service ever served.

        One that was suspended has its model, and so has one whose autoscaler asks for none.
        """
        service, child = self.service, workload_of(self.live, self.service.name, self.service.uid)
        at_zero = child is None or (
            child.revision == service.revision
            and child.owns_replicas
            and child.deployment is not None
            and child.deployment.wanted == 0
        )
        return at_zero and self.startup_seconds is None and bool(kept_of(self.live, service.uid, service.revision))

    @property
    def ranks(self) -> list[PodSnapshot]:
        """All pods of the current rendering."""
        return [*self.pods, *self.workers]

    def with_ranks(self, pods: Sequence[PodSnapshot]) -> "Evidence":
        """The same, with more known of `ranks`."""
        return replace(self, pods=leaders(pods), workers=[pod for pod in pods if pod.rank])

    @property
    def replicas(self) -> int:
        """Replicas that there are, of all renderings: records of ended pods are none."""
        return sum(not pod.failed for pod in self.pods) + len(self.old_pods)

    @property
    def all_serve(self) -> bool:
        """Whether as many pods of the current rendering serve as the spec asks for: one where an autoscaler decides."""
        return sum(pod.ready for pod in self.pods) >= (self.service.wanted_replicas or 1)

    def all_serve_in(self, cluster: str) -> bool:
        """Whether all workers of a RayService serve: as many as the spec asks for, or as an autoscaler begins with.

        Those of one with another number of replicas are pods of the same rendering.
        """
        scaling = self.service.spec.autoscaling
        fewest = scaling.min_replicas if scaling else self.service.wanted_replicas
        return sum(pod.ready for pod in self.pods if pod.cluster == cluster) >= (fewest or 1)

    @property
    def deployment(self) -> DeploymentSnapshot | None:
        """What became of the workload of this very service."""
        return deployment_of(self.live, self.service.name, self.service.uid)

    @property
    def said(self) -> DeploymentSnapshot | None:
        """The same; None on Ray while what is said of it may be of an earlier spec, whose pods these were as well."""
        child = workload_of(self.live, self.service.name, self.service.uid)
        before = self.taking or child is None or child.revision != self.service.revision
        return None if self.service.spec.on_ray and before else self.deployment

    @property
    def replaces(self) -> bool:
        """Whether there were other renderings before the current one."""
        return len(revisions(self.live, self.service.uid)) > 1

    @property
    def monitoring(self) -> bool:
        """Whether the cluster knows ServiceMonitors."""
        return "ServiceMonitor" in self.served


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the children: what stands, and what is in the way of the spec's own pods."""

    image: str | None = None
    """Of the pod template that stands."""
    arguments: tuple[str, ...] = ()
    """Of vLLM, in the pod template that stands."""
    withheld: bool = False
    """Whether the spec's own pods are not made."""
    error: Finding | None = None
    """Why the children could not be brought to what the spec asks for."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Why the API server refuses what keeps nothing else from being made, but for Jobs: by kind."""
    jobs: Jobs = field(default_factory=Jobs)
    predecessor: bool = False
    """Whether the error is an object of a deleted service of the same name, which is soon gone."""

    @property
    def downloads(self) -> bool:
        """Whether the spec's own pods are not made as the model is being downloaded."""
        return self.jobs.awaited


@dataclass(frozen=True, slots=True)
class Account:
    """Evidence, what was concluded from it, and what was done: all that a status says, beside the time."""

    evidence: Evidence
    assessment: Assessment = NOT_ASSESSED
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def service(self) -> InferenceService:
        """The service whose status it is."""
        return self.evidence.service

    @property
    def gpus_of_replica(self) -> int:
        """GPUs of all pods of one replica, by the template that is in force."""
        seen, deployed = self.evidence, self.evidence.deployment
        stays = self.outcome.withheld or self.outcome.error or seen.spec_error
        return deployed.gpus if deployed and stays else gpus_of_replica(seen.service.spec)

"""The kinds of children, one row each: the one place that says what a kind of child is.

What goes by kind follows from the rows: which children a service has and in which order they are applied (`desired`),
watches, pruning, whose an object is (apply/), the operator's rights (resources.py, and from there the chart) and what
the tests go through. A new kind is a builder in a file of its own, and a row; tests/unit/manifests/test_kinds.py says
what is still missing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from ..api.resource import InferenceService
from .autoscaling import Scaling, horizontal_pod_autoscaler, scaled_object
from .availability import disruption_budget
from .claim import cache_claim
from .deployment import deployment
from .devices import claim_template
from .group import leader_worker_set, pods_of_replica
from .metadata import Manifest
from .monitoring import service_monitor
from .names import GROUP_API, GROUP_KIND, RAY_API, RAY_CLUSTER, RAY_KIND
from .network import NO_PEERS, Front, Peers, network_policy, selects_by_uid, service
from .ray import is_on_ray, ray_service


class Pruned(Enum):
    """When a child that is no longer desired is deleted."""

    FIRST = "before anything is applied"
    LAST = "after all else is applied"
    WITH_OLD_PODS = "after all else, once no pod of an earlier rendering is left: one that is made again needs it"
    BY_NUMBER = "when there are newer ones enough"
    WITH_ITS_FORM = "before its other form is made: both would hold GPUs, and there are none for both"
    NEVER = "while the service is there it is desired, so there is no right to delete it"


class Proof(Enum):
    """What shows that an object is this service's own child. Nothing else is ever changed or deleted."""

    OWNER = "its controlling owner is this very service, by uid"
    OWNER_OR_LABELS = "or it has no owner, so that it outlives its service, and our labels"


@dataclass(frozen=True, slots=True)
class Pods:
    """How a child comes to have pods: only what is controlled so, link by link, is a pod of it."""

    through: tuple[tuple[str, ...], ...] = ((),)
    """Of each way: the kinds that stand between the child and its pods, each the controlling owner of the next one."""
    of_jobs: bool = False
    """Whether they inspect or fetch the model, and serve nobody."""


_SCALING = Scaling()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the children of one service are made of."""

    service: InferenceService
    template: Manifest | None = None
    """The kept pod template; None while there must be no pods."""
    scaling: Scaling = _SCALING
    pod_uids: Collection[str] = ()
    """Of each pod that there is, the label of its service's uid; empty where it has none."""
    peers: Peers = NO_PEERS
    monitor_labels: Mapping[str, str] = field(default_factory=dict)
    """By which a Prometheus selects ServiceMonitors."""
    scaled_to: int | None = None
    """Pods that an autoscaler asked for last; None: not known."""
    others: Sequence[Manifest] = ()
    """The kept templates of pods that there are of other renderings."""


# None where the service has no such child.
Build = Callable[[Parts], Manifest | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildKind:
    """A kind of child, and where it lives in the API. `plural` is the resource's name there."""

    kind: str
    api_version: str
    plural: str
    build: Build | None
    """None: it comes at a time of its own, from what only the loop knows (a revision's number, a model unknown)."""
    pruned: Pruned
    proof: Proof = Proof.OWNER
    optional: bool = False
    """Its API may be missing in a cluster, may come and go: everything else goes on without it."""
    pods: Pods | None = None
    """None: it has none."""
    scaled: bool = False
    """Whether an autoscaler may decide its `replicas`."""
    autoscaler: bool = False
    """Its conditions are read."""
    beside: bool = False
    """That the API server refuses it keeps nothing else from being made."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """What the operator needs to do with it. Read, because an object may be there that no watch shows."""
        reads, writes = ("get", "list", "watch"), ("create", "patch")
        return (*reads, *writes) if self.pruned is Pruned.NEVER else (*reads, *writes, "delete")


def _always(build: Callable[[InferenceService], Manifest | None]) -> Build:
    return lambda parts: build(parts.service)


def _service(parts: Parts) -> Manifest:
    by_uid = selects_by_uid(parts.service, parts.template, parts.pod_uids)
    return service(parts.service, by_uid=by_uid, front=_front(parts))


def _front(parts: Parts) -> Front:
    """Which pods have a server, and with that the form of the workload.

    The template in force says it, and the spec where there is none.
    """
    template, spec = parts.template, parts.service.spec
    if is_on_ray(template) if template else spec.on_ray:
        return Front.WORKERS
    grouped = pods_of_replica(template) > 1 if template else spec.nodes > 1
    return Front.LEADERS if grouped else Front.ALL


def _policy(parts: Parts) -> Manifest | None:
    templates = [*([parts.template] if parts.template else ()), *parts.others]
    return network_policy(parts.service, _front(parts), parts.peers, templates)


def _monitor(parts: Parts) -> Manifest:
    return service_monitor(parts.service, parts.monitor_labels, on_ray=_front(parts) is Front.WORKERS)


def _budget(parts: Parts) -> Manifest | None:
    on_ray = _front(parts) is Front.WORKERS
    return disruption_budget(parts.service, on_ray=on_ray, scaled_to=parts.scaled_to) if parts.template else None


def _with_template(build: Callable[[InferenceService, Manifest], Manifest | None]) -> Build:
    return lambda parts: build(parts.service, parts.template) if parts.template else None


def _of_form(front: Front, build: Callable[[InferenceService, Manifest], Manifest | None]) -> Build:
    """A workload, where the template is for one of this form."""
    return lambda parts: build(parts.service, parts.template) if parts.template and _front(parts) is front else None


def _with_scaling(build: Callable[[InferenceService, Scaling], Manifest | None]) -> Build:
    def scaled(parts: Parts) -> Manifest | None:
        if parts.template is None or (front := _front(parts)) is Front.WORKERS:
            return None
        return build(parts.service, replace(parts.scaling, grouped=front is Front.LEADERS))

    return scaled


# In the order in which they are applied.
CHILD_KINDS = (
    ChildKind(
        kind="ControllerRevision",
        api_version="apps/v1",
        plural="controllerrevisions",
        build=None,  # revision.py: a template is kept before anything is made of it
        pruned=Pruned.BY_NUMBER,
    ),
    ChildKind(
        kind="PersistentVolumeClaim",
        api_version="v1",
        plural="persistentvolumeclaims",
        build=_always(cache_claim),
        pruned=Pruned.WITH_OLD_PODS,
        proof=Proof.OWNER_OR_LABELS,
    ),
    ChildKind(
        kind="NetworkPolicy",
        api_version="networking.k8s.io/v1",
        plural="networkpolicies",
        build=_policy,
        pruned=Pruned.LAST,
    ),
    ChildKind(
        kind="Service",
        api_version="v1",
        plural="services",
        build=_service,
        pruned=Pruned.NEVER,
    ),
    ChildKind(
        kind="ResourceClaimTemplate",
        api_version="resource.k8s.io/v1",
        plural="resourceclaimtemplates",
        build=_with_template(claim_template),
        pruned=Pruned.WITH_OLD_PODS,
        optional=True,
    ),
    ChildKind(
        kind="Deployment",
        api_version="apps/v1",
        plural="deployments",
        build=_of_form(Front.ALL, deployment),
        pruned=Pruned.WITH_ITS_FORM,
        pods=Pods(through=(("ReplicaSet",),)),
        scaled=True,
    ),
    ChildKind(
        kind=GROUP_KIND,
        api_version=GROUP_API,
        plural="leaderworkersets",
        build=_of_form(Front.LEADERS, leader_worker_set),
        pruned=Pruned.WITH_ITS_FORM,
        optional=True,
        # The pods of ranks above 0 belong to their leader's.
        pods=Pods(through=(("StatefulSet",), ("StatefulSet", "Pod", "StatefulSet"))),
        scaled=True,
    ),
    ChildKind(
        kind=RAY_KIND,
        api_version=RAY_API,
        plural="rayservices",
        build=_of_form(Front.WORKERS, ray_service),
        pruned=Pruned.WITH_ITS_FORM,
        optional=True,
        pods=Pods(through=((RAY_CLUSTER,),)),
    ),
    ChildKind(
        kind="PodDisruptionBudget",
        api_version="policy/v1",
        plural="poddisruptionbudgets",
        build=_budget,
        pruned=Pruned.LAST,
        beside=True,
    ),
    # Two autoscalers at once, or one and a fixed number of pods, would disagree: the one that goes goes first.
    ChildKind(
        kind="HorizontalPodAutoscaler",
        api_version="autoscaling/v2",
        plural="horizontalpodautoscalers",
        build=_with_scaling(horizontal_pod_autoscaler),
        pruned=Pruned.FIRST,
        autoscaler=True,
        beside=True,
    ),
    ChildKind(
        kind="ScaledObject",
        api_version="keda.sh/v1alpha1",
        plural="scaledobjects",
        build=_with_scaling(scaled_object),
        pruned=Pruned.FIRST,
        optional=True,
        autoscaler=True,
        beside=True,
    ),
    ChildKind(
        kind="ServiceMonitor",
        api_version="monitoring.coreos.com/v1",
        plural="servicemonitors",
        build=_monitor,
        pruned=Pruned.NEVER,
        optional=True,
        beside=True,
    ),
    ChildKind(
        kind="Job",
        api_version="batch/v1",
        plural="jobs",
        build=None,  # inspection.py: only where the model is not known yet
        pruned=Pruned.LAST,
        pods=Pods(of_jobs=True),
    ),
)

BY_KIND = {row.kind: row for row in CHILD_KINDS}
# What a cluster may not know.
OPTIONAL_KINDS = frozenset(row.kind for row in CHILD_KINDS if row.optional)
AUTOSCALERS = frozenset(row.kind for row in CHILD_KINDS if row.autoscaler)
# Those on which no other depends.
BESIDE = frozenset(row.kind for row in CHILD_KINDS if row.beside)
# What a service's pods are of: one of them at a time.
WORKLOADS = frozenset(row.kind for row in CHILD_KINDS if row.pruned is Pruned.WITH_ITS_FORM)
# Those whose `replicas` an autoscaler may decide.
SCALED = frozenset(row.kind for row in CHILD_KINDS if row.scaled)
# What stands between children and their pods: made by Kubernetes, and only looked at.
LINKS = tuple(
    sorted({kind for row in CHILD_KINDS if row.pods for way in row.pods.through for kind in way if kind != "Pod"})
)


def is_served(kind: str, served: Collection[str]) -> bool:
    """Whether the cluster has a kind, as far as is known. `served`: the optional ones that it has."""
    return kind not in OPTIONAL_KINDS or kind in served

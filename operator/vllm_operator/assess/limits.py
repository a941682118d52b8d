"""What a ServingClass lets its services ask for: each alone, and all of a namespace together. Pure.

A refusal keeps new pods from being made. It never takes away what is deployed: that is for who acts on it to see to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..api.reasons import Finding, Reason
from ..api.resource import Key
from ..api.serving_class import ServingClass, ServingLimits
from ..api.spec import AUTO, InferenceServiceSpec
from ..settings import matches
from ..vllm.argv import devices_of
from .classes import ASK
from .merging import at


def most_replicas(spec: InferenceServiceSpec) -> int:
    """The most pods that a service asks for: an autoscaler may use all that it is given."""
    if spec.autoscaling:
        return spec.autoscaling.max_replicas
    return 1 if spec.replicas is None else spec.replicas


def gpus_of_pod(spec: InferenceServiceSpec) -> int:
    """GPUs of one pod, or slices of them; none as long as they are yet to be chosen (tensorParallelSize: auto)."""
    return 0 if spec.accelerator.resource == "cpu" or spec.tensor_parallel_size == AUTO else devices_of(spec)


def gpus_of_replica(spec: InferenceServiceSpec) -> int:
    """GPUs of all pods of one replica."""
    return spec.nodes * gpus_of_pod(spec)


def most_gpus(spec: InferenceServiceSpec) -> int:
    """GPUs of all pods that a service may come to have; none while it is suspended."""
    return 0 if spec.suspend else most_replicas(spec) * gpus_of_replica(spec)


def exceeded(own: ServingClass, spec: InferenceServiceSpec, sources: Mapping[str, str]) -> Finding | None:
    """The first limit that a spec does not keep. `sources`: of values that the user did not set, by field."""
    limits = own.spec.limits
    if limits is None:
        return None
    sentence = next(_counts(limits, spec), None) or next(_values(limits, spec, sources), None)
    return (Reason.CLASS_LIMIT_EXCEEDED, f"ServingClass {own.name} allows {sentence}, {ASK}") if sentence else None


def is_limit(refusal: Finding | None) -> bool:
    """Whether a service is refused for a limit: of a namespace's GPUs, others may come to ask for less."""
    return refusal is not None and refusal[0] in (Reason.CLASS_LIMIT_EXCEEDED, Reason.EARLIER_PODS_ENDING)


def _counts(limits: ServingLimits, spec: InferenceServiceSpec) -> Iterator[str]:
    gpus, replicas = most_gpus(spec), most_replicas(spec)
    field = "autoscaling.maxReplicas" if spec.autoscaling else "replicas"
    if limits.max_replicas is not None and replicas > limits.max_replicas:
        yield f"{limits.max_replicas} replicas (limits.maxReplicas), and {field} is {replicas}: lower it"
    if limits.gpus_per_service is not None and gpus > limits.gpus_per_service:
        each = f"{replicas} x {gpus_of_replica(spec)}"
        yield (
            f"{limits.gpus_per_service} GPUs for a service (limits.gpusPerService), and this one asks for {gpus} "
            f"({each}): lower {field} or tensorParallelSize"
        )
    most, asked = limits.max_model_len, spec.max_model_len
    if most is not None and not (isinstance(asked, int) and asked <= most):
        has = "not set" if asked is None else asked
        yield f"{most:,} tokens (limits.maxModelLen), and maxModelLen is {has}: set it to {most} or less"


def _values(limits: ServingLimits, spec: InferenceServiceSpec, sources: Mapping[str, str]) -> Iterator[str]:
    manifest = spec.to_manifest()
    for path, patterns in sorted((limits.allowed or {}).items()):
        value = at(manifest, path)
        if path == "tensorParallelSize" and value == AUTO:
            continue  # what it comes to is
        text = value if isinstance(value, str) else str(value).lower()  # as in YAML: true, 8192
        if value is not None and not matches(patterns, text):
            origin = f", from {sources[path]}" if path in sources else ""
            words = " or ".join(patterns) or "no value"
            yield f"{path} {words} (limits.allowed), and it is {text}{origin}: set it to one of these"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds the GPUs of a service beside the nodes."""

    own: ServingClass | None = None
    room: int | None = None
    """GPUs that the class has left for it in its namespace; None: any number."""

    @property
    def gpus(self) -> int | None:
        """The most GPUs that it may have; None: any number."""
        limits = self.own.spec.limits if self.own else None
        both = (limits.gpus_per_service if limits else None, self.room)
        return min((one for one in both if one is not None), default=None)

    def refuses(self, spec: InferenceServiceSpec) -> str:
        """Why a spec may not have its GPUs, as a clause; "" where it may."""
        finding = exceeded(self.own, spec, {}) if self.own else None
        if finding:
            return finding[1]
        over = self.room is not None and most_gpus(spec) > self.room
        return f"its ServingClass has {self.room} GPUs left in the namespace (limits.gpusPerNamespace)" if over else ""


@dataclass(frozen=True, slots=True)
class Draining:
    """GPUs of a service whose pods finish their requests, which may take a day."""

    asked: int
    """GPUs that it may come to have."""
    stays: int
    """GPUs of what is deployed."""
    ending: int
    """GPUs of the pods that finish their requests."""
    rolls: bool
    """Whether all pods that are deployed would be replaced."""
    scales: bool
    """Whether an autoscaler decides how many pods there are now."""

    @property
    def most(self) -> int:
        """GPUs that it would hold at once if pods were made for its spec now; 0 where none would be, or none end.

        An autoscaler may take back once what it has let go: then it has no more than a rollout.
        """
        if not (self.ending and self.asked):
            return 0
        if self.rolls and self.stays:
            return self.stays + self.ending + self.asked
        spared = self.scales and self.ending <= self.asked
        return 0 if spared or self.asked <= self.stays else self.asked + self.ending


def drained_first(bounds: Bounds, one: Draining) -> Finding | None:
    """Why new pods of a service are made only once earlier ones have ended; None where they may be made now.

    Without any that end, pods follow each other in a rollout as the limits have it: those count once.
    """
    if bounds.own is None or bounds.gpus is None or one.most <= bounds.gpus:
        return None
    return (
        Reason.EARLIER_PODS_ENDING,
        f"ServingClass {bounds.own.name} leaves {bounds.gpus} GPUs to this service, and its pods that finish their "
        f"requests still hold {one.ending}: new ones are made once these have ended; rollout.drainTimeoutSeconds "
        "bounds how long that takes",
    )


Holder = tuple[str, Key]
"""Kind and key: a service and a batch may have the same name."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """A service or a batch of a class in one namespace, as its GPUs are counted."""

    holder: Holder
    created: str
    has_pods: bool
    held: int
    """GPUs of the pods that it has."""
    asked: int
    """GPUs that it may come to have."""
    ending: int = 0
    """GPUs of its pods that finish their requests, which may take a day."""
    stays: int = 0
    """GPUs of what is deployed, which stays as long as its spec is not acted on."""

    @property
    def counts(self) -> int:
        """GPUs that others cannot have. Pods that follow each other in a rollout count once."""
        return max(self.asked, self.stays, self.ending)

    @property
    def keeps(self) -> int:
        """The same of one that is refused: it has what it has."""
        return max(self.held, self.stays, self.ending)


Claimants = Callable[[str, ServingClass], Iterable[Claimant]]
"""Who of a namespace asks for GPUs of a class."""


def counts_gpus(own: ServingClass | None) -> bool:
    """Whether a class limits the GPUs of a namespace."""
    return own is not None and _per_namespace(own) is not None


def _per_namespace(own: ServingClass) -> int | None:
    return own.spec.limits.gpus_per_namespace if own.spec.limits else None


def over_budget(own: ServingClass, claimants: Sequence[Claimant]) -> dict[Holder, Finding]:
    """Whom limits.gpusPerNamespace has no room for, of all services and batches of the class in one namespace.

    Those with pods come first, then the oldest. What is refused keeps the GPUs that it holds, and they count.
    """
    limit = _per_namespace(own)
    refused: dict[Holder, Finding] = {}
    if limit is None:
        return refused
    used = 0
    for one in sorted(claimants, key=lambda one: (not one.has_pods, one.created, one.holder)):
        if used + one.asked <= limit:
            used += one.counts
            continue
        refused[one.holder] = (
            Reason.CLASS_LIMIT_EXCEEDED,
            f"ServingClass {own.name} allows {limit} GPUs for all its services and batches in a namespace "
            f"(limits.gpusPerNamespace); {used} go to others and this one asks for {one.asked}: lower what they ask "
            f"for, {ASK}",
        )
        used += one.keeps
    return refused


def room(own: ServingClass, claimants: Sequence[Claimant], holder: Holder) -> int | None:
    """GPUs that limits.gpusPerNamespace leaves for one beside all others; None without that limit."""
    limit = _per_namespace(own)
    if limit is None:
        return None
    refused = over_budget(own, claimants)
    others = (one for one in claimants if one.holder != holder)
    return limit - sum(one.keeps if one.holder in refused else one.counts for one in others)

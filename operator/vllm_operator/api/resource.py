"""Objects of our kinds as the operator works with them: what names them, and an InferenceService's parsed spec."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .revision import cache_claim_name, inspection_of, revision_of
from .spec import InferenceServiceSpec

# An object of any kind as the API server gives it. Nobody changes it: it is shared.
Body = Mapping[str, Any]


class Key(NamedTuple):
    """What names an object of a kind; of a cluster-scoped one the namespace is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Reference(NamedTuple):
    """One very object in the cluster: what statuses and Events are written about."""

    api_version: str
    kind: str
    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class InferenceService:
    """An InferenceService in the cluster (or in a file, with an empty uid)."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: InferenceServiceSpec
    revision: str = ""
    """Names the rendering of the pods that belongs to the user's spec; worked out where it is not given."""
    inspected: str = ""
    """Names what an inspection of the model holds for; worked out in the same way. No class changes it."""
    renewed: bool = False
    """Whether its pods are rendered anew though their template is kept: an earlier restartedAt was put back."""

    def __post_init__(self) -> None:
        if not self.revision:
            object.__setattr__(self, "revision", revision_of(self.name, self.spec))
        if not self.inspected:
            object.__setattr__(self, "inspected", inspection_of(self.spec))

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return Key(self.namespace, self.name)

    @property
    def cache_claim_name(self) -> str | None:
        """The claim that the pods mount as their cache, made by us or by the user; None: the cache is in the pod."""
        return cache_claim_name(self.name, self.spec)

    @property
    def wanted_replicas(self) -> int | None:
        """Pods that the spec asks for now; None while an autoscaler decides."""
        if self.spec.suspend:
            return 0
        if self.spec.autoscaling:
            return None
        return 1 if self.spec.replicas is None else self.spec.replicas

"""One InferenceService as the operator works with it: identity and parsed spec."""

from dataclasses import dataclass

from .spec import InferenceServiceSpec


@dataclass(frozen=True, slots=True)
class InferenceService:
    """An InferenceService in the cluster (or in a file, with an empty uid)."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: InferenceServiceSpec

    @property
    def wanted_replicas(self) -> int | None:
        """Pods that the spec asks for now; None while an autoscaler decides."""
        if self.spec.suspend:
            return 0
        if self.spec.autoscaling:
            return None
        return 1 if self.spec.replicas is None else self.spec.replicas

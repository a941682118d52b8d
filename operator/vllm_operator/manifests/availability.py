"""How many pods may be taken away at a time: the PodDisruptionBudget."""

from ..api.resource import InferenceService
from .metadata import Manifest, identity, metadata


def disruption_budget(service: InferenceService) -> Manifest | None:
    """At most one pod may be evicted at a time. With one replica there is none: it would block every drain."""
    spec = service.spec
    least = spec.autoscaling.min_replicas if spec.autoscaling else spec.replicas or 0
    if least < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(service),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": identity(service)},
            # A pod that is not ready serves nobody: it must not block the drain of its node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }

"""How many pods may be taken away at a time: the PodDisruptionBudget."""

from ..api.resource import InferenceService
from .metadata import Manifest, identity, metadata


def disruption_budget(service: InferenceService) -> Manifest | None:
    """At most one pod may be evicted at a time, wherever there can be two; None where there is never more than one.

    A single pod can still be evicted, so it blocks no drain: there a budget would say nothing.
    """
    spec = service.spec
    most = spec.autoscaling.max_replicas if spec.autoscaling else spec.replicas or 0
    if most < 2:
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

"""How many pods there are: the PodDisruptionBudget and the HorizontalPodAutoscaler."""

from ..api.resource import InferenceService
from .metadata import Manifest, identity, metadata

# As prometheus-adapter serves it per pod from vLLM's own gauge.
WAITING_METRIC = "vllm:num_requests_waiting"


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


def autoscaler(service: InferenceService) -> Manifest | None:
    """Scales on requests that wait in vLLM's queue, per pod."""
    scaling = service.spec.autoscaling
    if not scaling:
        return None
    target = {"type": "AverageValue", "averageValue": str(scaling.targets.waiting_requests)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(service),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name},
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": WAITING_METRIC}, "target": target}}],
        },
    }

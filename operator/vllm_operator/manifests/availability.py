"""How many pods may be taken away at a time: the PodDisruptionBudget."""

from ..api.resource import InferenceService
from .metadata import Manifest, identity, metadata
from .network import LABELS_OF, Front


def disruption_budget(
    service: InferenceService, *, on_ray: bool = False, scaled_to: int | None = None
) -> Manifest | None:
    """At most one pod may be evicted at a time, wherever there can be two; None where there is never more than one.

    A single pod can still be evicted, so it blocks no drain: there a budget would say nothing. `scaled_to`: pods that
    an autoscaler asked for last; None: not known.
    """
    spec = service.spec
    most = spec.autoscaling.max_replicas if spec.autoscaling else spec.replicas or 0
    if most < 2:
        return None
    allowed = {"minAvailable": _workers(service, scaled_to) - 1} if on_ray else {"maxUnavailable": 1}
    labels = LABELS_OF[Front.WORKERS if on_ray else Front.ALL]
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(service),
        "spec": {
            **allowed,
            "selector": {"matchLabels": identity(service) | labels},
            # A pod that is not ready serves nobody: it must not block the drain of its node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _workers(service: InferenceService, scaled_to: int | None) -> int:
    """Workers of a Ray cluster that are asked for now.

    With maxUnavailable Kubernetes asks the pods' controllers how many there should be, by the subresource scale.
    RayClusters have none, and then no pod may ever be evicted. The head is one of its kind, so it does not count.
    Source: Kubernetes, pkg/controller/disruption/disruption.go (getExpectedPodCount).
    """
    scaling = service.spec.autoscaling
    asked = (scaled_to or scaling.min_replicas) if scaling else service.spec.replicas
    return max(asked or 1, 1)

"""The autoscaler of a service, and what it asks for."""

from typing import Any

from support.snapshots import service
from vllm_operator.api.resource import InferenceService
from vllm_operator.manifests import OPTIONAL_KINDS, Parts, Scaling, desired
from vllm_operator.manifests.kinds import AUTOSCALERS

# A target for each thing that a service can be scaled by.
ALL_TARGETS = {
    "waitingRequests": 5,
    "runningRequests": 100,
    "kvCacheUtilizationPercent": 75,
    "timeToFirstTokenMilliseconds": 2500,
}
CRON = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *"}}


def scaled(**autoscaling: Any) -> InferenceService:
    """A service with up to eight pods."""
    return service(autoscaling={"maxReplicas": 8, **autoscaling})


def autoscalers(
    owner: InferenceService, scaling: Scaling | None = None, served: frozenset[str] = OPTIONAL_KINDS
) -> list[dict[str, Any]]:
    """What scales a service that may have pods, where the cluster serves these optional kinds."""
    children = desired(Parts(owner, {"metadata": {}, "spec": {}}, scaling or Scaling()), served)
    return [child for child in children if child["kind"] in AUTOSCALERS]


def scaling_spec(scaling: Scaling | None = None, **autoscaling: Any) -> dict[str, Any]:
    """The spec of the HPA or the ScaledObject."""
    (found,) = autoscalers(scaled(**autoscaling), scaling)
    spec: dict[str, Any] = found["spec"]
    return spec


def metrics(**autoscaling: Any) -> dict[str, str]:
    """The HPA's targets by the metric's name."""
    pods = [metric["pods"] for metric in scaling_spec(**autoscaling)["metrics"]]
    return {pod["metric"]["name"]: pod["target"]["averageValue"] for pod in pods}


def queries(**autoscaling: Any) -> dict[str, str]:
    """The ScaledObject's queries by the trigger's name."""
    triggers = scaling_spec(provider="KEDA", **autoscaling)["triggers"]
    return {one["name"]: one["metadata"]["query"] for one in triggers if one["type"] == "prometheus"}

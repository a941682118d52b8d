"""The Deployment: how many pods, and how they are replaced."""

from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from .amounts import STARTUP_TIMEOUT_SECONDS, surge
from .metadata import Manifest, compact, identity, metadata

# Beyond the start-up budget: pulling an image of 10 GB, and attaching volumes.
_PROGRESS_MARGIN_SECONDS = 600


def deployment(service: InferenceService, template: Manifest) -> Manifest:
    """The Deployment of a service with its kept pod template. Replicas are left out while an autoscaler owns them."""
    budget = service.spec.startup_timeout_seconds or STARTUP_TIMEOUT_SECONDS
    spec = compact(
        {
            "replicas": service.wanted_replicas,
            "selector": {"matchLabels": identity(service)},
            "progressDeadlineSeconds": budget + _PROGRESS_MARGIN_SECONDS,
            "revisionHistoryLimit": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _steps(service.spec)},
        }
    )
    # A kept template holds no None, and is the larger part: it is not gone through again.
    spec["template"] = template
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(service), "spec": spec}


def _steps(spec: InferenceServiceSpec) -> dict[str, int]:
    unavailable = spec.rollout.max_unavailable if spec.rollout else None
    # A pod taken away early would undo what the one more is for.
    default = 0 if surge(spec) else 1
    return {"maxSurge": surge(spec), "maxUnavailable": default if unavailable is None else unavailable}

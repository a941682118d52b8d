"""The Deployment: how many pods, and how they are replaced."""

from ..api.resource import InferenceService
from .metadata import Manifest, compact, identity, metadata
from .pod import STARTUP_TIMEOUT_SECONDS

# Beyond the start-up budget: pulling an image of 10 GB, and attaching volumes.
_PROGRESS_MARGIN_SECONDS = 600


def deployment(service: InferenceService, template: Manifest) -> Manifest:
    """The Deployment of a service with its kept pod template. Replicas are left out while an autoscaler owns them."""
    budget = service.spec.startup_timeout_seconds or STARTUP_TIMEOUT_SECONDS
    return compact(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(service),
            "spec": {
                "replicas": service.wanted_replicas,
                "selector": {"matchLabels": identity(service)},
                "progressDeadlineSeconds": budget + _PROGRESS_MARGIN_SECONDS,
                "revisionHistoryLimit": 3,
                # GPUs are scarce: a pod more than asked for would wait for ever on a full cluster.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": template,
            },
        }
    )

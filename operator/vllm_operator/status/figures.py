"""From what is observed of a service to what its metrics say. Pure, but for the count of restarts."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..api.resource import InferenceService
from ..metrics import Figures
from ..snapshots.pod import PodSnapshot
from .conditions import Observed, devices, wanted
from .status import plan_error


class Restarts:
    """Counts the restarts of one service's containers. Pods come and go, and a counter must never fall."""

    def __init__(self) -> None:
        self._seen: dict[str, int] | None = None
        self._total = 0

    def count(self, pods: Sequence[PodSnapshot]) -> int:
        """Restarts since the first call, of all of the service's pods as they are now."""
        if self._seen is not None:
            self._total += sum(max(0, pod.restarts - self._seen.get(pod.name, 0)) for pod in pods)
        self._seen = {pod.name: pod.restarts for pod in pods}
        return self._total


def figures(service: InferenceService, observed: Observed, ready: Mapping[str, Any], restarts: int) -> Figures:
    """What the metrics say of a service; `ready` is its condition Ready."""
    scaling = service.spec.autoscaling
    pods = [*observed.pods, *observed.old_pods]
    total = wanted(service, observed)
    return Figures(
        ready=ready["status"],
        reason=ready["reason"],
        replicas_wanted=total,
        replicas_ready=sum(pod.ready for pod in observed.pods),
        # Where there is nothing to choose, being at the maximum means nothing.
        replicas_max=scaling.max_replicas if scaling and scaling.max_replicas > scaling.min_replicas else None,
        gpus_wanted=devices(service) * total,
        gpus_granted=devices(service) * sum(pod.scheduled and not pod.failed for pod in pods),
        plan_error=plan_error(observed),
        restarts=restarts,
    )

"""What is remembered of one service for its autoscaler: how many pods there were last, and how long a pod starts.

Under an autoscaler the operator does not own the number of pods: it only hands it over. Pure, but for the memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..api.resource import InferenceService
from ..manifests.amounts import STARTUP_STEPS
from ..snapshots.pod import PodSnapshot
from ..snapshots.workload import DeploymentSnapshot

# A figure goes down a step only when a pod started in clearly less than that step: noise around a step changes nothing.
_CLEARLY = 0.8


@dataclass(slots=True)
class Replicas:
    """The memory; what must survive a restart of the operator is in the status as well."""

    # Pods that the spec or the autoscaler asked for last.
    last: int | None = None
    # Seconds that a pod takes to start, rounded up; None until one was seen.
    startup_seconds: int | None = None
    _looked: bool = False
    _counted: set[str] = field(default_factory=set)

    def note(
        self, deployment: DeploymentSnapshot | None, pods: Sequence[PodSnapshot], before: Mapping[str, Any]
    ) -> None:
        """Takes in what the watches show, beside the status as it stands."""
        if deployment:
            self.last = deployment.wanted
        elif self.last is None:
            self.last = before.get("wantedReplicas")
        if self.startup_seconds is None:
            self.startup_seconds = before.get("startupSeconds")
        self._note_starts(pods)

    def _note_starts(self, pods: Sequence[PodSnapshot]) -> None:
        """Counts each pod when it is first seen ready: a later gap in its readiness is no start."""
        ready = {pod.name: pod.startup_seconds for pod in pods if pod.ready}
        # Of pods that were ready before this operator began, nobody knows whether they had such a gap.
        new = ready.keys() - self._counted if self._looked or self.startup_seconds is None else set()
        self._looked = True
        self._counted = (self._counted | ready.keys()) & {pod.name for pod in pods}
        if slowest := max((ready[name] for name in new), default=0):
            self.startup_seconds = _step(slowest, self.startup_seconds)

    def at_start(self, service: InferenceService) -> int:
        """Pods that a Deployment starts with under an autoscaler: as many as there were last, within the bounds."""
        scaling = service.spec.autoscaling
        if not scaling:
            return 1
        if self.last is None:
            return max(scaling.min_replicas, 1)
        return min(max(self.last, scaling.min_replicas), scaling.max_replicas)


def _step(seconds: int, known: int | None) -> int:
    up = next((step for step in STARTUP_STEPS if seconds <= step), STARTUP_STEPS[-1])
    return up if known is None or up > known or seconds <= _CLEARLY * up else known

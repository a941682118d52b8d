"""Workers of Ray clusters as pods of a service: of which rendering they are, and whether they serve. Pure.

What Serve is told changes in place, so a worker is of no rendering by itself: it is of that of its RayService. And it
answers before any model does: it serves once the application has come up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..manifests.names import RAY_KIND
from .child import Child
from .pod import PodSnapshot
from .workload import DeploymentSnapshot

Names = frozenset[str]
# One for all services without Ray: Python makes a new one each time.
_NONE: Names = frozenset()
# KubeRay looks every 2 s (rayservice_controller.go, reconcileServe), at one RayService after the other.
TAKEN_SECONDS = 10.0


def answering(children: Iterable[Child], before: Names | None, *, served: bool) -> Names:
    """The RayServices among the children whose application answers.

    `before`: those that did so far; None where that was not seen, and `served` is whether the service had ready pods.
    """
    names = frozenset(
        child.name
        for child in children
        if child.kind == RAY_KIND
        and child.deployment
        and child.deployment.serves(before=served if before is None else child.name in before)
    )
    return names or _NONE


def of_clusters(pods: Iterable[PodSnapshot], children: Iterable[Child], that_answer: Names) -> list[PodSnapshot]:
    """The pods, those of the RayServices among the children as such; the label of their revision names it."""
    clusters = {child.name: child.revision or "" for child in children if child.kind == RAY_KIND}
    return [
        replace(
            pod,
            cluster=pod.revision,
            revision=clusters[pod.revision],
            ready=pod.ready and (pod.rank > 0 or pod.revision in that_answer),
            # Serve's proxy goes with the last replica of a worker: that it does not answer is no trouble of vLLM's.
            silent=False,
        )
        if pod.revision in clusters
        else pod
        for pod in pods
    ]


@dataclass(slots=True)
class Taking:
    """Since when KubeRay knows an edit of a RayService. Losing it costs that it passes for taken at once.

    At the look at which KubeRay tells Serve, it shows what Serve said before that.
    """

    generation: int | None = None
    """None: not looked at yet."""
    until: float | None = 0.0
    """By when Serve has begun with the edit, or has nothing to do; None: KubeRay does not know it yet."""

    def seconds(self, workload: DeploymentSnapshot | None, now: float) -> float:
        """For how long what is said of the application may still be of before. `now`: by the operator's clock."""
        if workload is None or workload.kind != RAY_KIND:
            self.generation, self.until = None, 0.0
            return 0.0
        if self.generation not in (None, workload.generation):
            self.until = None
        self.generation = workload.generation
        if workload.generation != workload.observed_generation:
            return 0.0
        if workload.begins:
            self.until = 0.0
        if self.until is None:
            self.until = now + TAKEN_SECONDS
        return max(self.until - now, 0.0)

"""Workers of Ray clusters as pods of a service: of which rendering they are, and whether they serve. Pure.

What Serve is told changes in place, so a worker is of no rendering by itself: it is of that of its RayService. And it
answers before any model does: it serves once the application has come up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..manifests.names import RAY_KIND
from .child import Child
from .pod import PodSnapshot


@dataclass(slots=True)
class Answering:
    """The RayServices of a service whose application answers. Losing it costs a status while replicas are replaced."""

    names: set[str] | None = field(default=None)

    def note(self, children: Iterable[Child], *, served: bool) -> set[str]:
        """Takes in all children; `served`: whether the service had ready pods, for what was not seen before."""
        found = set()
        for child in (one for one in children if one.kind == RAY_KIND and one.deployment):
            before = served if self.names is None else child.name in self.names
            if child.deployment and child.deployment.serves(before=before):
                found.add(child.name)
        self.names = found
        return found


def of_clusters(pods: Iterable[PodSnapshot], children: Iterable[Child], answering: set[str]) -> list[PodSnapshot]:
    """The pods, those of the RayServices among the children as such; the label of their revision names it."""
    clusters = {child.name: child.revision or "" for child in children if child.kind == RAY_KIND}
    return [
        replace(pod, revision=clusters[pod.revision], ready=pod.ready and (pod.rank > 0 or pod.revision in answering))
        if pod.revision in clusters
        else pod
        for pod in pods
    ]

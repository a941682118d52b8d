"""Workers of Ray clusters as pods of a service: of which rendering they are, and whether they serve. Pure.

What Serve is told changes in place, so a worker is of no rendering by itself: it is of that of its RayService. And it
answers before any model does: it serves once the application has come up.
"""

from collections.abc import Iterable
from dataclasses import replace

from ..manifests.names import RAY_KIND
from .child import Child
from .pod import PodSnapshot

Names = frozenset[str]
# One for all services without Ray: Python makes a new one each time.
_NONE: Names = frozenset()


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

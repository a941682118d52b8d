"""Workers of Ray clusters as pods of a service: of which rendering they are, and whether they serve. Pure.

What Serve is told changes in place, so a worker is of no rendering by itself: it is of that of its RayService. And it
answers before any model does: it serves once the application has come up.
"""

from collections.abc import Iterable
from dataclasses import replace

from ..manifests.names import RAY_KIND
from .child import Child
from .pod import PodSnapshot


def of_clusters(pods: Iterable[PodSnapshot], children: Iterable[Child], *, served: bool) -> list[PodSnapshot]:
    """The pods, those of the RayServices among the children as such; the label of their revision names it.

    `served`: whether the service had ready pods so far.
    """
    clusters = {child.name: child for child in children if child.kind == RAY_KIND}
    return [_judged(pod, clusters[pod.revision], served=served) if pod.revision in clusters else pod for pod in pods]


def _judged(pod: PodSnapshot, cluster: Child, *, served: bool) -> PodSnapshot:
    serves = cluster.deployment is not None and cluster.deployment.serves(before=served)
    return replace(pod, revision=cluster.revision or "", ready=pod.ready and (serves or pod.rank > 0))

"""Why the pods of a service do not serve, in plain words. Pure: snapshots in, reason and message out."""

from collections.abc import Sequence

from ..observed import DeploymentSnapshot, PodSnapshot
from ..reasons import Reason
from .log import last_words

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")

Finding = tuple[Reason, str]


def workload(deployment: DeploymentSnapshot | None, pods: Sequence[PodSnapshot]) -> Finding | None:
    """The first trouble among the pods of the current spec, worst first; None where they only need time."""
    findings = [finding for pod in pods if (finding := _pod(pod))]
    if findings:
        return min(findings, key=lambda finding: _ORDER.index(finding[0]))
    for condition in deployment.conditions if deployment else ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return Reason.PODS_REFUSED, f"Kubernetes refuses to create the pods: {condition.message}"
    return None


_ORDER = (
    Reason.IMAGE_PULL_FAILED,
    Reason.CONTAINER_CONFIG,
    Reason.CONTAINER_FAILED,
    Reason.UNSCHEDULABLE,
    Reason.PODS_REFUSED,
)


def _pod(pod: PodSnapshot) -> Finding | None:
    if pod.ready or pod.terminating or not pod.reason:
        return None
    if pod.reason == "Unschedulable":
        return Reason.UNSCHEDULABLE, f"no node for pod {pod.name}: {pod.message}"
    if pod.reason in _IMAGE_REASONS:
        return (
            Reason.IMAGE_PULL_FAILED,
            f"image {pod.image} cannot be pulled ({pod.message or pod.reason}):"
            " check the name, and pod.imagePullSecrets for a private registry",
        )
    if pod.reason.startswith("CreateContainer"):
        return Reason.CONTAINER_CONFIG, f"pod {pod.name} cannot start: {pod.message}"
    if pod.scheduled:
        words = last_words(pod.log) or pod.reason
        return Reason.CONTAINER_FAILED, f"vLLM in pod {pod.name} ended ({pod.message}): {words}"
    return None


def progress(pods: Sequence[PodSnapshot]) -> str:
    """What the pods that do not serve yet are doing, for a message that changes only when that does."""
    waiting = [pod for pod in pods if not pod.ready and not pod.terminating]
    if not waiting:
        return "waiting for the pods to be created"
    pod = waiting[0]
    if not pod.scheduled:
        return f"pod {pod.name} waits for a node"
    return f"pod {pod.name} loads the model" if pod.started else f"pod {pod.name} is being started"

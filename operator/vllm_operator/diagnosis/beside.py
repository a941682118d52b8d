"""What keeps a pod from serving that is not vLLM's: a container beside it, or its node. Pure."""

from ..api.reasons import Finding, Reason
from ..diagnosis import refusals
from ..snapshots.pod import Other, PodSnapshot
from .log import last_error, last_line
from .redaction import redact, shorten

_WORDS_MAX = 300
_ANOTHER = "Kubernetes makes another pod some minutes later, where a node is free for it"
# A StatefulSet makes no pod of a name that is still there.
_OF_A_GROUP = (
    "its group is made anew once the node is back, its Node object is deleted, or it is tainted "
    "node.kubernetes.io/out-of-service"
)


def beside(pod: PodSnapshot) -> Finding | None:
    """Who put the container there, a policy or a service mesh, has to mend it; None where all are well."""
    if pod.other:
        return _of_container(pod, pod.other)
    if pod.lost:
        return (
            Reason.NODE_LOST,
            f"nothing is heard of node {pod.node}, where pod {pod.name} served: see kubectl get nodes; "
            f"{_OF_A_GROUP if pod.group else _ANOTHER}",
        )
    return None


def _of_container(pod: PodSnapshot, other: Other) -> Finding:
    before = " (before vLLM)" if other.first else ""
    trouble = _trouble(other, served=pod.was_ready)
    return (
        Reason.SIDECAR_FAILED,
        f"pod {pod.name} waits for its container {other.name}{before}: {trouble}; kubectl logs {pod.name} -c "
        f"{other.name} shows more",
    )


def _trouble(other: Other, *, served: bool) -> str:
    """In its own words, where users' cannot be in them yet."""
    if refusals.of_image(other.reason):
        return f"its image {other.image} cannot be pulled: {refusals.image_cause(other.message)}"
    said = other.message if other.reason else "" if served else last_error(other.log) or last_line(other.log)
    words = f" ({shorten(redact(said), _WORDS_MAX)})" if said else ""
    if other.reason:
        return f"it does not start: {other.reason}{words}"
    if other.exit_code is None:
        return "it runs, and is not ready"
    return f"it ended with exit code {other.exit_code}{words}"

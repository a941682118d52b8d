"""Why Ray Serve has not brought its application up, from what it says of it in the status of the RayService. Pure.

Serve's message ends with the traceback of the replica that failed: the texts of vLLM in it are those of the catalogue.
"""

from ..api.reasons import Finding, Reason
from ..snapshots.workload import APPLICATION, REFUSED, DeploymentSnapshot
from .container import told_by
from .log import last_error
from .redaction import redact, shorten


def application(deployment: DeploymentSnapshot | None) -> Finding | None:
    """The cause that Serve or KubeRay tells; None where no application has failed, and nothing is refused.

    KubeRay says that it has seen a spec as it tells Serve; not of one that it refuses.
    """
    if deployment is None:
        return None
    seen = deployment.generation == deployment.observed_generation
    for condition in deployment.conditions:
        if seen and condition.type == APPLICATION and condition.status == "False":
            return _finding(condition.message)
        if condition.reason == REFUSED:
            return (
                Reason.RAY_APPLICATION_FAILED,
                f"KubeRay refuses the RayService: {shorten(redact(condition.message))}",
            )
    return None


def _finding(message: str) -> Finding:
    if known := told_by(message):
        reason, words = known
        return reason, f"Ray Serve cannot start the model: {words}"
    words = shorten(redact(last_error(message))) or "it does not say why"
    return (
        Reason.RAY_APPLICATION_FAILED,
        f"Ray Serve cannot start the model: {words}; the log of Serve in the head's pod shows more (/tmp/ray/"
        "session_latest/logs/serve)",
    )

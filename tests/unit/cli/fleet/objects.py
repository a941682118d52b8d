"""Objects as the API server gives them to `kubectl vllm`."""

from typing import Any

from support.gitops import condition, recorded
from support.kube import Object

SINCE = "2026-11-24T12:00:00Z"


def service(name: str, spec: Object | None = None, **status: Any) -> Object:
    """A service in team-a that is ready, with these fields of its spec and status."""
    item = recorded([condition("Ready", "True", "Available", "fine")])
    item["metadata"] |= {"name": name, "namespace": "team-a"}
    item["spec"] |= spec or {}
    item["status"] |= status
    return item


def pod(
    name: str, of: str = "chat", *, node: str = "n1", ready: bool = True, gpus: int = 4, phase: str = "Running"
) -> Object:
    """A pod of a service; one that is not ready has ended once with exit code 1."""
    container = {
        "name": "vllm",
        "image": "vllm",
        "resources": {"limits": {"nvidia.com/gpu": str(gpus), "memory": "1Gi"}},
    }
    ended = {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-11-24T12:00:00Z",
        "finishedAt": "2026-11-24T12:00:30Z",
    }
    state = {"running": {}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "labels": {"app.kubernetes.io/instance": of},
            "creationTimestamp": f"2026-11-24T12:00:0{name[-1]}Z",
        },
        "spec": {"containers": [container], **({"nodeName": node} if node else {})},
        "status": {
            "phase": phase,
            "startTime": SINCE,
            "conditions": [
                {"type": "PodScheduled", "status": "True" if node else "False"},
                {"type": "Ready", "status": str(ready), "lastTransitionTime": SINCE},
            ],
            "containerStatuses": [
                {"name": "vllm", "restartCount": 0, "state": state, "lastState": {} if ready else {"terminated": ended}}
            ],
        },
    }

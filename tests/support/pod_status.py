"""Pods as the kubelet and the scheduler show them in their status, and what is said of them."""

from typing import Any

from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import workload
from vllm_operator.snapshots import pod as pods
from vllm_operator.snapshots.pod import PodSnapshot

CREATED, STARTED = "2026-11-24T12:00:00Z", "2026-11-24T12:01:00Z"
SERVED, ENDED = "2026-11-24T13:00:00Z", "2026-11-24T12:03:00Z"
# Of a pod that waits for its volumes and network.
NOT_SET_UP = [{"type": "PodScheduled", "status": "True"}, {"type": "PodReadyToStartContainers", "status": "False"}]
CREATING = {"state": {"waiting": {"reason": "ContainerCreating"}}}


def pod(container: dict[str, Any] | None = None, *, ready_changed: str = CREATED, **status: Any) -> PodSnapshot:
    """A pod that was created at 12:00, on a node, with a container as its status shows it."""
    return pods.pod(
        {
            "metadata": {"name": "llama-0", "labels": {"vllm-operator.dev/revision": "r1"}},
            "spec": {
                "nodeName": "gpu-1",
                "nodeSelector": {"nvidia.com/gpu.product": "H100"},
                "containers": [
                    {
                        "name": "vllm",
                        "image": "registry/vllm:1",
                        "resources": {"limits": {"nvidia.com/gpu": "4", "memory": "64Gi"}},
                        "startupProbe": {"failureThreshold": 360, "periodSeconds": 5},
                    }
                ],
                "volumes": [
                    {"name": "cache", "emptyDir": {}},
                    {"name": "chat-template", "configMap": {"name": "chat"}},
                    {"name": "models-0", "persistentVolumeClaim": {"claimName": "weights"}},
                ],
            },
            "status": {
                "startTime": CREATED,
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": CREATED},
                    {"type": "Ready", "status": "False", "lastTransitionTime": ready_changed},
                    {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": CREATED},
                ],
                "containerStatuses": [{"name": "vllm", "restartCount": 1, "ready": False, **(container or {})}],
                **status,
            },
        }
    )


def failed(log: str = "", *, code: int = 1, reason: str = "Error", ended: str = ENDED, **rest: Any) -> PodSnapshot:
    """A pod whose container ended and is about to be started again."""
    ending = {"exitCode": code, "reason": reason, "startedAt": STARTED, "finishedAt": ended, "message": log}
    restarts = rest.pop("restarts", 1)
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
    return pod({"state": waiting, "lastState": {"terminated": ending}, "restartCount": restarts}, **rest)


def refused(message: str, *, ended: str = ENDED, **rest: Any) -> PodSnapshot:
    """A pod whose container the runtime does not get to start, in its words."""
    never = {"startedAt": "1970-01-01T00:00:00Z", "finishedAt": ended, "message": message}
    ending = {"exitCode": 128, "reason": "StartError", **never}
    waits = {"waiting": {"reason": "RunContainerError", "message": message}}
    return pod({"state": waits, "lastState": {"terminated": ending}}, **rest)


def waiting(reason: str, message: str = "") -> PodSnapshot:
    """A pod whose container waits, for the kubelet's reason and in its words."""
    return pod({"state": {"waiting": {"reason": reason, "message": message}}})


def unscheduled(message: str, reason: str = "Unschedulable") -> PodSnapshot:
    """A pod that the scheduler found no node for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod(conditions=[condition], containerStatuses=[])


def found(*pods: PodSnapshot) -> tuple[Reason, str]:
    """Reason and message of what keeps the pods from serving; fails where nothing does."""
    finding = workload(None, pods)
    assert finding, "no trouble was found"
    return finding

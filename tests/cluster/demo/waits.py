"""Waiting for the model and the service, while saying what their pods are doing."""

import time
from collections.abc import Callable
from typing import Any

from cluster.demo.kubectl import Kubectl
from cluster.demo.progress import Progress
from cluster.host import ClusterError

Object = dict[str, Any]
HOPELESS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "ImagePullBackOff")


def wait(progress: Progress, what: str, seconds: float, look: Callable[[], str]) -> None:
    """Call `look` until it says nothing more is to be done (""), and show what it says meanwhile."""
    begin = time.monotonic()
    while doing := look():
        progress.waiting(what, begin, doing)
        if time.monotonic() - begin > seconds:
            raise ClusterError(f"{what}: not so after {seconds:.0f} s; last seen: {doing}")
        time.sleep(0.5)


def model_made(kubectl: Kubectl, namespace: str, job: str) -> Callable[[], str]:
    """Look whether a Job is done."""

    def look() -> str:
        objects = kubectl.items(namespace, "jobs", "pods")
        jobs = [o for o in objects if o["kind"] == "Job" and o["metadata"]["name"] == job]
        status: Object = jobs[0]["status"] if jobs else {}
        conditions = {c["type"]: c for c in status.get("conditions", []) if c["status"] == "True"}
        if "Complete" in conditions:
            return ""
        pods = [o for o in objects if o["kind"] == "Pod" and o["metadata"].get("labels", {}).get("job-name") == job]
        if "Failed" in conditions:
            raise ClusterError(f"The Job {job} failed: {last_lines(kubectl, namespace, pods)}")
        return doing(kubectl, namespace, pods)

    return look


def service_ready(kubectl: Kubectl, namespace: str, name: str) -> Callable[[], str]:
    """Look whether an InferenceService is Ready for the spec that it has now."""

    def look() -> str:
        objects = kubectl.items(namespace, "inferenceservices", "pods")
        service = next(o for o in objects if o["kind"] == "InferenceService" and o["metadata"]["name"] == name)
        current = {
            c["type"]: c
            for c in service.get("status", {}).get("conditions", [])
            if c.get("observedGeneration") == service["metadata"]["generation"]
        }
        pods = [o for o in objects if o["kind"] == "Pod" and owner_label(o) == name]
        if current.get("Ready", {}).get("status") == "True":
            return ""
        if (stalled := current.get("Stalled", {})).get("status") == "True":
            output = last_lines(kubectl, namespace, pods)
            raise ClusterError(f"The service is stalled: {stalled['reason']}: {stalled['message']}\n{output}")
        told = f"{current['Ready']['reason']}; " if "Ready" in current else ""
        return told + doing(kubectl, namespace, pods)

    return look


def owner_label(pod: Object) -> str:
    """The InferenceService that a pod belongs to."""
    return str(pod["metadata"].get("labels", {}).get("app.kubernetes.io/instance", ""))


def doing(kubectl: Kubectl, namespace: str, pods: list[Object]) -> str:
    """What the newest pod is at, in a few words."""
    if not pods:
        return "no pod yet"
    pod = max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]))
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        if waiting := container["state"].get("waiting"):
            if waiting.get("reason") in HOPELESS:
                raise ClusterError(f"Pod {pod['metadata']['name']}: {waiting['reason']}: {waiting.get('message', '')}")
            return f"pod is {waiting.get('reason', 'waiting')}"
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"pod is not scheduled: {condition.get('message', '')}"
    phase = str(status.get("phase", "Unknown"))
    return f"pod is {phase}: {last_lines(kubectl, namespace, [pod], 1)}" if phase == "Running" else f"pod is {phase}"


def last_lines(kubectl: Kubectl, namespace: str, pods: list[Object], count: int = 20) -> str:
    """The end of what a pod printed."""
    for pod in sorted(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]), reverse=True):
        try:
            return kubectl.run("logs", f"--namespace={namespace}", f"--tail={count}", pod["metadata"]["name"]).strip()
        except ClusterError:
            continue  # it may have no container yet, or be gone
    return ""

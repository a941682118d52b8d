"""Why a pod is not started on its node: its volumes and its network, from the kubelet's Events. Pure."""

import re

from ..observed import PodSnapshot
from ..pod_events import last
from ..reasons import Reason
from .redaction import redact, shorten

Finding = tuple[Reason, str]

_VOLUMES = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_SANDBOX = ("FailedCreatePodSandBox", "NetworkNotReady")
_MISSING = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found')
_NO_KEY = re.compile(r"references non-existent (?P<kind>config|secret) key: (?P<key>\S+)")
_IN_USE = re.compile(r'Multi-Attach error for volume "(?P<volume>[^"]+)" (?P<who>.+)')
_NO_HANDLER = re.compile(r'no runtime for "(?P<handler>[^"]+)" is configured')
_TIMED_OUT = re.compile(r"unmounted volumes=\[(?P<volumes>[^]]*)\]")
_KINDS = {
    "secret": ("Secret", Reason.SECRET_MISSING),
    "configmap": ("ConfigMap", Reason.CONFIG_MAP_MISSING),
    "config": ("ConfigMap", Reason.CONFIG_MAP_MISSING),
}
# Of a driver's error, this part differs each time.
_ATTEMPT = re.compile(r'(?: for (?:volume|pod) "[^"]*")|rpc error: code = \w+ desc = ')


def unstarted(pod: PodSnapshot) -> Finding | None:
    """What the kubelet says about volumes, else about the network; None where it has said nothing."""
    if pod.sandboxed or not pod.scheduled:
        return None
    # A time-out says which volume is missing, the failed tries before it why.
    causes = [event for event in pod.events if not _TIMED_OUT.search(event.message)]
    if event := last(causes, *_VOLUMES) or last(pod.events, *_VOLUMES):
        return _volume(pod, event.message)
    if event := last(pod.events, *_SANDBOX):
        return _sandbox(pod, event.message)
    return None


def _volume(pod: PodSnapshot, message: str) -> Finding:
    if found := _MISSING.search(message):
        kind, reason = _KINDS[found["kind"]]
        return reason, f"{kind} {found['name']} does not exist: create it; pod {pod.name} waits"
    if found := _NO_KEY.search(message):
        kind, reason = _KINDS[found["kind"]]
        return reason, f"{_mounted(pod, kind, message)} has no key {found['key']}: add it; pod {pod.name} waits"
    if found := _IN_USE.search(message):
        return (
            Reason.VOLUME_IN_USE,
            f"volume {found['volume']} is attached to another node, and pod {pod.name} is on {pod.node} "
            f"({shorten(found['who'])}): use a ReadWriteMany claim, or wait until the other pod has ended",
        )
    if found := _TIMED_OUT.search(message):
        names = [name for name in re.split(r"[ ,]+", found["volumes"]) if name]
        objects = ", ".join(dict(pod.asked.mounts).get(name, f"volume {name}") for name in names)
        cause = "node and driver do not say why: see kubectl describe"
        return Reason.VOLUME_NOT_MOUNTED, f"node {pod.node} does not mount {objects} for pod {pod.name}; {cause}"
    claims = _mounted(pod, "PersistentVolumeClaim", message)
    words = shorten(redact(_ATTEMPT.sub("", message)))
    return (
        Reason.VOLUME_NOT_MOUNTED,
        f"node {pod.node} cannot mount {claims} for pod {pod.name}: {words}; check the claim's volume and its driver",
    )


def _mounted(pod: PodSnapshot, kind: str, message: str) -> str:
    """The object that the message is about, as far as it tells; else all of the kind that the pod mounts."""
    for volume, mounted in pod.asked.mounts:
        if f'volume "{volume}"' in message:
            return mounted
    return " or ".join(mounted for _, mounted in pod.asked.mounts if mounted.startswith(kind)) or "a volume"


def _sandbox(pod: PodSnapshot, message: str) -> Finding:
    if found := _NO_HANDLER.search(message):
        return (
            Reason.SANDBOX_FAILED,
            f"node {pod.node} has no container runtime {found['handler']}: check pod.runtimeClassName, and what is "
            "installed there",
        )
    words = shorten(redact(_ATTEMPT.sub("", message)))
    return Reason.SANDBOX_FAILED, f"node {pod.node} cannot set pod {pod.name} up: {words}"

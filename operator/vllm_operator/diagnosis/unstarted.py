"""Why a pod is not started on its node, from the kubelet's Events: volumes, devices, network, image, and so on. Pure.

Image and configuration stand in the pod's status, too, but only when the kubelet looks at the pod again: 10 s later.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from ..api.reasons import Finding, Reason
from ..diagnosis import refusals
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod_event import PodEvent, last
from .redaction import redact, shorten

_VOLUMES = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_SANDBOX = ("FailedCreatePodSandBox", "NetworkNotReady")
_DEVICES = ("FailedPrepareDynamicResources",)
_NO_KEY = re.compile(r"references non-existent (?P<kind>config|secret) key: (?P<key>\S+)")
_IN_USE = re.compile(r'Multi-Attach error for volume "(?P<volume>[^"]+)" (?P<who>.+)')
_NO_HANDLER = re.compile(r'no runtime for "(?P<handler>[^"]+)" is configured')
_TIMED_OUT = re.compile(r"unmounted volumes=\[(?P<volumes>[^]]*)\]")
_VOLUME = re.compile(r'volume "(?P<name>[^"]+)"')
# The longest pause of the kubelet between two tries (exponentialbackoff in pkg/util/goroutinemap), and some seconds.
_RETRY_SECONDS = 125
_CLAIM = "PersistentVolumeClaim"
_KINDS = {"secret": ("Secret", Reason.SECRET_MISSING), "config": ("ConfigMap", Reason.CONFIG_MAP_MISSING)}
# Of a driver's error, this part differs each time.
_ATTEMPT = re.compile(r'(?: for (?:volume|pod) "[^"]*")|rpc error: code = \w+ desc = ')


def waits(pod: PodSnapshot) -> bool:
    """Whether the pod has a node, its container was never started, and its status does not say why."""
    return pod.scheduled and not (pod.ready or pod.started or pod.ending or pod.reason or pod.failed)


def unstarted(pod: PodSnapshot) -> Finding | None:
    """What the kubelet says; None where it has said nothing."""
    if not waits(pod):
        return None
    if pod.sandboxed:
        return _container(pod)
    # The kubelet goes from one to the next: what it said of the last is what keeps the pod now.
    event = last(pod.events, *_VOLUMES, *_DEVICES, *_SANDBOX)
    if event is None:
        return None
    if event.reason in _DEVICES:
        return _devices(pod, event.message)
    return _sandbox(pod, event.message) if event.reason in _SANDBOX else _volume(pod, _cause(pod, event).message)


def _cause(pod: PodSnapshot, event: PodEvent) -> PodEvent:
    """What was said of the same volume, where an Event only says that it timed out; else that Event."""
    timed_out = _TIMED_OUT.search(event.message)
    if not timed_out:
        return event
    tries = [one for one in pod.events if one.reason in _VOLUMES and not _TIMED_OUT.search(one.message)]
    unmounted = _listed(timed_out["volumes"])
    about = [one for one in tries if _is_about(pod, one.message, unmounted) and _seconds(one, event) <= _RETRY_SECONDS]
    return about[-1] if about else event


def _is_about(pod: PodSnapshot, message: str, unmounted: Sequence[str]) -> bool:
    """Whether a message may be about one of the volumes. Those of claims have names that the pod does not tell."""
    named, mounts = _VOLUME.search(message), dict(pod.asked.mounts)
    if named is None or named["name"] in unmounted:
        return True
    claimed = any(mounts.get(name, _CLAIM).startswith(_CLAIM) for name in unmounted)
    return claimed and named["name"] not in mounts


def _seconds(earlier: PodEvent, later: PodEvent) -> float:
    """Between two Events; 0 where the time of one is not known."""
    if not earlier.last or not later.last:
        return 0
    return (datetime.fromisoformat(later.last) - datetime.fromisoformat(earlier.last)).total_seconds()


def _listed(names: str) -> list[str]:
    return [name for name in re.split(r"[ ,]+", names) if name]


def _container(pod: PodSnapshot) -> Finding | None:
    for event in reversed(pod.events):
        if refusals.failed_pull(event):
            return refusals.image(pod, event.message)
        if event.reason == "Failed" and (missing := refusals.missing_object(pod, event.message)):
            return missing
    return None


def _volume(pod: PodSnapshot, message: str) -> Finding:
    if missing := refusals.missing_object(pod, message):
        return missing
    if match := _NO_KEY.search(message):
        kind, reason = _KINDS[match["kind"]]
        return reason, f"{_mounted(pod, kind, message)} has no key {match['key']}: add it; pod {pod.name} waits"
    if match := _IN_USE.search(message):
        return (
            Reason.VOLUME_IN_USE,
            f"volume {match['volume']} is attached to another node, and pod {pod.name} is on {pod.node} "
            f"({shorten(match['who'])}): use a ReadWriteMany claim; it waits until the other pod has ended",
        )
    if match := _TIMED_OUT.search(message):
        mounts = dict(pod.asked.mounts)
        objects = ", ".join(mounts.get(name, f"volume {name}") for name in _listed(match["volumes"]))
        cause = "node and driver do not say why: see kubectl describe"
        return Reason.VOLUME_NOT_MOUNTED, f"node {pod.node} does not mount {objects} for pod {pod.name}; {cause}"
    claims = _mounted(pod, _CLAIM, message)
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


def _devices(pod: PodSnapshot, message: str) -> Finding:
    words = shorten(redact(_ATTEMPT.sub("", message)))
    return (
        Reason.SANDBOX_FAILED,
        f"node {pod.node} cannot give pod {pod.name} the devices of its claim: {words}; check the driver of the device "
        "class there",
    )


def _sandbox(pod: PodSnapshot, message: str) -> Finding:
    if match := _NO_HANDLER.search(message):
        return (
            Reason.SANDBOX_FAILED,
            f"node {pod.node} has no container runtime {match['handler']}: check pod.runtimeClassName, and what is "
            "installed there",
        )
    words = shorten(redact(_ATTEMPT.sub("", message)))
    return Reason.SANDBOX_FAILED, f"node {pod.node} cannot set pod {pod.name} up: {words}"

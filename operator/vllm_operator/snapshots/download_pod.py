"""The pod of a download Job as it was last seen. Pure: a watch event's body in, a snapshot out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..api.conditions import find
from ..manifests.names import DOWNLOADER
from .child import owner_uid
from .container import ours

State = Literal["waits", "runs", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class DownloadPod:
    """How far the pod is, and what it left."""

    key: str
    """What it fetches: see manifests/download.py."""
    name: str
    state: State
    unscheduled: bool = False
    """Whether the scheduler has no node for it now; the cluster's autoscaler may bring one."""
    message: str = ""
    """Why it waits, or why it failed, in the words of Kubernetes or of its container."""
    owner: str = ""
    """The uid of its controlling owner: see owners.py."""


def snapshot(body: Mapping[str, Any], label: str) -> DownloadPod | None:
    """Snapshot of a pod that carries `label`; None for other pods."""
    metadata, status = body["metadata"], body.get("status") or {}
    key = (metadata.get("labels") or {}).get(label)
    if key is None:
        return None
    state, message, unscheduled = _state(status)
    owner = owner_uid(metadata) or ""
    return DownloadPod(key, metadata["name"], state, unscheduled=unscheduled, message=message, owner=owner)


def _state(status: Mapping[str, Any]) -> tuple[State, str, bool]:
    """The state, Kubernetes' or the container's words for it, and whether the scheduler has no node."""
    of_container = ours(status.get("containerStatuses") or (), DOWNLOADER).get("state") or {}
    ended, phase = of_container.get("terminated"), status.get("phase")
    if phase == "Succeeded":
        return "succeeded", "", False
    if ended or phase == "Failed":
        told = (ended.get("message") or ended.get("reason")) if ended else status.get("message")
        return "failed", told or "", False
    if "running" in of_container:
        return "runs", "", False
    scheduled = find(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return "waits", scheduled.get("message") or "", True
    return "waits", (of_container.get("waiting") or {}).get("message") or "", False

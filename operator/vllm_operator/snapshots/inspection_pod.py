"""The pod of an inspect Job as it was last seen. Pure: a watch event's body in, a snapshot out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api.limits import EVENT_CHARACTERS, text_of
from .child import owner_uid


@dataclass(frozen=True, slots=True)
class InspectionPod:
    """What became of one inspection, and what it left."""

    key: str
    """What was inspected: see manifests/inspection.py."""
    ended: bool
    message: str
    waits: str
    """Why it has not started, in the words of the scheduler or the kubelet; empty where it has, or takes its time."""
    owner: str
    """The uid of its controlling owner: see owners.py."""


def snapshot(body: Mapping[str, Any], label: str) -> InspectionPod | None:
    """Snapshot of a pod that carries `label`; None for other pods."""
    key = (body["metadata"].get("labels") or {}).get(label)
    if key is None:
        return None
    owner = owner_uid(body["metadata"]) or ""
    status = body.get("status") or {}
    containers: list[Mapping[str, Any]] = status.get("containerStatuses") or [{}]
    ended = containers[0].get("state", {}).get("terminated")
    if ended:
        return InspectionPod(key, True, ended.get("message") or ended.get("reason") or "", "", owner)
    # Without a container's word: evicted, or past the Job's deadline.
    return InspectionPod(
        key, status.get("phase") in ("Failed", "Succeeded"), status.get("message") or "", _waits(status), owner
    )


def _waits(status: Mapping[str, Any]) -> str:
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return text_of(scheduled.get("message") or scheduled.get("reason"), EVENT_CHARACTERS)
    waiting = (status.get("containerStatuses") or [{}])[0].get("state", {}).get("waiting", {})
    if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
        return ""
    return text_of(waiting.get("message") or waiting["reason"], EVENT_CHARACTERS)

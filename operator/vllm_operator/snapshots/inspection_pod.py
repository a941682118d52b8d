"""The pod of an inspect Job as it was last seen. Pure: a watch event's body in, a snapshot out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api.limits import EVENT_CHARACTERS, WORD_CHARACTERS, text_of
from ..manifests.names import INSPECTOR
from .child import owner_uid
from .container import ours


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
    reason: str = ""
    """The kubelet's word for why it does not start the container; empty where the scheduler says why."""
    node: str = ""


def snapshot(body: Mapping[str, Any], label: str) -> InspectionPod | None:
    """Snapshot of a pod that carries `label`; None for other pods."""
    key = (body["metadata"].get("labels") or {}).get(label)
    if key is None:
        return None
    owner = owner_uid(body["metadata"]) or ""
    status = body.get("status") or {}
    state = ours(status.get("containerStatuses") or (), INSPECTOR).get("state") or {}
    ended = state.get("terminated")
    if ended:
        return InspectionPod(key, True, ended.get("message") or ended.get("reason") or "", "", owner)
    # Without a container's word: evicted, or past the Job's deadline.
    gone = status.get("phase") in ("Failed", "Succeeded")
    waits, reason = _waits(status, state.get("waiting") or {})
    node = (body.get("spec") or {}).get("nodeName") or ""
    return InspectionPod(key, gone, status.get("message") or "", waits, owner, reason, node)


def _waits(status: Mapping[str, Any], waiting: Mapping[str, Any]) -> tuple[str, str]:
    """The words, and the kubelet's reason."""
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return text_of(scheduled.get("message") or scheduled.get("reason"), EVENT_CHARACTERS), ""
    reason = text_of(waiting.get("reason"), WORD_CHARACTERS)
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return "", ""
    return text_of(waiting.get("message") or reason, EVENT_CHARACTERS), reason

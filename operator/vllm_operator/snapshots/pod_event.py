"""Kubernetes Events about a pod, as far as they explain it. Pure: an Event's body in, a snapshot out.

They tell what a pod's status leaves out: which volume is missing, and which probe had the container killed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..api.limits import EVENT_CHARACTERS, WORD_CHARACTERS, text_of


@dataclass(frozen=True, slots=True)
class PodEvent:
    """One Event, or the last of several equal ones."""

    reason: str
    message: str
    last: str
    """When it happened last, in RFC 3339 to the second."""


def snapshots(bodies: Iterable[Mapping[str, Any]]) -> tuple[PodEvent, ...]:
    """The Events in the order in which they happened last."""
    return tuple(sorted((_snapshot(body) for body in bodies), key=lambda event: event.last))


def _snapshot(body: Mapping[str, Any]) -> PodEvent:
    # Older reporters fill in lastTimestamp; newer ones eventTime, and series once it has happened again.
    series = body.get("series") or {}
    times = (body.get("lastTimestamp"), series.get("lastObservedTime"), body.get("eventTime"))
    last = next((str(time) for time in times if time), "")
    reason, message = text_of(body.get("reason"), WORD_CHARACTERS), text_of(body.get("message"), EVENT_CHARACTERS)
    return PodEvent(reason, message, f"{last[:19]}Z" if last else "")


def last(events: Iterable[PodEvent], *reasons: str) -> PodEvent | None:
    """The newest Event with one of these reasons."""
    return next((event for event in reversed(tuple(events)) if event.reason in reasons), None)

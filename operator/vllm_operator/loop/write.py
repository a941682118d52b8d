"""When a status is written, and that a transition of Ready is logged and posted as an Event. Knows no kind by name.

An idle fleet writes nothing, a condition that changes is written at once, and what only tells progress waits: for the
next change, which often follows, and for the last write to be some time ago.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..again import Again
from ..api.conditions import ConditionType, find
from ..api.resource import Reference
from ..cluster import Cluster

log = logging.getLogger(__name__)

# What only tells how far the pods are is written no more often than this; a change of a condition at once.
PROGRESS_SECONDS = 10.0
# And not at once, as the next change of a condition often follows: one write less.
SETTLE_SECONDS = 4.0

Status = Mapping[str, Any]


class Written(NamedTuple):
    """A status that we wrote, and that the watch has not shown yet."""

    resource_version: int
    status: str
    """As JSON, a quarter of its size: it stays until the object is looked at again, of most of a fleet for long."""


def is_progress(before: Status, after: Status) -> bool:
    """Whether two statuses say the same of each condition, but for its message, and of the same spec."""
    return _outline(before) == _outline(after)


def _outline(status: Status) -> list[Any]:
    conditions = [(entry["type"], entry["status"], entry["reason"]) for entry in status.get("conditions") or ()]
    return [status.get("observedGeneration"), *conditions]


def seconds_to_hold_progress(now: float, written_at: float | None, differs_since: float) -> float:
    """For how long a status that only tells progress stays unwritten: until it has settled, and the last one is old."""
    due = differs_since + SETTLE_SECONDS
    return max(due if written_at is None else max(due, written_at + PROGRESS_SECONDS), now) - now


class StatusWriter:
    """Writes the status of one object. Losing it costs a write, never correctness."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster, self._clock = cluster, clock
        self.unseen: Written | None = None
        self._written_at: float | None = None
        # Since when the status that stands is not what it should be.
        self._differs_since: float | None = None

    @property
    def has_written(self) -> bool:
        """Whether a status was written."""
        return self._written_at is not None

    def newest(self, resource_version: int, shown: Status) -> dict[str, Any]:
        """The status as it stands, of the one that the watch shows and our last write."""
        if self.unseen and self.unseen.resource_version > resource_version:
            return dict(json.loads(self.unseen.status))
        self.unseen = None
        return dict(shown)

    async def write(self, about: Reference, before: Status, after: dict[str, Any]) -> Again | None:
        """Writes the status if it differs, or says when that is worth it. Raises GoneError where the object is gone."""
        if after == before:
            self._differs_since = None
            return None
        now = self._clock()
        self._differs_since = now if self._differs_since is None else self._differs_since
        left = seconds_to_hold_progress(now, self._written_at, self._differs_since)
        if left > 0 and is_progress(before, after):
            return Again(left, "the status only tells progress")
        result = await self._cluster.apply_status(about, after)
        self._differs_since, self._written_at = None, self._clock()
        self.unseen = Written(int(result["metadata"]["resourceVersion"]), json.dumps(after))
        await self._tell(about, find(before, ConditionType.READY), after)
        return None

    async def _tell(self, about: Reference, old: Mapping[str, Any], after: Status) -> None:
        new = find(after, ConditionType.READY)
        if (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason")):
            return
        _log_transition(about, new)
        stalled = bool(find(after, ConditionType.STALLED))
        await self._cluster.post_event(about, "Warning" if stalled else "Normal", new["reason"], new["message"])


def _log_transition(about: Reference, new: Mapping[str, Any]) -> None:
    """One line for people, and its parts as fields for the format json."""
    fields = {"namespace": about.key.namespace, about.kind.lower(): about.key.name}
    fields |= {"ready": new["status"], "reason": new["reason"]}
    log.info("%s Ready=%s reason=%s: %s", about.key, new["status"], new["reason"], new["message"], extra=fields)

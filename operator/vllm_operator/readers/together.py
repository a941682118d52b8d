"""Which service of a namespace inspects for all that ask the same: three hundred services of one model need one Job.

Those ask the same whose inspect Jobs would differ in nothing but their names. One leads and has the Job; the others
hear what it says. When it goes, or gets no Job for a reason of its own, another one leads. What was found does not
count for those that come later: the model may be another by then. Losing all of this costs a Job, never a result.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..api.resource import InferenceService, Key
from ..assess.fits import Inspection
from ..manifests import inspection
from ..settings import Settings

# What was found counts for so long for a service that comes after it: those that are created together do not all come
# before the Job has ended.
FRESH_SECONDS = 5.0
# It counts as well for a new service that was created no later than this after the one that inspected, by the API
# server's clock: of a thousand at once, the last is looked at for the first time after half a minute.
TOGETHER_SECONDS = 10.0
# By then all of them were looked at.
KEPT_SECONDS = 120.0
# By then the Job of the one that leads is there, or something keeps it from having one: a name that is taken, a quota.
JOBLESS_SECONDS = 10.0


@dataclass(slots=True)
class _Group:
    """Services that ask the same."""

    leader: Key | None
    since: float
    said: Inspection
    created: str = ""
    """When its leader was; empty where that was edited since."""
    has_job: bool = False
    found_at: float = 0.0
    members: set[Key] = field(default_factory=set)

    def is_fresh(self, now: float) -> bool:
        """Whether what was found counts for one that comes now."""
        return bool(self.said.packed) and now - self.found_at <= FRESH_SECONDS

    def came_together(self, created: str) -> bool:
        """Whether a service was created with the one that found it, or before that."""
        if not (self.said.packed and created and self.created):
            return False
        apart = datetime.fromisoformat(created) - datetime.fromisoformat(self.created)
        return apart <= timedelta(seconds=TOGETHER_SECONDS)

    def is_led(self, now: float) -> bool:
        """Whether somebody has the Job, or will soon."""
        return self.leader is not None and (self.has_job or now - self.since <= JOBLESS_SECONDS)


class Together:
    """The inspections of all services. `requeue(key)` makes a service come back; `clock()` tells seconds."""

    def __init__(self, settings: Settings, requeue: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._settings, self._requeue, self._clock = settings, requeue, clock
        self._groups: dict[str, _Group] = {}
        self._asked: dict[Key, str] = {}
        # Those whose answer may still count, in the order in which they found it.
        self._found: dict[str, _Group] = {}

    @property
    def possible(self) -> bool:
        """Whether the operator knows the image that inspects."""
        return bool(self._settings.images.operator)

    def heard(self, service: InferenceService, *, has_job: bool, anew: bool, created: str = "") -> Inspection | None:
        """What another service knows by now for this one; None where this one is to inspect.

        `anew`: what was found before does not count, as this service had it. `created`: when a service was that was
        never edited. Only where `possible`.
        """
        key, now, asked = service.key, self._clock(), self._asks(service)
        self._forget_old(now)
        if self._asked.get(key) != asked:
            self.leave(key)
            known = self._groups.get(asked)
            if known and not anew and (known.is_fresh(now) or known.came_together(created)):
                return known.said
            if known is None or not known.said.pending:
                self._lead(asked, service, created)
        group = self._groups[asked]
        self._asked[key] = asked
        group.members.add(key)
        if group.leader != key and group.said.packed:
            return group.said
        if not group.is_led(now) and group.leader != key:
            self._lead(asked, service, created)
        if group.leader == key:
            group.has_job = group.has_job or has_job
        return None if has_job or group.leader == key else group.said

    def tell(self, key: Key, found: Inspection) -> None:
        """What a service that inspects knows by now; the others come back where that is news."""
        asked = self._asked.get(key, "")
        group = self._groups.get(asked)
        if group is None or group.said == found or (group.leader != key and not found.packed):
            return
        group.said = found
        if found.packed:
            group.found_at = self._clock()
            self._found[asked] = group
        self._call(group, key)

    def leave(self, key: Key) -> None:
        """A service asks for nothing any more: it knows, or names another model, or is gone."""
        asked = self._asked.pop(key, "")
        group = self._groups.get(asked)
        if group is None:
            return
        group.members.discard(key)
        if group.leader == key and not group.said.packed:
            group.leader = None
            self._call(group, key)
        if not group.members and asked not in self._found:
            del self._groups[asked]

    def _asks(self, service: InferenceService) -> str:
        """Names what a service wants inspected, and how."""
        job = inspection(replace(service, name="any", uid="any"), self._settings)
        return f"{service.namespace}/{hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()}"

    def _lead(self, asked: str, service: InferenceService, created: str) -> None:
        """Makes a service the one that inspects."""
        pending, now = Inspection(service.inspected, pending=True), self._clock()
        group = self._groups.setdefault(asked, _Group(service.key, now, pending))
        group.leader, group.since, group.has_job, group.said = service.key, now, False, pending
        group.created = created
        self._found.pop(asked, None)

    def _call(self, group: _Group, but: Key) -> None:
        for member in group.members - {but}:
            self._requeue(member)

    def _forget_old(self, now: float) -> None:
        """Those who were there when it was found may still have to hear of it: the last that leaves takes it along."""
        while self._found:
            asked, group = next(iter(self._found.items()))
            if now - group.found_at <= KEPT_SECONDS:
                return
            del self._found[asked]
            if not group.members:
                self._groups.pop(asked, None)

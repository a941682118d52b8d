"""One ServingClass: whether it can be used, written into its status. Nothing else is done about a class."""

from collections.abc import Iterable
from datetime import UTC, datetime

from ..api import API_VERSION, CLASS_KIND
from ..api.resource import Key, Reference
from ..api.serving_class import ServingClass
from ..api.times import written
from ..cluster import GoneError
from ..loop.kinds import Surroundings
from ..loop.write import StatusWriter
from ..snapshots.own import ObjectSnapshot
from ..snapshots.serving_class import UnreadClass
from .status import status, verdicts

STATUSES, PARSED = "class statuses", "parsed classes"


class ClassReconciler:
    """Reconciles ServingClasses."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._writers: dict[Key, tuple[str, StatusWriter]] = {}

    def known(self) -> Iterable[Key]:
        """All classes."""
        return list(self._surroundings.indices.get(STATUSES, {}))

    def forget(self, key: Key) -> None:
        """The class is gone, or another operator sees to it."""
        self._writers.pop(key, None)

    async def reconcile(self, key: Key) -> float | None:
        """Brings the status of a class up to date. Returns seconds after which to look again."""
        shown: ObjectSnapshot | None = next(iter(self._surroundings.indices[STATUSES].get(key, ())), None)
        own: ServingClass | UnreadClass | None = next(iter(self._surroundings.indices[PARSED].get(key, ())), None)
        if shown is None or own is None:
            self.forget(key)
            return None
        writer = self._writer(key, shown.uid)
        before = writer.newest(shown.resource_version, shown.status)
        parsed = [one for found in self._surroundings.indices[PARSED].values() for one in found]
        readable = [one for one in parsed if isinstance(one, ServingClass)]
        now = written(datetime.now(UTC))
        found = verdicts(own, readable, self._surroundings.settings)
        after = status(found, shown.generation, before, now)
        try:
            again = await writer.write(Reference(API_VERSION, CLASS_KIND, key, shown.uid), before, after)
        except GoneError:
            return None
        return again.seconds if again else None

    def _writer(self, key: Key, uid: str) -> StatusWriter:
        if key not in self._writers or self._writers[key][0] != uid:
            self._writers[key] = (uid, StatusWriter(self._surroundings.cluster, self._surroundings.clock))
        return self._writers[key][1]

"""The newest Event about an object that tells by nothing else why it has no pods. They are never watched."""

from collections.abc import Iterator

from ..again import Again
from ..api.limits import OverLimitError
from ..snapshots.pod_event import PodEvent, last
from .events import LATER_LOOK_SECONDS, ReadEvents
from .reader import Clock

REFUSED = "FailedCreate"
"""The reason of Events about a Job whose pods the API server refuses."""
# A pod is made at once, or refused.
FIRST_SECONDS = 3.0
# After the first look; each further one is so much later than the one before.
NEXT_SECONDS = 10.0


class Said:
    """What the newest Event with one of some reasons says of one object. Losing it costs a request.

    `read(about)` gets the Events that a field selector names.
    """

    def __init__(self, read: ReadEvents, clock: Clock, *reasons: str) -> None:
        self._read, self._clock, self._reasons = read, clock, reasons
        self._about, self._due, self._looks = "", 0.0, 0
        self._event: PodEvent | None = None

    async def look(self, about: str, since: str = "") -> str:
        """Its words, as they were read some time ago at most; empty where there are none.

        `about` names the object; empty: none, which forgets what was said. `since`: only what was said after this time,
        in RFC 3339, counts.
        """
        now = self._clock()
        if about != self._about:
            self._about, self._due, self._looks, self._event = about, now + FIRST_SECONDS, 0, None
        if about and now >= self._due:
            self._looks += 1
            self._due = now + min(NEXT_SECONDS * self._looks, LATER_LOOK_SECONDS)
            # What was said an hour ago is gone, and still holds.
            self._event = await self._newest(about) or self._event
        event = self._event
        return event.message if event and (not since or event.last > since) else ""

    def waits(self) -> Iterator[Again]:
        """The next look, as long as there is an object to look at."""
        left = self._due - self._clock()
        if self._about and left > 0:
            yield Again(left, "the Events of an object without pods are due")

    async def _newest(self, about: str) -> PodEvent | None:
        try:
            return last(await self._read(about), *self._reasons)
        except OverLimitError:
            return None

"""The newest Event about an object that tells by nothing else why it has no pods. They are never watched.

They are read in the background, as those of pods are (events.py).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..again import Again
from ..api.limits import OverLimitError
from ..snapshots.pod_event import PodEvent, last
from .events import LATER_LOOK_SECONDS, ReadEvents
from .reader import Clock, Pending, Turn

REFUSED = "FailedCreate"
"""The reason of Events about a Job whose pods the API server refuses."""
# A pod is made at once, or refused.
FIRST_SECONDS = 3.0
# After the first look; each further one is so much later than the one before.
NEXT_SECONDS = 10.0


class Events(NamedTuple):
    """How the Events of a namespace are read in the background."""

    read: ReadEvents
    """Gets those that a field selector names."""
    turn: Turn
    done: Callable[[], None]
    """Is called when some were read."""


class Said:
    """What the newest Event with one of some reasons says of one object. Losing it costs a request."""

    def __init__(self, events: Events, clock: Clock, *reasons: str) -> None:
        self._events, self._clock, self._reasons = events, clock, reasons
        self._about, self._due, self._looks = "", 0.0, 0
        self._event: PodEvent | None = None
        self._pending = Pending[str](clock, events.done)

    def look(self, about: str, since: str = "") -> str:
        """Its words, as they were read some time ago at most; empty where there are none, or none were read yet.

        `about` names the object; empty: none, which forgets what was said. `since`: only what was said after this time,
        in RFC 3339, counts.
        """
        now = self._clock()
        if about != self._about:
            self._about, self._due, self._looks, self._event = about, now + FIRST_SECONDS, 0, None
        if about and now >= self._due and about not in self._pending:
            self._looks += 1
            self._due = now + min(NEXT_SECONDS * self._looks, LATER_LOOK_SECONDS)
            self._pending.start(about, self._read(about))
        event = self._event
        return event.message if event and (not since or event.last > since) else ""

    def waits(self) -> Iterator[Again]:
        """The next look, as long as there is an object to look at."""
        if self._about and self._about not in self._pending:
            yield Again(max(self._due - self._clock(), 0.1), "the Events of an object without pods are due")

    async def _read(self, about: str) -> None:
        async def read() -> tuple[PodEvent, ...]:
            wanted = self._about == about  # its pods may be there by now
            return await self._events.read(about) if wanted else ()

        try:
            newest = last(await self._events.turn(read), *self._reasons)
            if self._about == about:
                # What was said an hour ago is gone, and still holds.
                self._event = newest or self._event
        except OverLimitError:
            pass

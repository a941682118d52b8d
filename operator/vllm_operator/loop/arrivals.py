"""When services arrive by the hundred: what of one service gives way to the others. Decides order, never whether.

A Deployment costs the API server ten times what its apply does (pods, nodes, endpoints), and a status is worth less
than another service's children. So pods wait until no newer service comes into their namespace, and first statuses
until all there have their pods; neither waits longer than LONGEST_SECONDS. Nobody waits for another namespace: a team
that makes services without end would hold up all others.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from ..api.resource import Key

QUIET_SECONDS = 0.4
CHECK_SECONDS = 0.1
# Released at each check: a service that comes late is not queued behind all of them.
BATCH = 32
# A stream of services that never ends holds nobody up for longer.
LONGEST_SECONDS = 10.0


@dataclass(slots=True)
class _Crowd:
    """The services of one namespace that were seen for the first time and have no pods yet; never empty."""

    newest: Key
    newest_since: float
    since: dict[Key, float] = field(default_factory=dict)

    def holds(self, key: Key, now: float) -> bool:
        """Whether the pods of one wait, as newer services still come in. The newest never waits."""
        quiet = now - self.newest_since >= QUIET_SECONDS
        return key != self.newest and not quiet and now - self.since[key] < LONGEST_SECONDS


class Arrivals:
    """Who gives way to whom. `requeue(key)` makes a key come back; `clock()` tells seconds."""

    def __init__(self, requeue: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._requeue, self._clock = requeue, clock
        self._crowds: dict[str, _Crowd] = {}
        self._held: set[Key] = set()
        self._timer: asyncio.TimerHandle | None = None

    def arrived(self, key: Key) -> None:
        """A service was seen for the first time."""
        now = self._clock()
        crowd = self._crowds.setdefault(key.namespace, _Crowd(key, now))
        crowd.newest, crowd.newest_since = key, now
        crowd.since[key] = now

    def settled(self, key: Key) -> None:
        """A service has its pods, or gets none for a reason of its own, or is gone."""
        self._held.discard(key)
        if crowd := self._crowds.get(key.namespace):
            crowd.since.pop(key, None)
            if not crowd.since:
                del self._crowds[key.namespace]

    def is_held(self, key: Key) -> bool:
        """Whether a service waits: it comes back by itself."""
        return key in self._held

    def holds_pods(self, key: Key) -> bool:
        """Whether a service's pods wait now."""
        crowd = self._crowds.get(key.namespace)
        if crowd is None or key not in crowd.since or not crowd.holds(key, self._clock()):
            return False
        self._held.add(key)
        self._check_later()
        return True

    def holds_status(self, namespace: str) -> bool:
        """Whether first statuses wait for the pods of services that came into a namespace at the same time."""
        crowd, now = self._crowds.get(namespace), self._clock()
        return crowd is not None and any(now - since < LONGEST_SECONDS for since in crowd.since.values())

    def _check_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._clock()
        over = (key for key in self._held if not self._crowds[key.namespace].holds(key, now))
        for key in list(islice(over, BATCH)):
            self._held.discard(key)
            self._requeue(key)
        if self._held:
            self._check_later()

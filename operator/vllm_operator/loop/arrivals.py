"""When services arrive by the hundred: what of one service gives way to the others. Decides order, never whether.

A Deployment costs the API server ten times what its apply does (pods, nodes, endpoints), and a status is worth less
than another service's children. So pods wait until no newer service comes in, and first statuses until all have their
pods; neither waits longer than LONGEST_SECONDS.
"""

import asyncio
from collections.abc import Callable
from itertools import islice

from ..api.resource import Key

QUIET_SECONDS = 0.4
CHECK_SECONDS = 0.1
# Released at each check: a service that comes late is not queued behind all of them.
BATCH = 32
# A stream of services that never ends holds nobody up for longer.
LONGEST_SECONDS = 10.0


class Arrivals:
    """The services that were seen for the first time and have no pods yet. `requeue(key)` makes a key come back."""

    def __init__(self, requeue: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._requeue, self._clock = requeue, clock
        self._without_pods: dict[Key, float] = {}
        self._newest: tuple[float, Key] | None = None
        self._held: set[Key] = set()
        self._timer: asyncio.TimerHandle | None = None

    def arrived(self, key: Key) -> None:
        """A service was seen for the first time."""
        now = self._clock()
        self._without_pods[key] = now
        self._newest = (now, key)

    def settled(self, key: Key) -> None:
        """A service has its pods, or gets none for a reason of its own, or is gone."""
        self._without_pods.pop(key, None)
        self._held.discard(key)

    def is_held(self, key: Key) -> bool:
        """Whether a service waits: it comes back by itself."""
        return key in self._held

    def holds_pods(self, key: Key) -> bool:
        """Whether a service's pods wait now, as newer services still come in. The newest never waits."""
        since = self._without_pods.get(key)
        if since is None or self._newest is None or self._newest[1] == key or self._is_over(since):
            return False
        self._held.add(key)
        self._check_later()
        return True

    def holds_status(self) -> bool:
        """Whether first statuses wait for the pods of services that came at the same time."""
        now = self._clock()
        return any(now - since < LONGEST_SECONDS for since in self._without_pods.values())

    def _is_over(self, since: float) -> bool:
        now = self._clock()
        quiet = self._newest is None or now - self._newest[0] >= QUIET_SECONDS
        return quiet or now - since >= LONGEST_SECONDS

    def _check_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        over = (key for key in self._held if self._is_over(self._without_pods.get(key, 0.0)))
        for key in list(islice(over, BATCH)):
            self._held.discard(key)
            self._requeue(key)
        if self._held:
            self._check_later()

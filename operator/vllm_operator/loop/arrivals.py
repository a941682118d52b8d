"""When services arrive by the hundred, first statuses give way to children. Decides order, never whether.

A first status is worth less than another service's children, and a later one says more. So first statuses wait until
all services that came into their namespace have theirs, and no longer than LONGEST_SECONDS. Nobody waits for another
namespace: a team that makes services without end would hold up all others.
"""

from collections.abc import Callable

from ..api.resource import Key

# A stream of services that never ends holds nobody up for longer.
LONGEST_SECONDS = 10.0


class Arrivals:
    """Who gives way to whom. `clock()` tells seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By namespace, when each service without children was seen for the first time, the newest last; none is empty.
        self._since: dict[str, dict[Key, float]] = {}

    def arrived(self, key: Key) -> None:
        """A service was seen for the first time."""
        self.settled(key)
        self._since.setdefault(key.namespace, {})[key] = self._clock()

    def settled(self, key: Key) -> None:
        """A service has its children, or gets none for a reason of its own, or is gone."""
        if crowd := self._since.get(key.namespace):
            crowd.pop(key, None)
            if not crowd:
                del self._since[key.namespace]

    def holds_status(self, namespace: str) -> bool:
        """Whether first statuses wait for the children of services that came into a namespace at the same time."""
        crowd = self._since.get(namespace)
        return crowd is not None and self._clock() - next(reversed(crowd.values())) < LONGEST_SECONDS

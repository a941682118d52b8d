"""How late the event loop is: everything waits for it, the Lease and /healthz too. Measured, not guessed.

A step that takes long shows here whatever it is. What anybody else's data can make long does not belong in the loop.
"""

import asyncio
from collections import deque

from .. import metrics

LOOK_SECONDS = 0.5
# As long as a scrape may be apart: what was late between two of them is seen.
WINDOW_SECONDS = 60.0


class Lag:
    """The longest that the loop was late within the window."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=int(WINDOW_SECONDS / LOOK_SECONDS))

    def longest(self) -> float:
        """In seconds. Asked for by another thread when the metrics are scraped."""
        seen = list(self._seen)
        newest = seen[-1][0] if seen else 0.0
        return max((late for at, late in seen if newest - at <= WINDOW_SECONDS), default=0.0)

    async def measure(self) -> None:
        """Looks until cancelled."""
        loop = asyncio.get_running_loop()
        metrics.loop_lag.set_function(self.longest)
        while True:
            due = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time()
            self._seen.append((now, max(now - due, 0.0)))

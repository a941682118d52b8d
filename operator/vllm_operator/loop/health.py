"""/healthz, for the probes of the operator's own pod: what the event loop found last, and whether it still runs.

Answered beside the event loop, and at once: whoever connects cannot have it wait, nor have threads wait for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from .answering import answer

# How often the event loop looks for trouble.
PULSE_SECONDS = 1.0
# As long as the chart has the kubelet wait for an answer.
LATE_SECONDS = 5.0


class _Pulse:
    """What the event loop found, and when."""

    def __init__(self, trouble: Callable[[], str]) -> None:
        self._trouble, self._loop = trouble, asyncio.get_running_loop()
        self.beat()

    def beat(self) -> None:
        """Looks, and comes back. No task, which kopf would cancel as it ends."""
        self._found, self._at = self._trouble(), time.monotonic()
        self._next = self._loop.call_later(PULSE_SECONDS, self.beat)

    def stop(self) -> None:
        """Looks no more."""
        self._next.cancel()

    def found(self) -> str:
        """What only a restart helps against; empty when all is well. From any thread."""
        late = time.monotonic() - self._at
        return f"the event loop has not run for {late:.0f} s" if late > PULSE_SECONDS + LATE_SECONDS else self._found


@asynccontextmanager
async def serve(port: int, trouble: Callable[[], str]) -> AsyncIterator[int]:
    """Answers at the port: 200, or 503 where `trouble()` says that only a restart helps, or the event loop is stuck.

    Yields the port, which is another one where 0 is given. Raises OSError where it is taken.
    """
    pulse = _Pulse(trouble)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        known = environ["PATH_INFO"] == "/healthz"
        found = pulse.found() if known else ""
        start_response("503 Service Unavailable" if found else "200 OK" if known else "404 Not Found", [])
        return [(found or "ok").encode() if known else b""]

    server = answer(port, app)
    try:
        yield server.server_port
    finally:
        pulse.stop()
        await asyncio.to_thread(server.shutdown)
        server.server_close()

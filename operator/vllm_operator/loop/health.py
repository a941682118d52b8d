"""/healthz and /readyz, for the probes of the operator's own pod: what the event loop found last, and whether it runs.

Answered beside the event loop, and at once: whoever connects cannot have it wait, nor have threads wait for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from .answering import answer

# How often the event loop looks for trouble.
PULSE_SECONDS = 1.0
# As long as the chart has the kubelet wait for an answer.
LATE_SECONDS = 5.0


class _Pulse:
    """What the event loop found by each of some looks, and when."""

    def __init__(self, looks: Mapping[str, Callable[[], str]]) -> None:
        self._looks, self._loop = looks, asyncio.get_running_loop()
        self.beat()

    def beat(self) -> None:
        """Looks, and comes back. No task, which kopf would cancel as it ends."""
        self._found = {path: look() for path, look in self._looks.items()}
        self._at = time.monotonic()
        self._next = self._loop.call_later(PULSE_SECONDS, self.beat)

    def stop(self) -> None:
        """Looks no more."""
        self._next.cancel()

    def found(self, path: str) -> str:
        """What one of the looks found, or that the event loop is stuck; empty when all is well. From any thread."""
        late = time.monotonic() - self._at
        if late > PULSE_SECONDS + LATE_SECONDS:
            return f"the event loop has not run for {late:.0f} s"
        return self._found[path]


@asynccontextmanager
async def serve(port: int, looks: Mapping[str, Callable[[], str]]) -> AsyncIterator[int]:
    """Answers at the port, for each path: 200, or 503 where its look finds something, or the event loop is stuck.

    Yields the port, which is another one where 0 is given. Raises OSError where it is taken.
    """
    pulse = _Pulse(looks)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        known = environ["PATH_INFO"] in looks
        found = pulse.found(environ["PATH_INFO"]) if known else ""
        start_response("503 Service Unavailable" if found else "200 OK" if known else "404 Not Found", [])
        return [(found or "ok").encode() if known else b""]

    server = answer(port, app)
    try:
        yield server.server_port
    finally:
        pulse.stop()
        await asyncio.to_thread(server.shutdown)
        server.server_close()

"""How far a batch is, for who waits for it: a bar on a terminal, else a line whenever something has changed."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TextIO

from ...api import BATCH_KIND
from ...api.conditions import ConditionType, find, holds
from ...api.resource import Body
from ..fleet.client import FleetError, LoggedOutError, NotThereError, UserClient
from ..terminal import printable

POLL_SECONDS = 2.0
# What a change of a claim or of a node mends is said at once, and mended within a minute or not by itself.
MOST_STALLED = 30
# A laptop that slept, a control plane that is upgraded: ten minutes.
MOST_MISSES = 300
_BAR = 24
Sleep = Callable[[float], Awaitable[None]]


@dataclass
class Screen:
    """Where progress is shown."""

    stream: TextIO
    _last: str = field(default="", init=False)

    def show(self, text: str) -> None:
        """Shows where things stand now. On a terminal it takes the place of what stood there."""
        line = " ".join(printable(text).split())
        if line == self._last:
            return
        self._last = line
        if self.stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\x1b[K{line[:width]}")
        else:
            self.stream.write(f"{line}\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """Writes what is to stay, as a whole."""
        self.close()
        self.stream.write(f"{printable(text)}\n")
        self.stream.flush()

    def close(self) -> None:
        """Leaves the last line where it is."""
        if self._last and self.stream.isatty():
            self.stream.write("\n")
            self.stream.flush()
        self._last = ""


def standing(batch: Body, *, bar: bool) -> str:
    """A line that says how far a batch is."""
    status, name = batch.get("status") or {}, batch["metadata"]["name"]
    ready = find(status, ConditionType.READY)
    if not ready:
        return f"{name}: waits for the operator"
    total, done, failed = (int(status.get(one) or 0) for one in ("total", "done", "failed"))
    if not total or status.get("done") is None:
        return f"{name}: {ready.get('message', '')}"
    over = min(done + failed, total)
    if not bar:  # of a night, no more than a hundred lines
        return f"{name}: {100 * over // total}% of {total:,} requests"
    full = _BAR * over // total
    parts = [
        f"{100 * over // total}%",
        f"{done:,} of {total:,} answered",
        f"{failed:,} failed" if failed else "",
        f"{status['tokensPerSecond']:,} tokens/s" if status.get("tokensPerSecond") else "",
        f"ends {status['estimatedEnd']}" if status.get("estimatedEnd") else str(ready.get("message", "")),
    ]
    return f"{name}: [{'#' * full}{'-' * (_BAR - full)}] {', '.join(filter(None, parts))}"


async def follow(client: UserClient, namespace: str, name: str, screen: Screen, sleep: Sleep = asyncio.sleep) -> Body:
    """The batch when it has ended. Raises FleetError where nobody would wait longer."""
    misses = stalled = 0
    while True:
        try:
            batch = await client.get(BATCH_KIND, namespace, name)
            misses = 0
        except (LoggedOutError, NotThereError):
            raise
        except FleetError as error:
            misses += 1
            if misses > MOST_MISSES:
                raise
            screen.show(f"{name}: {error}; trying again")
        else:
            screen.show(standing(batch, bar=screen.stream.isatty()))
            status = batch.get("status")
            if holds(status, ConditionType.COMPLETE) or holds(status, ConditionType.FAILED):
                return batch
            stalled = stalled + 1 if holds(status, ConditionType.STALLED) else 0
            if stalled > MOST_STALLED:
                why = find(status, ConditionType.STALLED).get("message", "")
                raise FleetError(f"batch {name} cannot go on: {why}")
        await sleep(POLL_SECONDS)

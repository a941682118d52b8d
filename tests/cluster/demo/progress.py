"""What the demo prints: a line for each step with its time, and one that changes while something is awaited."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.host import duration


class Progress:
    """Prints steps, and keeps how long each took."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._live = sys.stdout.isatty()
        self._begin = time.monotonic()
        self.timings: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step, and say at its end how long it took."""
        number = len(self.timings) + 1
        begin = time.monotonic()
        self.line(f"[{number}/{self._steps}] {title}")
        yield
        seconds = time.monotonic() - begin
        self.timings.append((title, seconds))
        self.line(f"[{number}/{self._steps}] {title}: done in {duration(seconds)}")

    def line(self, text: str = "") -> None:
        """Print a line that stays."""
        print(f"\r\033[K{text}" if self._live else text, flush=True)

    def waiting(self, what: str, since: float, doing: str) -> None:
        """Show what is awaited, for how long, and what is going on; on a terminal this line changes in place."""
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            text = " ".join(f"  waiting for {what} ({time.monotonic() - since:.0f} s): {doing}".splitlines())
            print(f"\r\033[K{text[:width]}", end="", flush=True)

    def summary(self) -> None:
        """Print the time of each step and of all."""
        width = max(len(title) for title, _ in self.timings)
        for title, seconds in self.timings:
            self.line(f"  {title:<{width}}  {duration(seconds):>12}")
        self.line(f"  {'together':<{width}}  {duration(time.monotonic() - self._begin):>12}")

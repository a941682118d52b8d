"""What the download Job says while it runs, a line of JSON each, and of how it ended. Pure: both sides use it.

The operator reads the lines from the pod's log. Anybody's code may write there, so each number is held in its range.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from ..api import limits
from ..api.conditions import ConditionType
from ..api.reasons import Reason
from .report import InspectionError

PERIOD_SECONDS = 5.0
_MARK = "progress"
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is. In bytes, and bytes per second."""

    done: int
    total: int
    rate: int = 0
    checks: bool = False
    """Whether all is there, and is compared with what the hub says of it."""
    waits: bool = False
    """Whether another Job fetches the same files into the same claim."""

    @property
    def percent(self) -> int:
        """Whole percents; 100 only when all is there."""
        return 100 if self.done >= self.total else int(100 * self.done / self.total)

    @property
    def seconds_left(self) -> int | None:
        """At this rate; None where there is none."""
        return int((self.total - self.done) / self.rate) if self.rate and self.done < self.total else None


def line(progress: Progress) -> str:
    """The line of the log."""
    return json.dumps({_MARK: asdict(progress)})


def last(log: str) -> Progress | None:
    """The newest progress in the last lines of a log; None where there is none."""
    return next(_read(reversed(log.splitlines())), None)


def _read(lines: Iterable[str]) -> Iterator[Progress]:
    for text in lines:
        if not text.startswith('{"progress"'):
            continue
        try:
            said = limits.parsed(text, "a line", limits.MESSAGE_BYTES)[_MARK]
            numbers = [limits.whole(said[name], limits.WEIGHTS_BYTES) for name in ("done", "total", "rate")]
        except (ValueError, KeyError, TypeError):
            continue
        done, total, rate = numbers
        if done is not None and total and rate is not None:
            yield Progress(min(done, total), total, rate, said.get("checks") is True, said.get("waits") is True)


def failure(message: str) -> InspectionError:
    """Why a download failed, from what its container left. Whatever that is, it is told."""
    try:
        said = limits.parsed(message, "the report", limits.MESSAGE_BYTES)
        reason, text = Reason.named(str(said["reason"])), limits.text_of(said["message"], limits.ERROR_CHARACTERS)
    except (ValueError, KeyError, TypeError):
        ended = message[-limits.MESSAGE_BYTES :].strip().splitlines()[-1:] or ["nothing"]
        text = f"the download Job ended early; it said: {limits.text_of(ended[0], _SHOWN)}"
        return InspectionError(Reason.DOWNLOAD_FAILED, text)
    fits = ConditionType.WORKLOAD_AVAILABLE in reason.types
    return InspectionError(reason if fits else Reason.DOWNLOAD_FAILED, text)


_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def size(count: int) -> str:
    """Bytes for people, in decimal units as the hub has them: 140.2 GB."""
    unit, name = next(((unit, name) for unit, name in _UNITS if count >= unit), (1, "B"))
    return f"{count / unit:.1f} {name}" if unit > 1 else f"{count} B"


def duration(seconds: int) -> str:
    """Seconds for people, rounded up: 40 s, 3 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = -(-seconds // 60)
    return f"{minutes} min" if minutes < 60 else re.sub(r" 0 min$", "", f"{minutes // 60} h {minutes % 60} min")

"""How what a batch leaves in its output folder until it is merged lies in a bucket, where nothing can be appended to.

A journal is a folder of segments, named by their first byte and their length in it. What a segment holds follows from
its name, as journals only grow: sending one again, late, or twice over other borders, changes nothing.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..api.limits import MIB
from ..vllm.batch.journal import JOURNAL
from ..vllm.batch.merging import REPORT
from ..vllm.batch.survey import DUPLICATES, SURVEY, parts_key
from .bucket import Found

SEGMENT_BYTES = 8 * MIB
KEPT = (SURVEY, DUPLICATES, REPORT)
"""What the runner leaves in the parts folder beside journals, what counts last at the end; nothing else is copied."""
# As the runner names them: the share, the pod's uid and the attempt.
_SEGMENT = re.compile(
    rf"(?P<name>\d{{1,6}}/[A-Za-z0-9-]{{1,100}}{re.escape(JOURNAL)})/(?P<start>\d{{15}})-(?P<size>\d{{8}})"
)


class Segment(NamedTuple):
    """A part of a journal."""

    name: str
    """Of the journal, counted from the parts folder."""
    start: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size

    @property
    def key(self) -> str:
        """Its name, counted from the parts folder."""
        return f"{self.name}/{self.start:015d}-{self.size:08d}"


def segments(found: Iterable[Found], uid: str) -> dict[str, list[Segment]]:
    """The whole segments among objects of an output, by their journal."""
    by_name: dict[str, list[Segment]] = {}
    for one in found:
        match = _SEGMENT.fullmatch(one.key.removeprefix(f"{parts_key(uid)}/"))
        if match and int(match["size"]) == one.size:
            segment = Segment(match["name"], int(match["start"]), one.size)
            by_name.setdefault(segment.name, []).append(segment)
    return by_name


def joined(parts: Iterable[Segment]) -> list[Segment]:
    """Those of a journal that make it up from its start, without a gap."""
    chosen: list[Segment] = []
    end = 0
    for part in sorted(parts, key=lambda one: (one.start, -one.size)):
        if part.start > end:
            break
        if part.end > end:
            chosen.append(part)
            end = part.end
    return chosen


def length(parts: Iterable[Segment]) -> int:
    """How much of a journal is there without a gap."""
    return max((part.end for part in joined(parts)), default=0)


def cut(name: str, start: int, end: int) -> Iterator[Segment]:
    """Segments for a range of a journal."""
    for first in range(start, end, SEGMENT_BYTES):
        yield Segment(name, first, min(SEGMENT_BYTES, end - first))

"""What an attempt at a share of the batch leaves behind, record by record, and what the next one reads of it.

Every process has a file of its own, so nothing is locked and no clocks are compared. A record is a line
`CRC KIND NUMBER PROMPT_TOKENS OUTPUT_TOKENS PAYLOAD`; one that is torn, wherever, lacks its checksum and is dropped.
"""

import os
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .faults import output_error
from .outbox import Outbox

# A request was sent to the engine; came back, to be sent again; was answered; failed for good.
SENT, BACK, ANSWERED, FAILED = b"S", b"B", b"A", b"F"
# The engine died, or the process ended in order: what it had sent is not suspected of anything.
DIED, ENDED = b"D", b"E"
JOURNAL = ".journal"
_HEAD = re.compile(rb"([0-9a-f]{8}) ([SBAFDE]) (\d{1,18}) (\d{1,18}) (\d{1,18}) ")
# So many requests run alone at two ends of a process, or were in flight at two deaths of the engine.
_ENDS = 2
# Where the engine's death was not seen, as its pod went with it: that may have been a node, or whoever killed the pod.
_UNSEEN_ENDS = 3
_GROUPS = 16


class Record(NamedTuple):
    """A whole record, and where its payload lies in the file."""

    kind: bytes
    number: int
    prompt_tokens: int
    output_tokens: int
    offset: int
    length: int


class Journal:
    """The file that one process appends to. Raises BatchError when it cannot."""

    def __init__(self, folder: Path, pod: str, outbox: Outbox | None = None) -> None:
        self.path = folder
        self._outbox = outbox or Outbox(None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A container that is started again in its pod is another attempt.
            for attempt in range(10**6):
                self.path = folder / f"{pod}-{attempt}{JOURNAL}"
                try:
                    self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
                    break
                except FileExistsError:
                    continue
        except OSError as error:
            raise output_error(error, self.path) from error
        self._lock = threading.Lock()
        self._end = 0

    def write(self, kind: bytes, number: int, tokens: tuple[int, int] = (0, 0), payload: bytes = b"") -> None:
        """Appends a record; it outlives this process at once, and the machine after `sync`."""
        text = b"%b %d %d %d %b\n" % (kind, number, *tokens, payload)
        record = memoryview(b"%08x %b" % (zlib.crc32(text), text))
        end = self._end + len(record)
        try:
            while record:
                record = record[os.write(self._file, record) :]
        except OSError as error:
            with suppress(OSError):  # of a full volume, what was begun leaves room for ENDED
                os.ftruncate(self._file, self._end)
            raise output_error(error, self.path) from error
        self._end = end

    def pause(self) -> float:
        """Seconds between two syncs."""
        return self._outbox.pause()

    def sync(self) -> None:
        """Brings to the disk, and into the bucket, what was written. May be called from any thread."""
        try:
            with self._lock:
                os.fsync(self._file)
                self._outbox.push()
        except OSError as error:
            raise output_error(error, self.path) from error


def journals(folder: Path) -> list[Path]:
    """The files of all attempts below a folder, always in the same order."""
    return sorted(folder.rglob(f"*{JOURNAL}"))


def records(file: BinaryIO, end: int | None = None) -> Iterator[Record]:
    """The whole records of a file, up to an offset."""
    offset = 0
    for line in file:
        start, offset = offset, offset + len(line)
        if end is not None and offset > end:
            return
        head = _HEAD.match(line)
        if head and line.endswith(b"\n") and zlib.crc32(memoryview(line)[9:]) == int(head[1], 16):
            number, prompt, output = (int(head[index]) for index in (3, 4, 5))
            yield Record(head[2], number, prompt, output, start + head.end(), len(line) - head.end() - 1)


class Marks:
    """A set of numbers of one share, a bit for each."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._bits = bytearray()

    def add(self, number: int) -> bool:
        """Whether it is new."""
        byte, bit = divmod(number // self._count, 8)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits) + 1024))
        new = not self._bits[byte] >> bit & 1
        self._bits[byte] |= 1 << bit
        return new

    def __contains__(self, number: int) -> bool:
        byte, bit = divmod(number // self._count, 8)
        return byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)


@dataclass(slots=True)
class Suspicion:
    """How often a request was in flight when its process ended without having ended in order."""

    ends: int = 0
    alone: int = 0
    deaths: int = 0
    """Ends by a death of the engine that the process outlived, so that it is known whose fault it was."""
    alone_at_death: bool = False

    def condemned(self) -> bool:
        """Whether it is the request that ends the engine."""
        return self.alone >= _UNSEEN_ENDS or (self.deaths >= _ENDS and self.alone_at_death)

    def width(self, inflight: int) -> int:
        """How many such requests may run side by side: one, unless nothing but a lost node speaks against them."""
        return 1 if self.deaths or self.ends > 1 else max(1, inflight // _GROUPS)


@dataclass(slots=True)
class History:
    """What earlier attempts at a share came to."""

    finished: Marks
    suspects: dict[int, Suspicion] = field(default_factory=dict)
    done: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def count(self, record: Record) -> None:
        """Counts an answer or a failure, once for a request."""
        if self.finished.add(record.number):
            self.done += record.kind == ANSWERED
            self.failed += record.kind == FAILED
            self.prompt_tokens += record.prompt_tokens
            self.output_tokens += record.output_tokens


def history(folder: Path, count: int) -> History:
    """Reads the attempts at a share in `folder`; numbers of a share are `count` apart."""
    found = History(Marks(count))
    for path in journals(folder):
        flying: set[int] = set()
        died = ended = False
        with path.open("rb") as file:
            for record in records(file):
                if record.kind == SENT:
                    flying.add(record.number)
                elif record.kind in (DIED, ENDED):
                    died, ended = died or record.kind == DIED, ended or record.kind == ENDED
                else:
                    flying.discard(record.number)
                    if record.kind != BACK:
                        found.count(record)
        for number in () if ended and not died else flying:
            suspicion = found.suspects.setdefault(number, Suspicion())
            suspicion.ends += 1
            suspicion.alone += len(flying) == 1
            suspicion.deaths += died
            suspicion.alone_at_death |= died and len(flying) == 1
    found.suspects = {n: one for n, one in sorted(found.suspects.items()) if n not in found.finished}
    return found

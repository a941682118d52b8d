"""`transfer push`: brings into the bucket what the runner of its pod has written. Runs beside it, and ends after it."""

import json
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event

from ..vllm.batch import CHECK, RUN
from ..vllm.batch.faults import OURS
from ..vllm.batch.journal import JOURNAL
from ..vllm.batch.merging import REPORT, output_names
from ..vllm.batch.outbox import MOVED, PUSHED, WANTED, write_whole
from ..vllm.batch.survey import SURVEY, parts_key
from .bucket import BucketError, Place
from .fetch import Order
from .parts import KEPT, cut, length, segments
from .plain import names, opened

POLL_SECONDS = 0.1
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0


class Pusher:
    """Knows what is in the bucket already."""

    def __init__(self, order: Order, output: Place) -> None:
        self._order, self._output = order, output
        self._root = parts_key(order.uid)
        self._ends: dict[str, int] | None = None
        """How much of each journal is there."""
        self._sent: dict[str, tuple[int, int, int]] = {}
        """Files that are there, with their number, time and size."""
        self._far: dict[str, int] = {}
        """How far each file has ever been: what is begun again and again does not get on."""
        order.push_folder.mkdir(parents=True, exist_ok=True)

    def push(self) -> None:
        """Sends what is new, what counts last at the end. Raises BucketError."""
        parts = self._order.parts
        for name in names(self._order.output_folder):
            if not name.startswith("."):  # what is being written has a dot in front
                self._send(name)
        for share in names(parts, folders=True):
            for name in names(parts / share):
                if name.endswith(JOURNAL):
                    self._send_journal(f"{share}/{name}")
        for name in KEPT:
            self._send(f"{self._root}/{name}")
        if f"{self._root}/{REPORT}" in self._sent:
            if lacking := self._lacking():
                _say(f"the parts stay, as {min(lacking)} is not in the output")
            else:
                self._clear()

    def _lacking(self) -> set[str]:
        """What the report tells of and is not there, sent by this pod or by one that merged before it."""
        file = opened(self._order.output_folder, f"{self._root}/{SURVEY}")
        if file is None:
            return set()
        with file:
            made = {one for name, *_ in json.load(file)["files"] for one in output_names(name)}
        unsent = made - self._sent.keys()
        return unsent - {one.key for one in self._output.files()} if unsent else unsent

    def _send(self, name: str) -> None:
        file = opened(self._order.output_folder, name)
        if file is None:
            return
        with file:
            state = os.fstat(file.fileno())
            now = (state.st_ino, state.st_mtime_ns, state.st_size)
            if self._sent.get(name) != now:
                self._output.upload(file, name, partial(self._moved, name))
                self._sent[name] = now

    def _send_journal(self, name: str) -> None:
        ends = self._known()
        file = opened(self._order.output_folder, f"{self._root}/{name}")
        if file is None:
            return
        with file:
            for one in cut(name, ends.get(name, 0), os.fstat(file.fileno()).st_size):
                file.seek(one.start)
                self._output.write(f"{self._root}/{one.key}", file.read(one.size))
                ends[name] = one.end
                self._moved(name, one.end)

    def _moved(self, name: str, far: int) -> None:
        if far > self._far.get(name, 0):
            self._far[name] = far
            write_whole(self._order.push_folder / MOVED, str(sum(self._far.values())))

    def _known(self) -> dict[str, int]:
        if self._ends is None:
            folder = f"{self._root}/{self._order.index}"
            found = segments(self._output.files(folder, below=True), self._order.uid)
            self._ends = {name: length(parts) for name, parts in found.items()}
        return self._ends

    def _clear(self) -> None:
        """Takes the journals away, for which the report stands from now on."""
        found = segments(self._output.files(self._root, below=True), self._order.uid)
        try:
            self._output.remove(f"{self._root}/{one.key}" for parts in found.values() for one in parts)
        except BucketError as error:
            if error.passes:
                raise
            _say(f"the parts stay, as they may not be removed: {error}")


def push(order: Order, output: Place, ending: Event) -> int:
    """Pushes whenever the runner asks, until it is told to end. Returns the exit status."""
    pusher, answered, pause = Pusher(order, output), 0, _PAUSE_SECONDS
    while True:
        # A runner that was killed asks for nothing any more, and its last words count as well.
        last = ending.is_set()
        wanted = _wanted(order.push_folder)
        if wanted == answered and not (last and order.step == RUN):
            if last:
                return 0
            time.sleep(POLL_SECONDS)
            continue
        try:
            pusher.push()
        except BucketError as error:
            _say(str(error))
            if order.step == CHECK and not error.passes:
                answered = _answer(order.push_folder, wanted, str(error))
                continue
            time.sleep(pause) if last else ending.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            continue
        answered, pause = _answer(order.push_folder, wanted), _PAUSE_SECONDS
        if last:
            return 0


def _wanted(folder: Path) -> int:
    file = opened(folder, WANTED)
    if file is None:
        return 0
    with file, suppress(ValueError):
        return int(file.read(20))
    return 0


def _answer(folder: Path, number: int, why: str = "") -> int:
    write_whole(folder / PUSHED, json.dumps({"number": number, "why": why}))
    return number


def _say(text: str) -> None:
    print(f"{OURS}{text}", file=sys.stderr, flush=True)  # noqa: T201 - the container's log

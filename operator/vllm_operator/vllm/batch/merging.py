"""From the journals of all attempts to the output: every request exactly once, in the order of the input.

A fence, made once, says how far each journal counts: a pod that comes back late changes nothing. Merging again gives
the same. Memory does not grow with the input: what is known of a request lies in files, by ranges of numbers.
"""

import glob
import json
import os
import shutil
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from .buckets import WRITER, Buckets
from .faults import output_error
from .journal import ANSWERED, FAILED, journals, records
from .lines import ERRORS, InvalidLineError, Raw, input_files, raw_lines, request_of
from .survey import File, Survey, duplicates, known_survey, parts_folder, parts_key
from .work import error_row

FENCE, REPORT = "MERGED", "report.json"
# Number; 0 for an answer and 1 for a failure, so that answers come first; journal; where in it; tokens.
_PLACE = Struct("<QBIQQQQ")
_WINDOW, _MOST_WINDOWS, _OPEN_FILES = 8192, 1024, 128


class Place(NamedTuple):
    """Where the outcome of a request lies."""

    failed: int
    journal: int
    offset: int
    length: int
    prompt_tokens: int
    output_tokens: int


def merged(source: Path, output: Path, uid: str, count: int) -> dict[str, int]:
    """Writes the output of `count` shares, and returns the totals. Raises BatchError."""
    parts = parts_folder(output, uid)
    try:
        if (parts / REPORT).exists():
            return dict(json.loads((parts / REPORT).read_text()))
        known = known_survey(source, parts)
        fence = _fence(parts, count)
        totals = _publish(_Merge(source, output, uid, known), fence)
        _write_new(parts / REPORT, json.dumps(totals).encode())
        # From now on the report stands for them: the answers would otherwise be there twice.
        for path in journals(parts):
            path.unlink(missing_ok=True)
        for folder in parts.glob("tmp-*"):
            shutil.rmtree(folder, ignore_errors=True)
        for file in known.files:
            for name in output_names(file.name):
                for path in output.glob(f".{glob.escape(name)}.{uid}.*"):
                    path.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and (parts / REPORT).exists():  # another one has merged meanwhile
            return dict(json.loads((parts / REPORT).read_text()))
        raise output_error(error, output) from error
    return totals


class _Merge(NamedTuple):
    source: Path
    output: Path
    uid: str
    survey: Survey

    @property
    def parts(self) -> Path:
        return self.output / parts_key(self.uid)


def _fence(parts: Path, count: int) -> list[tuple[str, int]]:
    """The journals that count, and how much of each. Whoever makes it first decides."""
    path = parts / FENCE
    files = [file for index in range(count) for file in journals(parts / str(index))]
    found = [(str(file.relative_to(parts)), file.stat().st_size) for file in files]
    partial = parts / f"{FENCE}.{WRITER}"
    _write_new(partial, json.dumps(found).encode())
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    except OSError:  # some network file systems have no links
        if not path.exists():
            partial.replace(path)
    partial.unlink(missing_ok=True)
    return [(str(name), int(size)) for name, size in json.loads(path.read_text())]


def _publish(merge: _Merge, fence: list[tuple[str, int]]) -> dict[str, int]:
    totals = dict.fromkeys(("done", "failed", "unanswered", "promptTokens", "outputTokens"), 0)
    with _Rows(merge, fence) as rows:
        for path, file in zip(input_files(merge.source), merge.survey.files, strict=True):
            _write_file(merge, path, file, rows, totals)
    return totals


def output_names(name: str) -> tuple[str, str]:
    """The files of answers and of errors of a file of the input."""
    stem = name.removesuffix(".jsonl")
    return f"{stem}.jsonl", f"{stem}{ERRORS}"


def _write_file(merge: _Merge, path: Path, file: File, rows: "_Rows", totals: dict[str, int]) -> None:
    targets = [merge.output / name for name in output_names(file.name)]
    partials = [target.with_name(f".{target.name}.{merge.uid}.{WRITER}") for target in targets]
    with partials[0].open("wb") as answers, partials[1].open("wb") as errors:
        for raw in raw_lines(path, file.first):
            kind, row, tokens = rows.of(raw)
            (answers if kind == "done" else errors).write(row + b"\n")
            totals[kind] += 1
            totals["promptTokens"] += tokens[0]
            totals["outputTokens"] += tokens[1]
        for written in (answers, errors):
            written.flush()
            os.fsync(written.fileno())
    for partial, target in zip(partials, targets, strict=True):
        partial.replace(target)


class _Rows:
    """The outcomes of all requests, asked for in the order of their numbers."""

    def __init__(self, merge: _Merge, fence: list[tuple[str, int]]) -> None:
        self._merge = merge
        self._names = [name for name, _ in fence]
        self._window = max(_WINDOW, merge.survey.total // _MOST_WINDOWS + 1)
        self._places = Buckets(merge.parts, _PLACE)
        self._loaded = -1
        self._here: dict[int, Place] = {}
        self._twice = duplicates(merge.parts)
        self._duplicate = next(self._twice, None)
        for index, (name, size) in enumerate(fence):
            with (merge.parts / name).open("rb") as file:
                for record in records(file, size):
                    if record.kind in (ANSWERED, FAILED):
                        place = (record.kind == FAILED, index, *record[4:], *record[2:4])
                        self._places.add(record.number // self._window, record.number, *place)
        self._files: dict[int, BinaryIO] = {}

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(self, *_: object) -> None:
        self._places.close()
        self._close_files()

    def of(self, raw: Raw) -> tuple[str, bytes, tuple[int, int]]:
        """Which total it counts for, its line of output, and its tokens."""
        row_id = f"batch-{self._merge.uid}-{raw.number}"
        while self._duplicate and self._duplicate[0] < raw.number:
            self._duplicate = next(self._twice, None)
        place = self._place(raw.number)
        try:
            if self._duplicate and self._duplicate[0] == raw.number:
                why = f"line {raw.line}: custom_id is that of request {self._duplicate[1] + 1}"
                return "failed", error_row(row_id, request_of(raw).custom_id, "duplicate", why), (0, 0)
            if place:
                kind = "failed" if place.failed else "done"
                return kind, self._payload(place), (place.prompt_tokens, place.output_tokens)
            why = f"line {raw.line}: the batch ended before it was answered"
            return "unanswered", error_row(row_id, request_of(raw).custom_id, "not_answered", why), (0, 0)
        except InvalidLineError as error:
            why = f"line {raw.line}: {error}"
            return "failed", error_row(row_id, error.custom_id, "invalid", why), (0, 0)

    def _place(self, number: int) -> Place | None:
        if number // self._window != self._loaded:
            self._loaded = number // self._window
            self._here = {}
            for request, *place in self._places.read(self._loaded):
                self._here.setdefault(request, Place(*place))
        return self._here.get(number)

    def _payload(self, place: Place) -> bytes:
        if place.journal not in self._files:
            if len(self._files) >= _OPEN_FILES:
                self._close_files()
            self._files[place.journal] = (self._merge.parts / self._names[place.journal]).open("rb")
        return os.pread(self._files[place.journal].fileno(), place.length, place.offset)

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def _write_new(path: Path, content: bytes) -> None:
    """Writes a file so that it is whole or not there, also after the machine has gone."""
    partial = path.with_name(f"{path.name}.new-{WRITER}")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)

"""What the whole input is: files, how many requests, which custom_ids come twice. `check` leaves it for the others.

Memory does not grow with the input: custom_ids are compared by their digests, which lie in files meanwhile.
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple, Protocol

from .buckets import WRITER, Buckets
from .faults import InputError, output_error
from .lines import InvalidLineError, Request, input_files, raw_lines, request_of

_DIGEST = Struct("<16sQ")
_PAIR = Struct("<QQ")
# Duplicates are put in order by ranges of this many numbers.
_RANGE = 2**16
_SHOWN, _SHOWN_CHARACTERS, _SHOWN_NAME = 5, 160, 80
SURVEY, DUPLICATES = "input.json", "duplicates"


class File(NamedTuple):
    """A file of the input."""

    name: str
    first: int
    """The number of its first request."""
    requests: int
    size: int
    digest: str = ""
    """Of all its bytes; empty where an earlier version of this program surveyed it."""


class Survey(NamedTuple):
    """The input as it was when it was checked."""

    files: list[File]
    total: int


class Limits(Protocol):
    """Whether a request is for the model that is served."""

    def fault(self, request: Request) -> str | None:
        """What is wrong with it."""

    def too_long(self, request: Request) -> bool:
        """Whether it is longer than the model's context."""


def parts_key(uid: str) -> str:
    """The parts folder of a batch, counted from the output."""
    return f".parts-{uid}"


def parts_folder(output: Path, uid: str) -> Path:
    """Where all that belongs to a batch lies until it is merged, and is made when missing. Raises BatchError."""
    folder = output / parts_key(uid)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, folder) from error
    return folder


def survey(source: Path, parts: Path, limits: Limits | None = None) -> tuple[Survey, dict[str, Any]]:
    """Reads all of the input and leaves what it is in `parts`; also returns the report for the user."""
    files: list[File] = []
    first: list[dict[str, Any]] = []
    counts = dict.fromkeys(("total", "valid", "invalid", "duplicates", "tooLong"), 0)
    digests = Buckets(parts, _DIGEST)
    try:
        for path in input_files(source):
            start, content = counts["total"], blake2b(digest_size=16)
            for raw in raw_lines(path, start, content.update):
                counts["total"] += 1
                try:
                    request = request_of(raw)
                    _hold_against(limits, request, counts)
                    digest = blake2b(request.custom_id.encode(errors="surrogatepass"), digest_size=16).digest()
                    digests.add(digest[0], digest, raw.number)
                except InvalidLineError as error:
                    counts["invalid"] += 1
                    if len(first) < _SHOWN:
                        first.append(_shown(path, raw.line, str(error)))
            requests = counts["total"] - start
            files.append(File(path.name, start, requests, path.stat().st_size, content.hexdigest()))
        counts["duplicates"] = _write_duplicates(digests, parts)
    except OSError as error:
        raise output_error(error, parts) from error
    finally:
        digests.close()
    found = Survey(files, counts["total"])
    _write(parts / SURVEY, json.dumps({"files": files, "total": found.total}).encode())
    if len(first) < _SHOWN and counts["duplicates"]:
        first += _shown_duplicates(source, parts, found, _SHOWN - len(first))
    counts["valid"] = found.total - counts["invalid"] - counts["duplicates"]
    return found, {**counts, "files": len(files), "bytes": sum(file.size for file in files), "first": first}


def _hold_against(limits: Limits | None, request: Request, counts: dict[str, int]) -> None:
    if limits is None:
        return
    if fault := limits.fault(request):
        raise InvalidLineError(fault, request.custom_id)
    if limits.too_long(request):
        counts["tooLong"] += 1
        raise InvalidLineError("the prompt, or max_tokens, is longer than the model's context", request.custom_id)


def known_survey(source: Path, parts: Path) -> Survey:
    """What `check` left, or a survey now. Raises InputError if the input is not what it was then."""
    path = parts / SURVEY
    if not path.exists():
        return survey(source, parts)[0]
    kept = json.loads(path.read_text())
    known = Survey([File(*file) for file in kept["files"]], kept["total"])
    found = input_files(source)
    same = [(path.name, path.stat().st_size) for path in found] == [(file.name, file.size) for file in known.files]
    if not same or not all(map(_has_content, found, known.files)):
        raise InputError("the input has changed since it was checked: make a new InferenceBatch for it")
    return known


def _has_content(path: Path, known: File) -> bool:
    if not known.digest:
        return True
    content = blake2b(digest_size=16)
    for _ in raw_lines(path, 0, content.update):
        pass
    return content.hexdigest() == known.digest


def duplicates(parts: Path) -> Iterator[tuple[int, int]]:
    """Numbers of requests whose custom_id an earlier request has, in order, each with the number of that one."""
    with (parts / DUPLICATES).open("rb") as file:
        while record := file.read(_PAIR.size):
            yield _PAIR.unpack(record)


def _write_duplicates(digests: Buckets, parts: Path) -> int:
    """Sorts them by number: found are they by digest."""
    found, count = Buckets(parts, _PAIR), 0
    try:
        last = 0
        for bucket in range(256):
            previous, first = b"", 0
            for digest, number in digests.read(bucket):
                if digest == previous:
                    found.add(number // _RANGE, number, first)
                    count, last = count + 1, max(last, number)
                else:
                    previous, first = digest, number
        partial = parts / f"{DUPLICATES}.{WRITER}"
        with partial.open("wb") as file:
            for bucket in range(last // _RANGE + 1):
                for pair in found.read(bucket):
                    file.write(_PAIR.pack(*pair))
        partial.replace(parts / DUPLICATES)
    finally:
        found.close()
    return count


def _shown(path: Path, line: int, why: str) -> dict[str, Any]:
    return {"file": path.name[-_SHOWN_NAME:], "line": line, "why": why[:_SHOWN_CHARACTERS]}


def _shown_duplicates(source: Path, parts: Path, known: Survey, most: int) -> list[dict[str, Any]]:
    wanted = dict(pair for pair, _ in zip(duplicates(parts), range(most), strict=False))
    shown = []
    for path, file in zip(input_files(source), known.files, strict=True):
        for raw in raw_lines(path, file.first):
            if raw.number in wanted:
                why = "custom_id is that of an earlier request: each needs one of its own"
                shown.append(_shown(path, raw.line, why))
                if len(shown) == len(wanted):
                    return shown
    return shown


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{WRITER}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise output_error(error, path) from error

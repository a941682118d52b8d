"""The input: its files, its lines as they come, and what is wrong with a line. It holds one line at a time.

A request has a number: its place among all lines that are not blank, over all files in the order of their names.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from .faults import InputError, input_error

# A longer line is no request: images and sounds in it would be far below.
LINE_BYTES = 64 * 2**20
URLS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/score")
ERRORS = ".errors.jsonl"


class Raw(NamedTuple):
    """A line that is not blank."""

    number: int
    line: int
    """In its file, from 1."""
    text: bytes | None
    """None: longer than LINE_BYTES."""


class Request(NamedTuple):
    """A request that the engine can be asked."""

    number: int
    line: int
    custom_id: str
    url: str
    body: dict[str, Any]


class InvalidLineError(Exception):
    """A line that is no request, and why. `custom_id`: what it says of it, if it does."""

    def __init__(self, why: str, custom_id: str | None = None) -> None:
        super().__init__(why)
        self.custom_id = custom_id


def input_files(path: Path) -> list[Path]:
    """The files of the input, by name. Raises InputError."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no input at {path}: write where the JSONL file, or the folder of such files, is")
    found = sorted(child for child in path.glob("*.jsonl") if child.is_file() and not child.name.startswith("."))
    if not found:
        raise InputError(f"no file in {path} ends in .jsonl: name the files of requests so")
    for child in found:
        if child.name.endswith(ERRORS):
            raise InputError(f"{child.name} is named like a file of errors: move it out of the input")
    return found


def raw_lines(path: Path, first: int, seen: Callable[[bytes], object] | None = None) -> Iterator[Raw]:
    """The lines of a file that are not blank; `first` is the number of the first one. Raises BatchError.

    `seen` gets all bytes of the file, part by part.
    """
    number = first
    try:
        with path.open("rb") as file:
            for line, text in enumerate(_texts(file, seen), 1):
                if text is None or text.strip():
                    yield Raw(number, line, text)
                    number += 1
    except OSError as error:
        raise input_error(error, path) from error


def _texts(file: BinaryIO, seen: Callable[[bytes], object] | None) -> Iterator[bytes | None]:
    """All lines; None for one that is too long, of which no more is held than that."""
    start = b"\xef\xbb\xbf"

    def read(most: int) -> bytes:
        text = file.readline(most)
        if seen:
            seen(text)
        return text

    while text := read(LINE_BYTES + 1):
        whole = len(text) <= LINE_BYTES
        while not whole and text and not text.endswith(b"\n"):
            text = read(LINE_BYTES)
        yield text.removeprefix(start) if whole else None
        start = b""


def request_of(raw: Raw) -> Request:
    """What a line asks for. Raises InvalidLineError."""
    if raw.text is None:
        raise InvalidLineError(f"the line has more than {LINE_BYTES >> 20} MiB: give media as URLs, or split it")
    row = _parsed(raw.text)
    if not isinstance(row, dict):
        raise InvalidLineError("the line is no JSON object")
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidLineError("custom_id must be a text that is not empty")
    body = row.get("body")
    if row.get("method") != "POST":
        raise InvalidLineError("method must be POST", custom_id)
    if row.get("url") not in URLS:
        raise InvalidLineError(f"url must be one of {', '.join(URLS)}", custom_id)
    if not isinstance(body, dict):
        raise InvalidLineError("body must be a JSON object", custom_id)
    if body.get("stream"):
        raise InvalidLineError("body.stream must be left out: answers go to a file", custom_id)
    return Request(raw.number, raw.line, custom_id, row["url"], body)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise InvalidLineError("the line is not UTF-8") from error
    except RecursionError as error:
        raise InvalidLineError("the line is nested too deeply") from error
    except ValueError as error:
        raise InvalidLineError(f"the line is no JSON: {error}") from error


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")

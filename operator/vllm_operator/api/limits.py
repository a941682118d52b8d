"""How much is looked at of what others write: every limit of size, depth, count and range, in one place.

Tenants, models, pods and vLLM may say anything. What they say is bounded before it is looked at, and what is over a
limit is told by a condition (`Fits`, or `Incomplete` where it gates nothing). Each limit holds what is usual with room
to spare, so that whoever meets it has something odd. Pure; imports nothing heavy, as the inspect Job does not.
"""

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

from .quantities import exact

KIB, MIB = 1 << 10, 1 << 20

# JSON in general, from anybody.
JSON_DEPTH = 32
JSON_VALUES = 100_000
"""Of objects, lists and what is in them; a list of 16,000 unquantized modules, folded, has half as many."""
LARGEST_INTEGER = (1 << 63) - 1
"""What the API server keeps exactly."""

# The model's files, read by the inspect Job.
CONFIG_BYTES = 2 * MIB
TOKENIZER_CONFIG_BYTES = 8 * MIB
CONFIG_VALUES = 500_000
INDEX_BYTES = 64 * MIB
"""Which file has which tensor: 9 MiB for DeepSeek-V3."""
INDEX_VALUES = 1_000_000
FILES = 10_000
"""Names of files that are looked at."""
HEADER_BYTES = 16 * MIB
"""Of one safetensors file; the format itself allows 100 MB, and a header of 16 MiB has 100,000 tensors."""
HEADER_VALUES = 3_000_000

# An object of ours, as the operator keeps it: some hundred bytes to 16 KiB, of those that people write.
SPEC_BYTES = 128 * KIB

# The Job's report, unpacked by the operator, and what is kept of it in a ControllerRevision.
MESSAGE_BYTES = 16 * KIB
"""Four times what Kubernetes keeps of a termination message."""
REPORT_BYTES = 256 * KIB
REPORT_VALUES = 64_000
NAMES = 32_768
"""Names of modules in all lists of a config."""
NAMES_CHARACTERS = 4 * MIB
"""Of these names together."""
UNFOLDED_VALUES = 1 << 20
"""Values that modules say of themselves, of all modules together: what a message that shows one may come to."""
WEIGHTS_BYTES = 1 << 50
ERROR_CHARACTERS = 1024

# What a pod answers over HTTP.
METRICS_BYTES = 1 * MIB
ANSWER_BYTES = 16 * KIB
"""Of any other page: the longest, with a word of 64 characters for each name that has changed, has 4 KiB."""
METRIC_CHARACTERS = 16 * KIB
"""Of the one line that is looked for."""
VERSION_CHARACTERS = 64
NAMES_IN_STATE = 64
NAME_CHARACTERS = 253
KV_CACHE_TOKENS = 1 << 40
MODEL_LENGTH = (1 << 31) - 1
IMAGE_PIXELS = (1 << 31) - 1

# What Kubernetes keeps for others: logs, Events, Pods, kept pod templates.
LOG_READ_BYTES = 1 * MIB
"""Of the last lines; of these, the end is looked at."""
LOG_BYTES = 64 * KIB
LOG_LINES = 400
"""Of a failed container: enough for the tracebacks of all of vLLM's processes."""
LINE_CHARACTERS = 2000
_LINE_END = re.compile(r"\r\n|\r|\n")
EVENTS = 100
"""Of one pod: equal ones are counted in one Event."""
EVENTS_BYTES = 1 * MIB
EVENT_CHARACTERS = 2000
WORD_CHARACTERS = 253
TEMPLATE_BYTES = 512 * KIB
RESOLVED_BYTES = 64 * KIB
"""What was resolved for a pod template, kept beside it."""
FIELDS_BYTES = 64 * KIB
"""Of the managed fields of a child that are in our name: ours have 8 KiB."""
FIELDS_ITEMS = 4096
"""Of one list in which some items are ours."""
REQUEST_BYTES = 16 * KIB
"""Of the devices that a pod claims: a selector has 2,048 characters, and JSON may need six for one."""
DEVICES = 1 << 20
"""Of one node, or one pod."""
SLICES_BYTES = 16 * MIB
"""Of one page of ResourceSlices, which drivers write: each has 128 devices at most, most have 8."""
SLICES_VALUES = 2_000_000
SLICES, SLICE_PAGES = 500, 40
"""Slices of a page, and pages."""

# The operator's own memory of it.
CACHE_BYTES = 16 * MIB
OBJECTS_PER_BYTE = 24
"""Bytes in memory for each byte of JSON, at the worst: a list that is empty has two bytes and a comma."""


class OverLimitError(ValueError):
    """Something is beyond a limit: the text says what, and the limit, as a clause for people."""


def parsed(text: str, what: str, most_bytes: int, most_values: int = JSON_VALUES) -> Any:
    """The JSON value in `text`. `what` it is, for people.

    Raises OverLimitError where it is larger, deeper or has more values than that, and ValueError where it is no JSON.
    Numbers that JSON does not have become None, and those that do not fit 64 bits lose digits.
    """
    if len(text) > most_bytes:
        raise OverLimitError(f"{what} is larger than {size(most_bytes)}")
    if sum(text.count(sign) for sign in ",[{") > most_values:
        raise OverLimitError(f"{what} has more than {most_values:,} values")
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=lambda _: None)
    except RecursionError:
        value = None
        deep = True
    else:
        deep = is_deeper(value, JSON_DEPTH)
    if deep:
        raise OverLimitError(f"{what} is nested deeper than {JSON_DEPTH} levels")
    return value


def unpacked(packed: bytes, what: str, most_bytes: int) -> str:
    """The text that was packed with zlib. Raises OverLimitError where it is larger, ValueError where it is none."""
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(packed, most_bytes)
    except zlib.error as error:
        raise ValueError(f"{what} cannot be unpacked") from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise OverLimitError(f"{what} is larger than {size(most_bytes)}, or cut off")
    return plain.decode()


def is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are in each other more than so many times."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def size(most: int) -> str:
    """A limit of bytes, for people."""
    return f"{most // MIB} MiB" if most >= MIB else f"{most // KIB} KiB"


def _integer(digits: str) -> int | float | None:
    return value if len(digits) < 21 and abs(value := int(digits)) <= LARGEST_INTEGER else _number(digits)


def _number(digits: str) -> float | None:
    return value if math.isfinite(value := float(digits)) else None


def whole(value: Any, most: int, least: int = 0) -> int | None:
    """A whole number within its range; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None


def count_of(quantity: Any) -> int:
    """Devices, as a Pod or a Node has them: any form of a quantity. 0 for what is none, DEVICES at most."""
    try:
        return min(max(int(exact(str(quantity))), 0), DEVICES)
    except ValueError:
        return 0


def text_of(value: Any, most: int) -> str:
    """A text as an API server takes it, and no longer than that; empty for anything else."""
    return printable(value[:most]) if isinstance(value, str) else ""


def printable(text: str) -> str:
    """The text without control characters and halves of characters, which terminals and API servers do not take."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def cut_lines(text: str) -> str:
    """The end of a log, each line cut before any pattern is looked for in it. Blank lines say nothing."""
    lines = (line[:LINE_CHARACTERS] for line in lines_of(text[-LOG_BYTES:]) if line.strip())
    return "\n".join(list(lines)[-LOG_LINES:])


def lines_of(text: str) -> list[str]:
    """Its lines, as who wrote them ended them. Python's own ends (U+0085, say) may stand in a header of a request."""
    return _LINE_END.split(text)


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}

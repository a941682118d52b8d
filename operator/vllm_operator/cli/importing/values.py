"""From what vLLM or Kubernetes writes to what a field of the spec holds, by the field's schema. Knows none by name."""

import json
import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from ...api.base import gibibytes
from ...api.crd import INFERENCE_SERVICE, custom_resource_definition
from ...api.fields import Flag, SpecField
from ...api.quantities import exact

GIB = 1 << 30
_LARGEST = 1e30
_INTEGER = re.compile(r"(-?\d{1,30}(?:\.\d{1,30})?)([kKmMgGtT]?)")
# vLLM's units: a small letter is decimal, a capital one binary.
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_OF_SIZES = ("Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T")
"""Units that the fields of the spec take."""


class UnfitError(Exception):
    """A value that the field cannot hold. The text says why, and what to do."""


@cache
def spec_schema() -> Mapping[str, Any]:
    """The structural schema of the spec."""
    (version,) = custom_resource_definition(INFERENCE_SERVICE)["spec"]["versions"]
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def schema_at(path: str) -> Mapping[str, Any]:
    """The schema of a field, by its path; empty where there is no such field."""
    node = spec_schema()
    for step in path.split("."):
        node = node.get("properties", {}).get(step, {})
    return node


def number(text: str) -> int:
    """A whole number as vLLM takes it: 4096, 32k (32,000), 32K (32,768). Raises UnfitError."""
    match = _INTEGER.fullmatch(text.strip().replace("_", ""))
    value = float(match[1]) * _UNITS[match[2]] if match else None
    if value is None or value != int(value):
        raise UnfitError(f"{text!r} is not a whole number")
    return int(value)


def size(text: str) -> str:
    """A quantity of Kubernetes as our fields take it: with a unit, in bytes; also 32GB and 32K. Raises UnfitError."""
    said = str(text).strip().removesuffix("B")
    said = f"{said[:-1]}k" if said.endswith("K") else said
    try:
        count = exact(said)
    except ValueError:
        count = Fraction(-1)
    if count < 0 or said.endswith(("m", "u", "n")):
        raise UnfitError(f"{text!r} is not a size like 512Mi or 20Gi")
    return said if said.endswith(_OF_SIZES) else in_bytes(math.ceil(count))


def in_bytes(count: int) -> str:
    """A number of bytes with a unit: rounded up to whole KiB where it is no multiple."""
    return gibibytes(-(-count // 1024) * 1024)


def of_flag(field: SpecField, flag: Flag, text: str) -> Any:
    """What a field holds for the value of its flag. Raises UnfitError."""
    match flag.passed:
        case "fraction":
            return _percent(text)
        case "bytes":
            return in_bytes(number(text))
        case "GiB":
            return in_bytes(int(_float(text) * GIB))
        case _:
            return typed(schema_at(field.path), text)


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise UnfitError(f"{text!r} is not a number that can be used")
    return value


def _percent(text: str) -> int:
    share = _float(text)
    if not 0 < share <= 1:
        raise UnfitError(f"{text} is not a fraction above 0, and at most 1")
    return max(1, round(share * 100))


def typed(schema: Mapping[str, Any], text: str) -> Any:
    """A word as a value of the type that the schema wants. Raises UnfitError."""
    text = text.strip()
    if schema.get("x-kubernetes-int-or-string"):
        return _number_or_word(text)
    match schema.get("type"):
        case "array":
            return [typed(schema.get("items", {}), item) for item in _listed(text)]
        case str(kind) if kind in _READERS:
            return _READERS[kind](text)
        case _:
            return text


def _number_or_word(text: str) -> int | str:
    try:
        value = number(text)
    except UnfitError:
        return text
    return "auto" if value == -1 else value


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise UnfitError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1", "yes")


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return [str(item) for item in json.loads(text)]
        except ValueError:
            raise UnfitError(f"{text!r} is not a list in JSON") from None
    return text.split(",")


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        raise UnfitError(f"{text!r} is not JSON") from None
    if not isinstance(content, dict):
        raise UnfitError(f"{text!r} is not an object in JSON")
    return content


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": number,
    "number": _float,
    "boolean": _truth,
    "object": _object,
}


def camel(key: str) -> str:
    """A key of vLLM's JSON as our fields are called: num_speculative_tokens is numSpeculativeTokens."""
    head, *rest = key.replace("-", "_").split("_")
    return head + "".join(part.capitalize() for part in rest)

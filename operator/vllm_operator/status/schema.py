"""What the API takes of a status: the CRD's schema, held against a value before the API server does. Pure.

Much in a status comes from others: a commit from the inspect Job, a version from a pod. One value that the schema does
not take would cost all of the status, so it is left out, and named.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..api import InferenceServiceStatus
from ..api.base import ApiModel
from ..api.crd import Schema, structural
from ..api.limits import LARGEST_INTEGER, printable

_INT32 = (1 << 31) - 1
_LEFT_OUT = object()


@cache
def _schema(model: type[ApiModel]) -> Schema:
    full = model.model_json_schema(by_alias=True, mode="validation")
    return structural(full, full.get("$defs", {}))


def conform(
    status: Mapping[str, Any], model: type[ApiModel] = InferenceServiceStatus
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The status as the API takes it, and the paths of the values that are left out."""
    left_out: list[str] = []
    found = _conform(dict(status), _schema(model), "", left_out)
    return (found if isinstance(found, dict) else {}), tuple(left_out)


def _conform(value: Any, schema: Schema, path: str, left_out: list[str]) -> Any:
    match schema["type"]:
        case "object" if isinstance(value, Mapping):
            return _object(value, schema, path, left_out)
        case "array" if isinstance(value, list):
            items = [_conform(item, schema["items"], f"{path}[{at}]", left_out) for at, item in enumerate(value)]
            return [item for item in items if item is not _LEFT_OUT][: schema.get("maxItems")]
        case "string" if isinstance(value, str) and _is_text(text := printable(value), schema):
            return text
        case "integer" if isinstance(value, int) and not isinstance(value, bool) and _is_number(value, schema):
            return value
        case "boolean" if isinstance(value, bool):
            return value
    left_out.append(path)
    return _LEFT_OUT


def _object(value: Mapping[str, Any], schema: Schema, path: str, left_out: list[str]) -> Any:
    fields = schema["properties"]
    found = {}
    for name, part in value.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in fields:
            left_out.append(where)
        elif (one := _conform(part, fields[name], where, left_out)) is not _LEFT_OUT:
            found[name] = one
    return found if all(name in found for name in schema.get("required", ())) else _LEFT_OUT


def _is_text(text: str, schema: Schema) -> bool:
    within = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    listed = text in schema.get("enum", (text,))
    return within and listed and ("pattern" not in schema or bool(re.search(schema["pattern"], text)))


def _is_number(value: int, schema: Schema) -> bool:
    most = _INT32 if schema.get("format") == "int32" else LARGEST_INTEGER
    return bool(schema.get("minimum", -most) <= value <= schema.get("maximum", most))

"""Values against a structural schema, in the API server's words. Knows the keywords that our CRDs have, and no rule."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..api.crd import Schema

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: not isinstance(value, bool) and isinstance(value, int | float),
}
# Keyword, whether it is broken by a value, and what the API server says.
_LIMITS: tuple[tuple[str, type | tuple[type, ...], Callable[[Any, Any], bool], str], ...] = (
    ("minimum", (int, float), lambda value, limit: value < limit, "should be greater than or equal to {}"),
    ("maximum", (int, float), lambda value, limit: value > limit, "should be less than or equal to {}"),
    ("minLength", str, lambda value, limit: len(value) < limit, "should be at least {} chars long"),
    ("maxLength", str, lambda value, limit: len(value) > limit, "may not be more than {} bytes"),
    ("pattern", str, lambda value, limit: not re.search(limit, value), "should match '{}'"),
    ("minItems", list, lambda value, limit: len(value) < limit, "should have at least {} items"),
    ("maxItems", list, lambda value, limit: len(value) > limit, "must have at most {} items"),
    ("minProperties", dict, lambda value, limit: len(value) < limit, "should have at least {} properties"),
    ("maxProperties", dict, lambda value, limit: len(value) > limit, "must have at most {} properties"),
)


def pruned(value: Any, schema: Schema) -> Any:
    """The value as the API server keeps it: without nulls and unknown fields, with the defaults."""
    if isinstance(value, Mapping):
        properties, others = schema.get("properties"), schema.get("additionalProperties")
        if properties is None and isinstance(others, Mapping):
            return {key: pruned(one, {**others}) for key, one in value.items() if one is not None}
        if properties is None:
            return dict(value)
        kept = {
            key: pruned(one, properties[key]) for key, one in value.items() if key in properties and one is not None
        }
        defaults = {key: inner["default"] for key, inner in properties.items() if "default" in inner}
        return {**{key: pruned(one, properties[key]) for key, one in defaults.items()}, **kept}
    if isinstance(value, list):
        return [pruned(one, schema.get("items", {})) for one in value]
    return value


def at_once(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    """Each wrong value: its path (.spec.model), and what is wrong with it. One fault per value."""
    if wrong := _type_fault(value, schema) or _limit_fault(value, schema):
        yield path, wrong
        return
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for key in schema.get("required", ()):
            if key not in value:
                yield f"{path}.{key}", "Required value"
        for key, one in value.items():
            if inner := properties.get(key) or schema.get("additionalProperties"):
                yield from at_once(one, inner, f"{path}.{key}")
    elif isinstance(value, list):
        yield from _duplicates(value, schema, path)
        for index, one in enumerate(value):
            yield from at_once(one, schema.get("items", {}), f"{path}[{index}]")


def _type_fault(value: Any, schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        fits = _TYPES["integer"](value) or isinstance(value, str)
        return "" if fits else f"Invalid value: {_json(value)}: must be of type integer or string"
    form = schema.get("type")
    if form is None or _TYPES[form](value):
        return ""
    return f"Invalid value: {_json(value)}: must be of type {form}"


def _limit_fault(value: Any, schema: Schema) -> str:
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{one}"' for one in schema["enum"])
        return f"Unsupported value: {_json(value)}: supported values: {supported}"
    for keyword, forms, broken, said in _LIMITS:
        if keyword in schema and isinstance(value, forms) and broken(value, schema[keyword]):
            return f"Invalid value: {_json(value)}: {said.format(schema[keyword])}"
    return ""


def _duplicates(value: list[Any], schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    keys, form = schema.get("x-kubernetes-list-map-keys", ()), schema.get("x-kubernetes-list-type")
    if form not in ("map", "set"):
        return
    seen = set()
    for index, one in enumerate(value):
        name = _json({key: one.get(key) for key in keys} if keys and isinstance(one, Mapping) else one)
        if name in seen:
            yield f"{path}[{index}]", f"Duplicate value: {name}"
        seen.add(name)


def _json(value: Any) -> str:
    return json.dumps(value, default=str)

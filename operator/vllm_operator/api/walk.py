"""Walks a model of the API, and manifests of it, by the paths that a user writes. Knows no field."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from .base import ApiModel


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that has no fields of its own."""

    path: str
    """As a user writes it: kvCache.dtype."""
    scalar: bool
    """Whether it holds one value: no list, and no map."""


def leaves(model: type[ApiModel], before: str = "") -> Iterator[Leaf]:
    """The fields of a model that have none of their own, in the order of their declaration; no item of a list."""
    for name in model.model_fields:
        path = f"{before}{wire_name(model, name)}"
        inner = inner_model(model, name)
        if inner:
            yield from leaves(inner, f"{path}.")
        else:
            kinds = _kinds(model.model_fields[name].annotation)
            yield Leaf(path, scalar=not any(get_origin(kind) in (list, dict) for kind in kinds))


def wire_name(model: type[ApiModel], name: str) -> str:
    """The name of a field in YAML."""
    return model.model_fields[name].alias or name


def inner_model(model: type[ApiModel], name: str) -> type[ApiModel] | None:
    """The model that a field holds; None where it holds a value, a list or a map."""
    kinds = _kinds(model.model_fields[name].annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ApiModel)), None)


def values(model: type[ApiModel], manifest: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a manifest of `model`, each with the path of its field; lists and maps are one value."""
    for name in model.model_fields:
        key = wire_name(model, name)
        if key not in manifest:
            continue
        if inner := inner_model(model, name):
            yield from values(inner, manifest[key], f"{before}{key}.")
        else:
            yield f"{before}{key}", manifest[key]


def _kinds(annotation: Any) -> list[Any]:
    """The types that a value may have."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for option in get_args(annotation) for kind in _kinds(option)]
    return [] if get_origin(annotation) is Literal else [annotation]

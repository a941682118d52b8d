"""What a field says beside its schema: the vLLM flags that carry it, and whether a change of it rolls the pods.

Both stand on the field itself (`optional("...", 16, flag="block-size")`) and are read by walking the models: argv, the
refusals of extraArgs and the revision of the pods all follow from here. Spells no flag and knows no field.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Passed = Literal[
    "value", "fraction", "bytes", "GiB", "location", "JSON", "keys", "loader", "presence", "path", "otherwise"
]
_OBJECTS = ("JSON", "keys")


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of `vllm serve` that a field sets: its full name without dashes, and what it gets of the field's value.

    `value`: the value itself; a switch gets its --no- form for false. `fraction`: a percentage as a part of 1. `bytes`
    and `GiB`: a quantity as a number. `location`: what vLLM is told for a URI. `JSON`: an object in one value; `keys`:
    one whose fields are called as vLLM's keys; `loader`: with the keys of vLLM's loaders. `presence`: true where the
    field is there. `path`: where the pod has the field's content as a file. `otherwise`: argv writes it at a place of
    its own, or the value reaches vLLM by another way (a Secret by the environment).
    """

    name: str
    passed: Passed = "value"
    shared: bool = False
    """Whether extraArgs may pass the flag in place of the field, as recipes do."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a field says beside its schema; kept in the field's metadata."""

    flags: tuple[Flag, ...] = ()
    rolls: bool = True


@dataclass(frozen=True, slots=True)
class SpecField:
    """A field of the spec at its place."""

    path: str
    """As a user writes it: kvCache.blockSize."""
    attributes: tuple[str, ...]
    """The steps to it in Python: kv_cache, block_size."""
    flags: tuple[Flag, ...]
    rolls: bool
    """Whether a change of it, or of anything below it, rolls the pods."""
    leaf: bool = field(default=True, compare=False)
    """Whether it has no fields of its own: a value, or a list or map of them."""
    scalar: bool = field(default=True, compare=False)
    """Whether it holds one value: a leaf that is no list and no map."""
    key: str = field(default="", compare=False)
    """Of a field within an object that one flag gets as JSON: compilation-config.cudagraph_mode; else empty."""

    def value_in(self, spec: BaseModel) -> Any:
        """The field's value; None where it, or an object that holds it, is left out."""
        value: Any = spec
        for attribute in self.attributes:
            value = value and getattr(value, attribute)
        return value


def fields(model: type[BaseModel], holder: SpecField | None = None) -> Iterator[SpecField]:
    """Every field of a model in the order of its declaration, each before those within it; no item of a list."""
    for name, info in model.model_fields.items():
        said = next((item for item in info.metadata if isinstance(item, Behaviour)), Behaviour())
        kinds = _kinds(info.annotation)
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found = SpecField(
            path=".".join(([holder.path] if holder else []) + [info.alias or name]),
            attributes=(*(holder.attributes if holder else ()), name),
            flags=said.flags,
            rolls=said.rolls and (holder is None or holder.rolls),
            leaf=not models,
            scalar=not models and not any(get_origin(kind) in (list, dict) for kind in kinds),
            key=next(
                (f"{flag.name}.{name}" for flag in (holder.flags if holder else ()) if flag.passed in _OBJECTS), ""
            ),
        )
        yield found
        for inner in models:
            yield from fields(inner, found)


def _kinds(annotation: Any) -> list[Any]:
    """The types that a field's value may have."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for option in get_args(annotation) for kind in _kinds(option)]
    return [annotation]

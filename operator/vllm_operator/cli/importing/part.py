"""A value of a source together with its place, so that whoever reads it can say where it stood."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .report import Origin, Place, dotted, parts


@dataclass(frozen=True, slots=True)
class Part:
    """A node of a source. What is missing is a Part of None, so that a path can be followed to its end."""

    value: Any
    place: Place

    def at(self, *keys: str | int) -> "Part":
        """What is below it, by keys and indices."""
        found = self
        for key in keys:
            found = Part(dict(parts(found.value)).get(key), (*found.place, key))
        return found

    def items(self) -> Iterator[tuple[str, "Part"]]:
        """The parts of a mapping."""
        if isinstance(self.value, dict):
            yield from ((str(key), Part(item, (*self.place, str(key)))) for key, item in self.value.items())

    def each(self) -> Iterator["Part"]:
        """The items of a list; a value that is none counts as the only one."""
        if isinstance(self.value, list):
            yield from (Part(item, (*self.place, index)) for index, item in enumerate(self.value))
        elif self:
            yield self

    @property
    def text(self) -> str:
        """The value as a string; empty where it is missing. Truth values are as YAML writes them."""
        if self.value is None:
            return ""
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)

    def origin(self, what: str = "") -> Origin:
        """The part as the report names it; by its path, where no name is given."""
        return Origin(self.place, what or dotted(self.place))

    def __bool__(self) -> bool:
        return self.value is not None

"""What a watch is: which objects, what is kept of each, and whose keys an event concerns. Rows, and no decision."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..api.resource import Body, Key
from ..resources import Resource

# What comes at the same moment is still worth one look.
URGENT_SECONDS = 0.1
# Indices by their names: of each, what was kept of all objects, by key.
Indices = Mapping[str, Mapping[Any, Iterable[Any]]]


class Item(NamedTuple):
    """An object of one of our kinds that is to be looked at."""

    kind: str
    key: Key

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


@dataclass(frozen=True, slots=True)
class Source:
    """One resource that is watched."""

    resource: Resource
    indices: Mapping[str, Callable[[Body], Mapping[Any, Any]]]
    """By the name of an index: what it keeps of an object, by key; nothing where that is not for this index."""
    concerns: Callable[[Body, Indices], Iterable[Item]]
    """Whose turn an event makes it."""
    owner: str = ""
    """The kind of ours whose objects are the keys of the indices: one that an object has left is looked at, too."""
    deleted: str = ""
    """The name of an index, apart from those, that keeps which objects of theirs were deleted lately."""
    delay: float = 0.0
    """Seconds that they may wait: several events often come at once, and are worth one look."""
    labelled: bool = False
    """Whether only objects with our label are watched."""
    label: str = ""
    """A label that watched objects have, where they are made by others and have none of ours."""
    optional: bool = False
    """Whether a cluster may not know the API."""
    urgency: Callable[[Body, str | None], int] | None = None
    """How much users wait for what an object tells, 0 if not: else its event waits no longer than URGENT_SECONDS, and
    for no less urgent object of the namespace. With it comes the event's type: None where it was there already."""
    by_snapshot: bool = False
    """Whether an event counts only where it changes what is kept: objects that are written every few seconds."""

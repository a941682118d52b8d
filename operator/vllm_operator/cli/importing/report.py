"""Where each part of a source went: one row each, and what has no row is found at the end. It judges no part."""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

Place = tuple[str | int, ...]
"""Where something stands in the sources: the number of a document, then keys and indices."""


class Went(StrEnum):
    """Where a part of a source went."""

    FIELD = "field"
    DEFAULT = "default"
    OPERATOR = "operator"
    GONE = "gone"
    STAYS = "stays"
    SETTINGS = "settings"
    LEFT = "left out"


# What somebody has to look at.
LOST = frozenset({Went.LEFT, Went.SETTINGS})


# What is said of a whole document all of which is the operator's business, or was taken over.
MAKES_BUDGET = "the operator makes one, where there is more than one replica"
MAKES_MONITOR = "the operator makes one, where Prometheus' kinds are there"
MAKES_SAME = "the operator makes the same one"
SELECT_PODS = "metrics are on port 8000, path /metrics: have it select app.kubernetes.io/instance"
IN_RESOURCES = "CPU and memory of pods are in resources"
EACH_FLAG = "is no longer needed: each flag in it was taken over"
PRINTED = "printed as it is, for the service to use"
OF_ALL = frozenset({MAKES_BUDGET, MAKES_MONITOR, MAKES_SAME, SELECT_PODS, IN_RESOURCES, EACH_FLAG, PRINTED})

# What the row of the model's name is called, where no part of the source is that name alone.
ASKED = "the name that clients use"

# A name alone, with what it names, or one that is made of it: of a Secret, or a claim.
_NAME = re.compile(r"(?:name |service |[A-Z]\w*/)?([a-z0-9-]+)|pvc://([a-z0-9-]+)/.*")
# Shorter ones are words that stand everywhere.
LEAST_SECRET = 6


class Origin(NamedTuple):
    """A part of a source: its place, and how people call it."""

    place: Place
    what: str
    also: tuple[Place, ...] = ()
    """Further places that the same part stands at: the value of a flag, as a word of its own."""


class Row(NamedTuple):
    """A part of a source, and where it went."""

    origin: Origin
    went: Went
    text: str

    @property
    def of_all(self) -> bool:
        """Whether it holds for all that is below its place. Of a whole document, or an autoscaler, much may be lost."""
        if self.went in (Went.LEFT, Went.STAYS) or self.text in OF_ALL:
            return True
        return len(self.origin.place) > 1 and not self.text.startswith("autoscaling:")


class Report:
    """The rows of all sources, in the order in which their parts were met."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.secrets: set[str] = set()
        """Values that must not be printed."""
        self.names: set[str] = set()
        """What services and their namespaces are called: printed, whatever else has the same text.

        A text around them, such as an address with a password, is none of these.
        """

    def add(self, origin: Origin, went: Went, text: str) -> None:
        """Say where a part went; a row that is there already is not written twice."""
        row = Row(origin, went, text)
        if row not in self.rows:
            self.rows.append(row)

    def forget(self, number: int) -> None:
        """Take back what was said of a document."""
        self.rows = [row for row in self.rows if row.origin.place[:1] != (number,)]

    def hide(self, text: str) -> str:
        """A text without the values that must not be printed; a name keeps those in it, or it would name nothing."""
        found = _NAME.fullmatch(text)
        made = f"-{found[1] or found[2]}-" if found else ""
        kept = [name for name in self.names if f"-{name}-" in made]
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= LEAST_SECRET and not any(secret in name for name in kept):
                text = text.replace(secret, "***")
        return text

    def hidden(self, node: Any) -> Any:
        """A part of what is printed without such values."""
        if isinstance(node, dict):
            return {key: self.hidden(item) for key, item in node.items()}
        if isinstance(node, list):
            return [self.hidden(item) for item in node]
        return self.hide(node) if isinstance(node, str) else node

    @property
    def lost(self) -> bool:
        """Whether something was left out, or would be refused."""
        return any(row.went in LOST for row in self.rows)

    def unsaid(self, number: int, body: Any) -> list[Place]:
        """The largest parts of a document in which no part has a row."""
        places = [
            (place, row.of_all)
            for row in self.rows
            for place in (row.origin.place, *row.origin.also)
            if place[:1] == (number,)
        ]
        holding = {place[:length] for place, _ in places for length in range(len(place) + 1)}
        return list(_unsaid((number,), body, {place for place, of_all in places if of_all}, holding))


def _unsaid(place: Place, node: Any, told: set[Place], holding: set[Place]) -> Iterator[Place]:
    if place in told:
        return
    if place not in holding:
        if node not in (None, {}, []):
            yield place
        return
    for key, item in parts(node):
        yield from _unsaid((*place, key), item, told, holding)


def parts(node: Any) -> Iterable[tuple[str | int, Any]]:
    """The parts of a mapping or list, by key or index; of anything else none."""
    if isinstance(node, dict):
        return [(str(key), item) for key, item in node.items()]
    return list(enumerate(node)) if isinstance(node, list) else []


def dotted(place: Place) -> str:
    """A place within its document, as people write it: spec.containers[0].image."""
    text = ""
    for step in place[1:]:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")

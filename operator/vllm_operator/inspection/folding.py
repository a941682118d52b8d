"""Long lists of module names in a shorter form, and back: a list of unquantized modules may name thousands. Pure.

So may an object that says of each module how it is quantized. The short form is an object with one key of ours. Nothing
that anybody wrote may have that key, and what is unfolded is counted before it is made: 200 bytes could stand for
gigabytes.
"""

import json
import re
from itertools import accumulate, groupby, product
from math import prod
from typing import Any

from ..api.limits import NAMES, NAMES_CHARACTERS, UNFOLDED_VALUES, OverLimitError

_FOLDED, _FOLDED_MAP = "$folded", "$foldedMap"
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_LONG = 32
_MOST_KINDS = 32
"""Different values of an object of modules: there are as many ways to quantize one in a checkpoint, at most."""


def fold(node: Any) -> Any:
    """A JSON value with its long lists and objects of modules in a shorter form.

    Raises ValueError where it has that form.
    """
    if isinstance(node, dict):
        if own := next((key for key in (_FOLDED, _FOLDED_MAP) if key in node), None):
            raise ValueError(f"it has the key {own}, which no model has")
        if groups := _alike(node):
            return {_FOLDED_MAP: [[fold(value), *_gridded(names)] for value, names in groups]}
        return {key: fold(value) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    return _fold(node) if _are_names(node) else [fold(item) for item in node]


def _alike(node: dict[str, Any]) -> list[tuple[Any, list[str]]]:
    """The keys of a long object by their value; none where it is no object of modules."""
    if not _are_names(list(node)) or not all(isinstance(value, dict) for value in node.values()):
        return []
    groups: dict[str, tuple[Any, list[str]]] = {}
    for name, value in node.items():
        groups.setdefault(json.dumps(value, sort_keys=True), (value, []))[1].append(name)
    return [(value, sorted(names, key=_form)) for value, names in groups.values()] if len(groups) <= _MOST_KINDS else []


def _gridded(names: list[str]) -> tuple[list[Any], list[Any]]:
    """Sorted names as runs, and those that are each number with each other as grids: all experts of all layers."""
    grids: list[Any] = []
    others: list[str] = []
    for pattern, group in groupby(names, key=lambda name: _form(name)[0]):
        some = list(group)
        values = [sorted(set(column)) for column in zip(*(_form(name)[1] for name in some), strict=True)]
        if len(some) > 1 and prod(map(len, values)) == len(set(some)) == len(some):
            grids.append([pattern, values])
        else:
            others += some
    return _fold(others)[_FOLDED], grids


def _form(name: str) -> tuple[str, list[int]]:
    """The pattern of a name, and the numbers in it."""
    return _NUMBER.sub("#", name), [int(number) for number in _NUMBER.findall(name)]


def _are_names(items: list[Any]) -> bool:
    return len(items) >= _LONG and all(isinstance(item, str) and "#" not in item for item in items)


def _fold(items: list[Any]) -> Any:
    """As runs of one pattern, like layers.#.mlp.#, with the steps of each number.

    The steps are nearly all 0 or 1, which packs to almost nothing.
    """
    runs: list[tuple[str, list[list[int]]]] = []
    for item in items:
        pattern, numbers = _form(item)
        if not runs or runs[-1][0] != pattern:
            runs.append((pattern, []))
        runs[-1][1].append(numbers)
    return {
        _FOLDED: [
            [pattern, len(rows), [_steps(column) for column in zip(*rows, strict=True)]] for pattern, rows in runs
        ]
    }


def _steps(column: tuple[int, ...]) -> list[int]:
    return [b - a for a, b in zip((0, *column), column, strict=False)]


class Unfolding:
    """Unfolds the lists of one config, and counts what becomes of them.

    What is in an object of modules counts once for each of its modules, also where they share it: whoever goes through
    it, or shows it, meets it as often.
    """

    def __init__(self) -> None:
        self.names = 0
        self.characters = 0
        self._values = 0
        # How many modules have what is being unfolded.
        self._modules = 1

    def unfold(self, node: Any) -> Any:
        """The value with all lists as they were. Raises OverLimitError, ValueError or TypeError for what is none."""
        if self._modules > 1:
            self._count_value(node)
        if isinstance(node, dict):
            if _FOLDED in node:
                return self._runs(node[_FOLDED])
            if _FOLDED_MAP in node:
                return self._map(node[_FOLDED_MAP])
            return {key: self.unfold(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.unfold(item) for item in node]
        return node

    def _map(self, groups: list[Any]) -> dict[str, Any]:
        """All modules of a group share one value: nobody changes it."""
        found: dict[str, Any] = {}
        for value, runs, grids in groups:
            names = [*self._runs(runs), *(name for grid in grids for name in self._grid(*grid))]
            outer, self._modules = self._modules, self._modules * max(len(names), 1)
            found.update(dict.fromkeys(names, self.unfold(value)))
            self._modules = outer
        return found

    def _grid(self, pattern: str, values: list[list[int]]) -> list[str]:
        holes = _holes(pattern)
        if holes != len(values) or not all(type(one) is int for column in values for one in column):
            raise ValueError("a grid of names does not add up")
        self._count(prod(map(len, values)), pattern)
        form = _form_of(pattern)
        return [form % row for row in product(*values)]

    def _runs(self, runs: list[Any]) -> list[str]:
        return [name for run in runs for name in self._run(*run)]

    def _run(self, pattern: str, count: int, steps: list[list[int]]) -> list[str]:
        if count < 0 or _holes(pattern) != len(steps) or any(len(column) != count for column in steps):
            raise ValueError("a list of names does not add up")
        if not all(type(step) is int for column in steps for step in column):
            raise TypeError("a step is no whole number")
        self._count(count, pattern)
        if not steps:
            return [pattern] * count
        form = _form_of(pattern)
        return [form % row for row in zip(*map(accumulate, steps), strict=True)]

    def _count_value(self, node: Any) -> None:
        texts = [node] if isinstance(node, str) else node if isinstance(node, dict) else ()
        self._values += self._modules
        self.characters += self._modules * sum(map(len, texts))
        self._check()

    def _count(self, names: int, pattern: str) -> None:
        names *= self._modules
        self.names += names
        self.characters += names * len(pattern)
        self._check()

    def _check(self) -> None:
        if self._values > UNFOLDED_VALUES:
            raise OverLimitError(f"its modules have more than {UNFOLDED_VALUES:,} values")
        if self.names > NAMES or self.characters > NAMES_CHARACTERS:
            raise OverLimitError(
                f"its lists have more than {NAMES:,} names, or more than {NAMES_CHARACTERS:,} characters in them"
            )


def _holes(pattern: Any) -> int:
    """How many numbers a pattern has."""
    if not isinstance(pattern, str):
        raise TypeError("a pattern of names is no text")
    return pattern.count("#")


def _form_of(pattern: str) -> str:
    """The pattern for Python's own formatting."""
    return pattern.replace("%", "%%").replace("#", "%d")

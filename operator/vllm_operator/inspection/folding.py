"""Long lists of module names in a shorter form, and back: a list of unquantized modules may name thousands. Pure.

The short form is an object with one key of ours. Nothing that anybody wrote may have that key, and what is unfolded is
counted before it is made: 200 bytes could stand for gigabytes.
"""

import re
from itertools import accumulate
from typing import Any

from ..api.limits import NAMES, NAMES_CHARACTERS, OverLimitError

_FOLDED = "$folded"
_LONG = 32


def fold(node: Any) -> Any:
    """A JSON value with its long lists of module names in a shorter form. Raises ValueError where it has that form."""
    if isinstance(node, dict):
        if _FOLDED in node:
            raise ValueError(f"it has the key {_FOLDED}, which no model has")
        return {key: fold(value) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    return _fold(node) if _are_names(node) else [fold(item) for item in node]


def _are_names(items: list[Any]) -> bool:
    return len(items) >= _LONG and all(isinstance(item, str) and "#" not in item for item in items)


def _fold(items: list[Any]) -> Any:
    """As runs of one pattern, like layers.#.mlp.#, with the steps of each number.

    The steps are nearly all 0 or 1, which packs to almost nothing.
    """
    runs: list[tuple[str, list[list[int]]]] = []
    for item in items:
        pattern, numbers = re.sub(r"0|[1-9][0-9]*", "#", item), [int(n) for n in re.findall(r"0|[1-9][0-9]*", item)]
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
    """Unfolds the lists of one config, and counts what becomes of them."""

    def __init__(self) -> None:
        self.names = 0
        self.characters = 0

    def unfold(self, node: Any) -> Any:
        """The value with all lists as they were. Raises OverLimitError, ValueError or TypeError for what is none."""
        if isinstance(node, dict):
            if _FOLDED in node:
                return [name for run in node[_FOLDED] for name in self._run(*run)]
            return {key: self.unfold(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.unfold(item) if isinstance(item, dict | list) else item for item in node]
        return node

    def _run(self, pattern: str, count: int, steps: list[list[int]]) -> list[str]:
        if count < 0 or pattern.count("#") != len(steps) or any(len(column) != count for column in steps):
            raise ValueError("a list of names does not add up")
        if not all(type(step) is int for column in steps for step in column):
            raise TypeError("a step is no whole number")
        self.names += count
        self.characters += count * len(pattern)
        if self.names > NAMES or self.characters > NAMES_CHARACTERS:
            raise OverLimitError(
                f"its lists have more than {NAMES:,} names, or more than {NAMES_CHARACTERS:,} characters in them"
            )
        if not steps:
            return [pattern] * count
        form = pattern.replace("%", "%%").replace("#", "%d")
        return [form % row for row in zip(*map(accumulate, steps), strict=True)]

"""Whose turn it is: round robin between groups, so that many of one group do not delay the one of another.

Within a group, what is urgent comes before all else.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class Turns(Generic[Waiting]):
    """What waits, in the order in which it is taken. `group(item)` names those with whom an item shares its turns."""

    def __init__(self, group: Callable[[Waiting], Hashable]) -> None:
        self._group = group
        # What is urgent, and the rest. The group whose turn is next is first. None of them is empty.
        self._groups: OrderedDict[Hashable, tuple[deque[Waiting], deque[Waiting]]] = OrderedDict()

    def add(self, item: Waiting, *, urgent: bool = False) -> None:
        """The item comes last of its group, or of what is urgent there; a new group comes last of all."""
        rush, rest = self._groups.setdefault(self._group(item), (deque(), deque()))
        (rush if urgent else rest).append(item)

    def take(self) -> Waiting | None:
        """The next item, of the group whose turn it is; None where nothing waits."""
        if not self._groups:
            return None
        group, (rush, rest) = self._groups.popitem(last=False)
        item = (rush or rest).popleft()
        if rush or rest:
            self._groups[group] = rush, rest
        return item

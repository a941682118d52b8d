"""Whose turn it is: round robin between groups, so that many of one group do not delay the one of another."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class Turns(Generic[Waiting]):
    """What waits, in the order in which it is taken. `group(item)` names those with whom an item shares its turns."""

    def __init__(self, group: Callable[[Waiting], Hashable]) -> None:
        self._group = group
        # The group whose turn is next is first. None of them is empty.
        self._groups: OrderedDict[Hashable, deque[Waiting]] = OrderedDict()

    def add(self, item: Waiting) -> None:
        """The item comes last of its group; a new group comes last of all."""
        self._groups.setdefault(self._group(item), deque()).append(item)

    def take(self) -> Waiting | None:
        """The next item, of the group whose turn it is; None where nothing waits."""
        if not self._groups:
            return None
        group, items = self._groups.popitem(last=False)
        item = items.popleft()
        if items:
            self._groups[group] = items
        return item

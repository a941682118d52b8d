"""Whose turn it is: round robin between groups, so that many of one group do not delay the one of another.

Within a group, what is more urgent comes first.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Container, Hashable
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class Turns(Generic[Waiting]):
    """What waits, in the order in which it is taken. `group(item)` names those with whom an item shares its turns."""

    def __init__(self, group: Callable[[Waiting], Hashable]) -> None:
        self._group = group
        # By how urgent it is, what waits. The group whose turn is next is first. None of them is empty.
        self._groups: OrderedDict[Hashable, dict[int, deque[Waiting]]] = OrderedDict()

    def add(self, item: Waiting, urgency: int = 0) -> None:
        """The item comes last of what is as urgent in its group; a new group comes last of all."""
        self._groups.setdefault(self._group(item), {}).setdefault(urgency, deque()).append(item)

    def take(self, full: Container[Hashable] = ()) -> Waiting | None:
        """The next item, of the group whose turn it is and that is not `full`; None where no such one waits."""
        group = next((one for one in self._groups if one not in full), None)
        if group is None:
            return None
        waiting = self._groups.pop(group)
        most = max(waiting)
        item = waiting[most].popleft()
        if not waiting[most]:
            del waiting[most]
        if waiting:
            self._groups[group] = waiting
        return item

"""A cache that is bounded by what its values take, not by how many there are: one may be as large as ten thousand."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SizedCache(Generic[Value]):
    """The values that were used last, together at most so many bytes. May be used from several threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._held = most_bytes, 0
        self._values: OrderedDict[Hashable, tuple[Value, int, Hashable]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[Value, int]], state: Hashable = None) -> Value:
        """The value of a key; where it is not kept, `make()` gives it with its bytes. Raises what that raises.

        Of what changes, only the value of one state is kept, the last.
        """
        with self._lock:
            if key in self._values and self._values[key][2] == state:
                self._values.move_to_end(key)
                return self._values[key][0]
        value, size = make()
        with self._lock:
            if key in self._values:
                self._held -= self._values.pop(key)[1]
            if size <= self._most:
                self._values[key] = (value, size, state)
                self._held += size
                while self._held > self._most:
                    _, (_, freed, _) = self._values.popitem(last=False)
                    self._held -= freed
        return value

    @property
    def held(self) -> int:
        """Bytes of all that is kept, as they were given."""
        return self._held

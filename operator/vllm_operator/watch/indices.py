"""What is kept of what the watches have shown: values by key, each of one object."""

from collections.abc import Collection, Iterator, Mapping, ValuesView
from typing import Any


class Index(Mapping[Any, ValuesView[Any]]):
    """By key, what is kept of objects. Of an object, which its uid names, there may be a value for several keys."""

    def __init__(self) -> None:
        # None of the values is empty.
        self._values: dict[Any, dict[str, Any]] = {}
        self._keys: dict[str, tuple[Any, ...]] = {}

    def put(self, uid: str, kept: Mapping[Any, Any]) -> Collection[Any] | None:
        """Keeps this of an object, and nothing else. Returns the keys that it has left; None where nothing changes."""
        before = {key: self._values[key][uid] for key in self._keys.get(uid, ())}
        if before == kept:
            return None
        for key in before:
            del self._values[key][uid]
            if not self._values[key]:
                del self._values[key]
        for key, value in kept.items():
            self._values.setdefault(key, {})[uid] = value
        if kept:
            self._keys[uid] = tuple(kept)
        else:
            del self._keys[uid]
        return before.keys() - kept.keys()

    def __getitem__(self, key: Any) -> ValuesView[Any]:
        return self._values[key].values()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

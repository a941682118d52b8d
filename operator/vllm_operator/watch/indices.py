"""What is kept of what the watches have shown: values by key, each of one object."""

from collections.abc import Collection, Iterator, Mapping, ValuesView
from typing import Any

# Of a few seconds, in which somebody may delete what all services have: some 200 bytes each.
MOST_DELETED = 4096


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


class Deleted(Mapping[Any, tuple[int]]):
    """The version at which an object was deleted last, by whose it was, its kind and its name: of so many of them."""

    def __init__(self, most: int = MOST_DELETED) -> None:
        self._most = most
        self._versions: dict[Any, int] = {}

    def put(self, name: Any, version: int) -> None:
        """It was deleted. What was so the longest time ago is forgotten for it."""
        self._versions.pop(name, None)
        self._versions[name] = version
        if len(self._versions) > self._most:
            del self._versions[next(iter(self._versions))]

    def __getitem__(self, name: Any) -> tuple[int]:
        return (self._versions[name],)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

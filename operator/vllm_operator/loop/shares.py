"""Which part of the cluster's namespaces an operator sees to, where several share them out (the setting shards)."""

from dataclasses import dataclass
from zlib import crc32

from ..api.resource import Key


@dataclass(frozen=True, slots=True)
class Share:
    """One of `of` parts, by number from 0."""

    index: int = 0
    of: int = 1

    def covers(self, key: Key) -> bool:
        """Whether an object is in this part. What belongs to the whole cluster is in one, by its name.

        A key without a name is no object: something that every operator has to look at.
        """
        whose = key.namespace or key.name
        return not whose or crc32(whose.encode()) % self.of == self.index


WHOLE = Share()
"""All namespaces."""

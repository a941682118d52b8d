"""Sorts more records than memory should hold: they lie in files by ranges, and each range is sorted by itself."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

_HELD_BYTES = 2**20
# Of this process: in a container, every process has the same number, and others may write beside it.
WRITER = uuid.uuid4().hex[:12]


class Buckets:
    """Records of one size in numbered files of a folder that goes with `close`."""

    def __init__(self, parent: Path, record: Struct) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tmp-", dir=parent)
        self._record = record
        self._held: dict[int, bytearray] = {}
        self._size = 0

    def add(self, bucket: int, *values: Any) -> None:
        """Puts a record into a bucket."""
        self._held.setdefault(bucket, bytearray()).extend(self._record.pack(*values))
        self._size += self._record.size
        if self._size >= _HELD_BYTES:
            self._flush()

    def read(self, bucket: int) -> Iterator[tuple[Any, ...]]:
        """The records of a bucket, sorted."""
        self._flush()
        path = self._path(bucket)
        return iter(sorted(self._record.iter_unpack(path.read_bytes()))) if path.exists() else iter(())

    def close(self) -> None:
        """Removes the files."""
        self._folder.cleanup()

    def _path(self, bucket: int) -> Path:
        return Path(self._folder.name) / str(bucket)

    def _flush(self) -> None:
        for bucket, held in self._held.items():
            with self._path(bucket).open("ab") as file:
                file.write(held)
        self._held.clear()
        self._size = 0

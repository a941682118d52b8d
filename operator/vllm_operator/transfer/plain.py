"""Files of a folder that vLLM's container writes: what runs there may be the tenant's code.

A link to what only this container has, like its environment with the keys, must not be followed: it would end in the
bucket, come back, or be written over.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITTEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # which follows no link


def opened(root: Path, name: str) -> BinaryIO | None:
    """A file below a folder, where it is one and no part of its name is a link; else None."""
    with suppress(OSError):
        with _folder(root, name) as (at, last):
            found = os.open(last, _FILE, dir_fd=at)
        if stat.S_ISREG(os.fstat(found).st_mode):
            return os.fdopen(found, "rb")
        os.close(found)
    return None


def created(root: Path, name: str) -> BinaryIO:
    """A new file below a folder, in place of what has its name; its folders are made. Raises OSError where one is a
    link."""
    with _folder(root, name, make=True) as (at, last):
        with suppress(FileNotFoundError):
            os.unlink(last, dir_fd=at)
        return os.fdopen(os.open(last, _NEW, 0o666, dir_fd=at), "w+b")


def writable(root: Path, name: str) -> BinaryIO:
    """A file below a folder that was created there. Raises OSError where a part of its name is a link."""
    with _folder(root, name) as (at, last):
        return os.fdopen(os.open(last, _WRITTEN, dir_fd=at), "r+b")


@contextmanager
def _folder(root: Path, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The folder that a file is in, reached over no link below the root, and the last part of the file's name."""
    *folders, last = PurePosixPath(name).parts
    at = os.open(root, _FOLDER)
    try:
        for folder in folders:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=at)
            below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        yield at, last
    finally:
        os.close(at)


def names(folder: Path, *, folders: bool = False) -> list[str]:
    """The names of the files in a folder, or of its folders, in order; none of links, nor of a folder that is one."""
    with suppress(OSError):
        if not folder.is_symlink():
            with os.scandir(folder) as found:
                return sorted(
                    one.name
                    for one in found
                    if (one.is_dir(follow_symlinks=False) if folders else one.is_file(follow_symlinks=False))
                )
    return []

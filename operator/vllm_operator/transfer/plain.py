"""Files of a folder that vLLM's container writes: what runs there may be the tenant's code.

A link to what only this container has, like its environment with the keys, must not be followed: it would end in the
bucket, or come back.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def opened(root: Path, name: str) -> BinaryIO | None:
    """A file below a folder, where it is one and no part of its name is a link; else None."""
    *folders, last = PurePosixPath(name).parts
    with suppress(OSError):
        at = os.open(root, _FOLDER)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            found = os.open(last, _FILE, dir_fd=at)
        finally:
            os.close(at)
        if stat.S_ISREG(os.fstat(found).st_mode):
            return os.fdopen(found, "rb")
        os.close(found)
    return None


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

"""Earlier versions of the operator, from git."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from cluster.host import REPOSITORY

GIT = ("git", "-C", str(REPOSITORY))
# The version that the changelog calls the last one.
RELEASED = "b23be15d18a952abbb382f00ef569c3f654b5f6b"


def source_of(commit: str, folder: Path) -> Path | None:
    """The operator's source as it was at a commit; None where git does not have it."""
    return unpacked(commit, folder, "operator")


def unpacked(commit: str, folder: Path, path: str) -> Path | None:
    """A folder of the repository as it was at a commit; None where git does not have it."""
    packed = subprocess.run([*GIT, "archive", commit, path], capture_output=True, check=False)
    if packed.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / path

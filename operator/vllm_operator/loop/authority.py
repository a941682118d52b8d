"""Whether the cluster's certificates have got another authority than when the operator started.

Every connection trusts what was in the file when its client was made. Once the API server has a certificate of another
authority, only a fresh start reaches it; and nobody but this process can tell that from an API server that is away.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

# Where the kubelet keeps it up to date (https://kubernetes.io/docs/concepts/storage/projected-volumes/).
FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
LOOK_SECONDS = 10.0
# A file that changes is no reason where the API server still answers: both authorities are trusted for a while.
SILENT_SECONDS = 60.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def followed(
    silence: Callable[[], float], on_change: Callable[[], None], file: Path = FILE
) -> AsyncIterator[None]:
    """Calls `on_change()` within the block where the authority is another one, and the API server does not answer.

    `silence()`: for how many seconds it has not.
    """
    looks = asyncio.create_task(_look(silence, on_change, file, _read(file)))
    try:
        yield
    finally:
        looks.cancel()


async def _look(silence: Callable[[], float], on_change: Callable[[], None], file: Path, trusted: bytes) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if silence() > SILENT_SECONDS and _read(file) not in (b"", trusted):
            log.warning("the API server does not answer, and %s is another one since: starting again", file)
            on_change()


def _read(file: Path) -> bytes:
    """Empty outside of a cluster."""
    try:
        return file.read_bytes()
    except OSError:
        return b""

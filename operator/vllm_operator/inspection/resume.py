"""Fetches a large file so that a try that was cut off is gone on with, by huggingface_hub's own means.

huggingface_hub 2.4 gives each try a file of its own and takes it away when it fails, as locks of some volumes keep no
two writers apart. Here all tries write one file, each byte at its place, and nothing is cut off: two writers write the
same. It gets the name of the content, which is its SHA-256, when it has that; where a volume takes no links, the name
by which vLLM looks for it, as huggingface_hub would copy it to there, and take twice the room.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.file_download import HfFileMetadata, are_symlinks_supported, http_get
from huggingface_hub.utils._fixes import WeakFileLock
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._runtime import is_xet_available
from huggingface_hub.utils._xet import get_xet_session, refresh_xet_connection_info, xet_headers_without_auth

from .order import Order, Wanted
from .progress import size
from .sources import TIMEOUT_SECONDS


def fetch_large(order: Order, file: Wanted, token: str | None, say: Callable[[str], None]) -> None:
    """Fetches what is missing of a file whose SHA-256 is known. What it leaves undone, huggingface_hub does anew."""
    blob, begun, lock, named = order.blob(file), order.begun(file), order.lock(file), order.named(file)
    if named.exists():
        return
    place = blob if are_symlinks_supported(order.folder) else named
    if place.exists():
        return
    headers = build_hf_headers(token=token or False)
    url = hf_hub_url(order.repository, file.name, revision=order.commit)
    told = get_hf_file_metadata(url, token=token or False, timeout=TIMEOUT_SECONDS)
    if told.etag != file.digest:  # a mirror that names contents otherwise
        return
    for folder in (blob.parent, lock.parent, place.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # which all users of huggingface_hub take
        if blob.exists() and not place.exists():  # of a try that ended before it had its name
            blob.rename(place)
        if place.exists():
            return
        try:
            with _Begun(begun) as there:
                if there.tell():
                    say(f"{file.name}: goes on after {size(there.tell())}")
                _receive(file, told, url, headers, there)
        except _RangeRefusedError:
            say(f"{file.name}: the hub sends whole files only")
            begun.unlink(missing_ok=True)
            return
        if file.is_content_of(begun):
            begun.rename(place)
            order.note_compared(file)
        else:
            say(f"{file.name} is not what the hub says of it: it is fetched again")
            begun.unlink()


def _receive(file: Wanted, told: HfFileMetadata, url: str, headers: dict[str, str], there: "_Begun") -> None:
    """Appends what is missing. More than the file has is left to be found wrong."""
    at = there.tell()
    if at >= file.size:
        return
    if told.xet_file_data is None or not is_xet_available():
        sink: Any = there
        http_get(url, sink, resume_size=at, headers=headers, expected_size=file.size, displayed_filename=file.name)
        return
    from hf_xet import XetFileInfo  # noqa: PLC0415 - there are machines without it

    session: Any = get_xet_session()  # type: ignore[no-untyped-call]
    store = refresh_xet_connection_info(file_data=told.xet_file_data, headers=headers)
    group = session.new_download_stream_group(
        endpoint=store.endpoint,
        token=store.access_token,
        token_expiry_unix_secs=store.expiration_unix_epoch,
        token_refresh_url=told.xet_file_data.refresh_route,
        token_refresh_headers=headers,
        custom_headers=xet_headers_without_auth(headers),
    )
    for part in group.download_stream(XetFileInfo(told.xet_file_data.file_hash, file.size), start=at):
        there.write(part)


class _RangeRefusedError(Exception):
    """The hub, or a mirror of it, sends the file from its start, and what is there would be written again."""


class _Begun(io.BufferedRandom):
    """A file to go on with, from its end. It is let go as soon as another writer has given it its name."""

    def __init__(self, path: Path) -> None:
        path.touch()
        super().__init__(io.FileIO(path, "r+"))
        self._path = path
        self.seek(0, os.SEEK_END)

    def write(self, part: Any) -> int:
        if not os.path.samestat(os.fstat(self.fileno()), self._path.stat()):
            raise FileExistsError(f"{self._path} is another writer's")
        return super().write(part)

    def truncate(self, _: int | None = None) -> int:
        """What huggingface_hub does where it would begin anew."""
        raise _RangeRefusedError

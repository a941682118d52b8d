"""`vllm-operator download`: fetches one commit of a model into the cache on a claim. Runs in the download Job.

Files lie where huggingface_hub, and so vLLM, looks for them. Each is compared with what the hub says of it, once, and
is never written again: the hub's digest of its content is its name in the cache. What is there stays after a failure,
so another try goes on where the last one ended. Of several Jobs for the same files one fetches, and others wait for it.
"""

import errno
import fcntl
import glob
import os
import shutil
import socket
import ssl
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.hf_api import RepoSibling

from ..api import limits
from ..api.reasons import Reason
from .hub_errors import hub_trouble
from .order import Order, Wanted
from .progress import PERIOD_SECONDS, Progress, line, size
from .report import InspectionError, encode_error
from .resume import fetch_large
from .sources import TIMEOUT_SECONDS, hub_file
from .weights import fetched

# What passes by itself is tried again after so many seconds, with what is there by then.
RETRY_SECONDS = (10.0, 30.0, 60.0, 120.0, 240.0)
# Files that were left half written, and that nobody goes on with.
STALE_SECONDS = 3600.0
_PASSES = (Reason.HUB_UNREACHABLE, Reason.HUB_RATE_LIMITED, Reason.DOWNLOAD_FAILED)
_FETCHED_AT_ONCE, _COMPARED_AT_ONCE = 8, 4
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
# What an operating system says of a connection. Other errors are a volume's; so is any that names a file.
_OF_NETWORK = (
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, errno.ESHUTDOWN,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT,
    errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EAGAIN, errno.EINTR, errno.ENOBUFS,
)  # fmt: skip


def download(order: Order, output: Path, sleep: Callable[[float], None] = time.sleep) -> int:
    """Fetches what is not there yet; leaves in `output` why that did not work. Returns the exit status."""
    token = os.environ.get("HF_TOKEN")
    for pause in (*RETRY_SECONDS, None):
        try:
            with _disk(), hub_trouble(order.repository, order.commit, token):
                _fetch(order, token)
        except InspectionError as error:
            _say(f"{error.reason}: {error}")
            if pause is None or error.reason not in _PASSES:
                output.write_text(encode_error(error))
                return 1
            sleep(pause)
        except Exception as error:
            traceback.print_exc()
            text = f"the download failed ({type(error).__name__}): the download Job's log has more"
            if pause is None:
                output.write_text(encode_error(InspectionError(Reason.DOWNLOAD_FAILED, text)))
                return 1
            sleep(pause)
        else:
            break
    return 0


def _fetch(order: Order, token: str | None) -> None:
    api = HfApi(token=token or False)  # False: not that of this machine's user, nor of the claim
    info = api.model_info(order.repository, revision=order.commit, files_metadata=True, timeout=TIMEOUT_SECONDS)
    files = {file.rfilename: file for file in (info.siblings or ())[: limits.FILES]}
    names = fetched(files, lambda name: hub_file(order.repository, name, order.commit, token), order.load_format)
    wanted = [_wanted(files[name]) for name in names]
    with _alone(order, wanted):
        _has_room(order, wanted)
        _clear(order, wanted)
        pool = ThreadPoolExecutor(_FETCHED_AT_ONCE)
        try:
            _tell([pool.submit(_fetch_one, order, file, token) for file in wanted], order, wanted)
        finally:
            pool.shutdown(cancel_futures=True)
        _check(order, wanted)


def _fetch_one(order: Order, file: Wanted, token: str | None) -> None:
    """One file, to where vLLM looks for it: its content, if that is not there, and the name that points to it."""
    if file.large and file.digest:
        fetch_large(order, file, token, _say)
    hf_hub_download(
        order.repository, file.name, revision=order.commit, cache_dir=order.home / "hub",
        token=token or False, etag_timeout=TIMEOUT_SECONDS,
    )  # fmt: skip


def _wanted(file: RepoSibling) -> Wanted:
    digest = file.lfs.sha256 if file.lfs else file.blob_id
    return Wanted(file.rfilename, file.size or 0, digest or "", large=file.lfs is not None)


def _tell(work: Sequence[Future[None]], order: Order, wanted: Sequence[Wanted]) -> None:
    """Says how far it is until the work is done. Raises what a part of the work raises."""
    before: list[tuple[float, int]] = []
    left: Iterable[Future[None]] = work
    while left:
        now, there = time.monotonic(), present(order, wanted)
        before = [*before[-5:], (now, there)]
        spent, more = now - before[0][0], there - before[0][1]
        rate = int(max(0, more) / spent) if spent else 0
        _say(line(Progress(there, _total(wanted), rate)))
        done, left = wait(left, timeout=PERIOD_SECONDS, return_when=FIRST_EXCEPTION)
        for part in done:
            part.result()


def _check(order: Order, wanted: Sequence[Wanted]) -> None:
    """Compares what was not compared before. Raises InspectionError, and takes away what is not as the hub says."""
    new = [file for file in wanted if not order.is_compared(file)]
    total = _total(wanted)
    if new:
        _say(line(Progress(total, total, checks=True)))
    with ThreadPoolExecutor(_COMPARED_AT_ONCE) as pool:
        right = list(pool.map(lambda file: file.is_content_of(order.named(file)), new))
    wrong = [file for file, is_right in zip(new, right, strict=True) if not is_right]
    for file in new:
        if file.digest and file not in wrong:
            order.note_compared(file)
    for file in wrong:
        order.named(file).resolve().unlink(missing_ok=True)
        order.named(file).unlink(missing_ok=True)
    if wrong:
        text = f"{wrong[0].name} is not what the hub says of it: it is fetched again"
        raise InspectionError(Reason.HUB_UNREACHABLE, text)


def present(order: Order, wanted: Sequence[Wanted]) -> int:
    """Bytes of the files that are there, those that are being written too."""
    return sum(min(file.size, _bytes_of(order, file)) for file in wanted)


def _bytes_of(order: Order, file: Wanted) -> int:
    if not file.digest or order.named(file).exists():
        return _written(order.named(file))
    blob = order.blob(file)
    found = [blob, *blob.parent.glob(f"{glob.escape(file.digest)}.*incomplete")]
    return max(map(_written, found))


def _written(path: Path) -> int:
    """Bytes that a file takes: one that is written by parts has holes."""
    try:
        known = path.stat()
    except OSError:
        return 0
    return min(known.st_size, known.st_blocks * 512) if known.st_blocks and "incomplete" in path.name else known.st_size


def _total(wanted: Sequence[Wanted]) -> int:
    return sum(file.size for file in wanted)


def _has_room(order: Order, wanted: Sequence[Wanted]) -> None:
    order.own.mkdir(parents=True, exist_ok=True)
    missing = _total(wanted) - present(order, wanted)
    free = shutil.disk_usage(order.home).free
    if missing > free:
        raise _full(f"the model takes {size(missing)} more and the volume has {size(free)} free")


def _full(what: str) -> InspectionError:
    return InspectionError(Reason.NO_SPACE_LEFT, f"{what}: raise cache.claim.storage, or use a larger claim")


@contextmanager
def _disk() -> Iterator[None]:
    """Raises InspectionError in place of what the claim raises: it is full, is not ours to write, or fails."""
    try:
        yield
    except InspectionError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and _is_of_claim(cause):
            raise _of_claim(cause) from cause
        raise


def _is_of_claim(error: OSError) -> bool:
    """Whether it is about a file, not a connection: TLS and the resolver have numbers of their own."""
    if error.errno is None or isinstance(error, ssl.SSLError | socket.gaierror):
        return False
    return error.filename is not None or error.errno not in _OF_NETWORK


def _of_claim(error: OSError) -> InspectionError:
    if error.errno in _FULL:
        return _full("the volume is full")
    what = ": ".join(str(part) for part in (error.strerror, error.filename) if part)
    if error.errno in _REFUSED:
        fix = "mount it writable" if error.errno == errno.EROFS else "set pod.fsGroup to the group of the volume"
        return InspectionError(Reason.CACHE_NOT_WRITABLE, f"the cache cannot be written ({what}): {fix}")
    text = f"the cache's volume fails ({what}): check the claim's volume and its driver; it is tried again"
    return InspectionError(Reason.DOWNLOAD_FAILED, text)


def _clear(order: Order, wanted: Sequence[Wanted]) -> None:
    """Takes away what was left half written, but not what is to be gone on with."""
    kept = {order.begun(file) for file in wanted if not order.blob(file).exists()}
    for path in (order.folder / "blobs").glob("*.incomplete"):
        if path not in kept and time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(order: Order, wanted: Sequence[Wanted]) -> Iterator[None]:
    """Waits until no other Job fetches this commit into this claim. A volume without locks has none to wait for."""
    order.own.mkdir(parents=True, exist_ok=True)
    with (order.own / f"{order.commit}.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say(line(Progress(present(order, wanted), _total(wanted), waits=True)))
                time.sleep(PERIOD_SECONDS)
                continue
            except OSError as error:
                _say(f"the volume has no locks ({error}): other Jobs may fetch the same files")
            break
        yield


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the Job's log

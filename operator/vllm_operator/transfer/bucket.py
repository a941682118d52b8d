"""A place in a bucket, and what is wrong when it does not answer, as a sentence for the user."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

from ..api.limits import MIB
from ..api.storage import STORE_KEYS

AT_ONCE = 8
RETRIES = 4
"""Of one request, within a minute."""
_RANGE = 8 * MIB
# Of S3: a file has at most 10,000 parts.
_MOST_PARTS = 9000
_MANY = 1000
# A web identity, as with IRSA; or a container's, as with EKS Pod Identity. Of one that is not whole the client takes
# nothing, and asks for the rights of the node.
_IDENTITIES = (
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
)
_BAD_REQUEST, _NOT_IMPLEMENTED = 400, 501
_STATUS, _CODE = re.compile(r"status code: (\d{3})"), re.compile(r"<Code>(\w+)</Code>")
_WRONG_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken")
_Item = TypeVar("_Item")
# What is told is a condition's message, which is to change only when something has.
_TIME = re.compile(r" in [0-9.]+(?:[mµn]?s)\b")
_HTTP_ERROR = re.compile(r"HTTP error: ([^\n]{1,120})")


class BucketError(Exception):
    """What does not work, for the user. `passes`: whether it may work later with nothing changed."""

    def __init__(self, text: str, *, passes: bool) -> None:
        super().__init__(text)
        self.passes = passes


class MissingError(BucketError):
    """There is no such object."""


class Found(NamedTuple):
    """An object, its key counted from the place."""

    key: str
    size: int


@dataclass(frozen=True)
class Place:
    """What is below s3://bucket/path. `field`: of the batch's spec; its keys are variables that begin with it."""

    field: str
    uri: str
    endpoint: str | None = None
    region: str | None = None

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.uri.removeprefix("s3://").partition("/")[0]

    @property
    def path(self) -> str:
        """Within the bucket; empty: all of it."""
        return self.uri.removeprefix("s3://").partition("/")[2].strip("/")

    def key(self, key: str) -> str:
        """An object's key in the bucket."""
        return f"{self.path}/{key}" if self.path else key

    @property
    def _keys(self) -> dict[str, str]:
        found = {name: os.environ.get(f"{self.field.upper()}_{name}", "").strip() for name in STORE_KEYS}
        return {name: value for name, value in found.items() if value}

    def _check(self) -> None:
        """Raises BucketError for what the client does not take, or must not look for."""
        store = f"{self.field}.objectStore"
        keys = self._keys
        # Of a token alone the client takes nothing either.
        if keys and (lacking := [name for name in STORE_KEYS[:2] if name not in keys]):
            text = f"{lacking[0]} in the Secret of {store}.credentialsSecretName is empty: write it there"
            raise BucketError(text, passes=False)
        for name, value in keys.items():
            if not (value.isascii() and value.isprintable()):
                text = f"{name} in the Secret of {store}.credentialsSecretName has characters that no key has"
                raise BucketError(f"{text}: write it anew", passes=False)
        try:
            _ = urlsplit(self.endpoint or "").port
        except ValueError:
            raise BucketError(f"{store}.endpoint {self.endpoint} has a port that is none", passes=False) from None
        # Else the client would ask for the rights of the node, which are not the tenant's.
        if not keys and not any(all(os.environ.get(name) for name in names) for names in _IDENTITIES):
            where = f"{self.uri.rstrip('/')} at {self.endpoint or 'AWS'}"
            text = f"there are no credentials for {where}: set {store}.credentialsSecretName, or"
            raise BucketError(f"{text} pod.serviceAccountName to an account that has an identity there", passes=False)

    @cached_property
    def _store(self) -> S3Store:
        self._check()
        given: Any = {name.lower().removeprefix("aws_"): value for name, value in self._keys.items()}
        region = self.region or os.environ.get("AWS_REGION") or "us-east-1"
        endpoint: Any = {"endpoint": self.endpoint} if self.endpoint else {}
        return S3Store(
            self.bucket, **endpoint, region=region, **given,
            client_options={"allow_http": (self.endpoint or "").startswith("http://"), "connect_timeout": "10s",
                            "timeout": "120s"},
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=60)},
        )  # fmt: skip

    def files(self, folder: str = "", *, below: bool = False) -> Iterator[Found]:
        """The objects in a folder; `below`: those in its folders too. Raises BucketError."""
        prefix = self.key(folder).strip("/")
        cut = len(f"{self.path}/") if self.path else 0
        with self._told(folder):
            if below:
                found = (one for part in obstore.list(self._store, prefix or None) for one in part)
                yield from (Found(one["path"][cut:], one["size"]) for one in found)
            else:
                listed = obstore.list_with_delimiter(self._store, prefix or None)
                yield from (Found(one["path"][cut:], one["size"]) for one in listed["objects"])

    def read(self, key: str) -> bytes:
        """An object as a whole. Raises BucketError."""
        with self._told(key):
            return bytes(obstore.get(self._store, self.key(key)).bytes())

    def download(self, key: str, target: BinaryIO) -> None:
        """Copies an object to a new file, in parts, all of the same version. Raises BucketError."""
        with self._told(key):
            head = self._head(key)
        size, same = head["size"], head["e_tag"]

        def part(start: int) -> None:
            options: GetOptions = {"range": (start, min(start + _RANGE, size)), **({"if_match": same} if same else {})}
            with self._told(key):
                write_at(
                    target.fileno(), bytes(obstore.get(self._store, self.key(key), options=options).bytes()), start
                )

        with ThreadPoolExecutor(AT_ONCE) as pool:
            _await(pool, [pool.submit(part, start) for start in range(0, size, _RANGE)])

    def _head(self, key: str) -> "ObjectMeta":
        try:
            return obstore.head(self._store, self.key(key))
        except BaseError as error:
            if _status(error) == _BAD_REQUEST:  # why is said in a body, which an answer to HEAD has not
                obstore.get(self._store, self.key(key), options={"range": (0, 1)})
            raise

    def write(self, key: str, content: bytes) -> None:
        """Makes an object, or puts another in its place. Raises BucketError."""
        with self._told(key):
            obstore.put(self._store, self.key(key), content, use_multipart=False)

    def write_new(self, key: str, content: bytes) -> None:
        """Makes an object where there is none. Of several at once the first decides. Raises BucketError."""
        with self._told(key):
            try:
                obstore.put(self._store, self.key(key), content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return
            except GenericError as error:
                if _status(error) != _NOT_IMPLEMENTED:
                    raise
                # An older store, without conditions: as good as it gets.
                if not any(one.key == key for one in self.files(str(Path(key).parent))):
                    obstore.put(self._store, self.key(key), content, use_multipart=False)

    def upload(self, source: BinaryIO, key: str, moved: Callable[[int], None] = lambda _: None) -> None:
        """Makes an object of a file. Who reads it sees all of it, or what was there before. Raises BucketError.

        `moved` gets how many parts are on their way, each time that one is.
        """
        chunk = max(_RANGE, os.fstat(source.fileno()).st_size // _MOST_PARTS + 1)
        with self._told(key):
            counted: Any = _Counted(source, moved)
            obstore.put(self._store, self.key(key), counted, chunk_size=chunk, max_concurrency=AT_ONCE)

    def remove(self, keys: Iterable[str]) -> None:
        """Removes objects; one that is gone already is none. Raises BucketError."""
        whole = [self.key(key) for key in keys]
        for some in batched(whole, _MANY):
            with self._told(""):
                obstore.delete(self._store, some)

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Raises BucketError in place of what the client raises."""
        try:
            yield
        except BucketError:
            raise
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of a file here
                raise
            raise self._error(error, key) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of the client, which is written in Rust
                raise
            text = f"the client of {self.endpoint or 'AWS'} cannot work with {self.field}.objectStore: {error}"
            raise BucketError(_first(text), passes=False) from error

    def _error(self, error: Exception, key: str) -> BucketError:
        """What the client's words mean, for the user."""
        text, status = str(error), _status(error)
        code = found[1] if (found := _CODE.search(text)) else ""
        where, store = self.endpoint or "AWS", f"{self.field}.objectStore"
        at = f"{self.uri.rstrip('/')}/{key}".rstrip("/")
        if code != "NoSuchBucket" and (status == 404 or isinstance(error, FileNotFoundError)):
            return MissingError(f"there is no object {at} at {where}: correct {self.field}.uri", passes=False)
        who = f"the keys of {store}.credentialsSecretName" if self._keys else "the pod's service account"
        lasting = {
            f"there is no bucket {self.bucket} at {where}: correct {self.field}.uri, or make it": code
            == "NoSuchBucket",
            f"{where} refuses {at}: {who} are not valid ({code})": self._keys and code in _WRONG_KEYS,
            f"{where} refuses {at}: {who} may not do that ({code or status})": status in (401, 403),
            f"bucket {self.bucket} is in another region: set {store}.region": status in (301, 307)
            or "redirect" in text,
        }
        for sentence, is_so in lasting.items():
            if is_so:
                return BucketError(sentence, passes=False)
        if status == 412:
            return BucketError(f"{at} was changed while it was copied", passes=True)
        said = f"status {status}{f', {code}' if code else ''}" if status else _first(text)
        return BucketError(f"{where} does not answer for {at}: {said}", passes=True)


class _Counted:
    """A file that tells how often it was read."""

    def __init__(self, file: BinaryIO, moved: Callable[[int], None]) -> None:
        self._file, self._moved, self._parts = file, moved, 0

    def read(self, size: int = -1) -> bytes:
        """The next part."""
        self._parts += 1
        self._moved(self._parts)
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def batched(items: Iterable[_Item], count: int) -> Iterator[list[_Item]]:
    """So many items at a time."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def _status(error: Exception) -> int:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def _first(text: str) -> str:
    found = _HTTP_ERROR.search(text)
    return found[1] if found else _TIME.sub("", text.partition("\n")[0])[:160]


def together(work: Iterable[Callable[[], None]]) -> None:
    """Does all of it, several at once. Raises what one of them raises."""
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        for some in batched(work, _MANY):
            _await(pool, [pool.submit(one) for one in some])


def _await(pool: ThreadPoolExecutor, work: list[Future[None]]) -> None:
    """Until all is done. What one raises, whichever is first, ends the others that have not begun."""
    try:
        for one in wait(work, return_when=FIRST_EXCEPTION).done:
            one.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def write_at(file: int, content: bytes, start: int) -> None:
    """All of it: the system may take less at once."""
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, start)
        start, rest = start + written, rest[written:]

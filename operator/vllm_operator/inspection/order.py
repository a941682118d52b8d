"""What a download Job is to fetch, and where each part of it lies in the cache on the claim."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..api import limits

_CHUNK = 8 * limits.MIB
BEGUN = ".begun.incomplete"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of the model: its name, its bytes, and the hub's digest of it, which names it in the cache."""

    name: str
    size: int
    digest: str
    large: bool
    """Whether the digest is SHA-256 of the content; else git's, of a small file."""

    def is_content_of(self, path: Path) -> bool:
        """Whether a file has the content that the hub says; its size, where a mirror of the hub says no more."""
        if not self.digest:
            return path.stat().st_size == self.size
        hashed = hashlib.sha256() if self.large else hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        with path.open("rb") as file:
            while part := file.read(_CHUNK):
                hashed.update(part)
        return hashed.hexdigest() == self.digest


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be fetched, and where to: `home` is what vLLM's container has as HF_HOME."""

    repository: str
    commit: str
    home: Path
    load_format: str | None = None

    @property
    def folder(self) -> Path:
        """Of the repository, in the hub's cache."""
        return self.home / "hub" / f"models--{self.repository.replace('/', '--')}"

    @property
    def own(self) -> Path:
        """Where we keep which contents were compared, and the locks."""
        return self.home / "vllm-operator" / self.folder.name

    @property
    def _marks(self) -> Path:
        return self.own / "compared"

    def is_compared(self, file: Wanted) -> bool:
        """Whether the content is there and was found right."""
        return bool(file.digest) and (self._marks / file.digest).exists()

    def note_compared(self, file: Wanted) -> None:
        """Its content was found right: nobody needs to read it again."""
        self._marks.mkdir(parents=True, exist_ok=True)
        (self._marks / file.digest).touch()

    def named(self, file: Wanted) -> Path:
        """Where vLLM looks for the file: a link to its content, or the content, where a volume has no links."""
        return self.folder / "snapshots" / self.commit / file.name

    def blob(self, file: Wanted) -> Path:
        """Where the file's content is in the hub's cache."""
        return self.folder / "blobs" / file.digest

    def begun(self, file: Wanted) -> Path:
        """Where the content is while some of it is missing: its first bytes, without holes."""
        return self.folder / "blobs" / f"{file.digest}{BEGUN}"

    def lock(self, file: Wanted) -> Path:
        """The lock of huggingface_hub for this content."""
        return self.home / "hub" / ".locks" / self.folder.name / f"{file.digest}.lock"

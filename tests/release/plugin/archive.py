"""An archive of the plugin: a launcher, the program, and its pinned packages for one platform and several Pythons.

Nothing is downloaded when it is installed or run. What is the same for all Pythons lies in lib/any.
"""

import filecmp
import gzip
import re
import shutil
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cluster.host import REPOSITORY, ClusterError, command

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LAUNCHER = Path(__file__).parent / "kubectl-vllm"
PINS = REPOSITORY / "requirements" / "operator.txt"
SOURCE = REPOSITORY / "operator" / "vllm_operator"


@dataclass(frozen=True)
class Platform:
    """A platform by krew's names, and by uv's."""

    system: str
    machine: str
    uv: str

    @property
    def name(self) -> str:
        """As in the archive's name."""
        return f"{self.system}-{self.machine}"


PLATFORMS = (
    Platform("linux", "amd64", "x86_64-manylinux_2_28"),
    Platform("linux", "arm64", "aarch64-manylinux_2_28"),
    Platform("darwin", "amd64", "x86_64-apple-darwin"),
    Platform("darwin", "arm64", "aarch64-apple-darwin"),
)


def write(platform: Platform, version: str, folder: Path) -> Path:
    """Write the archive of a platform; returns its path. Raises ClusterError where a package has no wheel for it."""
    archive = folder / f"kubectl-vllm-{version}-{platform.name}.tar.gz"
    with tempfile.TemporaryDirectory(prefix="vllm-operator-plugin-") as scratch:
        root = Path(scratch)
        libraries = root / "lib"
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda python: _install(platform, python, libraries / _tag(python)), PYTHONS))
        share([libraries / _tag(python) for python in PYTHONS], libraries / "any")
        _program(version, root / "app")
        shutil.copy(LAUNCHER, root / LAUNCHER.name)
        shutil.copy(REPOSITORY / "LICENSE", root / "LICENSE")
        _pack(root, archive)
    return archive


def _tag(python: str) -> str:
    return f"cp{python.replace('.', '')}"


def _install(platform: Platform, python: str, target: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    where = ["--target", str(target), "--python-platform", platform.uv, "--python-version", python]
    only = ["--only-binary=:all:", "--no-deps", "--require-hashes", "--no-config", "--quiet", "--link-mode=copy"]
    command([str(uv), "pip", "install", *where, *only, "--requirements", str(PINS)])
    shutil.rmtree(target / "bin", ignore_errors=True)  # programs of the packages, which nobody here runs
    (target / ".lock").unlink(missing_ok=True)


def share(folders: list[Path], shared: Path) -> None:
    """Move what all folders have alike into another one: whole packages, so that none is in two places."""
    shared.mkdir(parents=True)
    first, *others = folders
    for entry in sorted(first.iterdir()):
        if all(_same(entry, other / entry.name) for other in others):
            shutil.move(entry, shared / entry.name)
            for other in others:
                _remove(other / entry.name)


def _same(one: Path, other: Path) -> bool:
    if one.is_dir() != other.is_dir() or not other.exists():
        return False
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    names = [sorted(path.name for path in folder.iterdir()) for folder in (one, other)]
    return names[0] == names[1] and all(_same(one / name, other / name) for name in names[0])


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _program(version: str, target: Path) -> None:
    shutil.copytree(SOURCE, target / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__"))
    module = target / SOURCE.name / "__init__.py"
    text, count = re.subn(r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"', module.read_text())
    if count != 1:
        raise ClusterError(f"{module.name} names no version, or several.")
    module.write_text(text)


def _pack(root: Path, archive: Path) -> None:
    """The same bytes for the same files, whoever packs them and when."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)

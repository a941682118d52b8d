"""Builds the project's images with buildah: a Debian base made by mmdebstrap, then images/<name>/Dockerfile."""

import configparser
import fcntl
import io
import json
import os
import re
import shlex
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.host import (
    IMAGE_PROGRAMS,
    REPOSITORY,
    ClusterError,
    cache_root,
    command,
    content_hash,
    lock,
    logged,
    require,
    require_linux_root,
    step,
)

SUITE = "bookworm"
# The base stands in for the python slim images that the Dockerfiles name by default, where no image registry answers.
BASE_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
BASE_DOCKERFILE = """
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""
# Without this machine's own resolver and name. As in the python images, `python` is there, and pip installs into the
# system.
BASE_HOOK = """
set -e; cd "$1"
rm -f etc/resolv.conf etc/hostname usr/lib/python3*/EXTERNALLY-MANAGED
ln -s /usr/bin/python3 usr/local/bin/python
"""
TAGS = {
    "operator": "localhost/vllm-operator:dev",
    "vllm-cpu": "localhost/vllm-cpu:0.32.0",
    "vllm-ray": "localhost/vllm-ray:0.32.0",
}
# An image of these that another one is built on here, and the build's argument that names it.
PARENTS = {"vllm-ray": ("vllm-cpu", "VLLM")}
# What a Dockerfile may be built on, by the argument that names it: the variable that says to take another one, and what
# that has to be.
BASES = {
    "BASE": ("BASE_IMAGE", "a Debian 12 with Python that is in reach"),
    "VLLM": ("VLLM_IMAGE", "vLLM's own image where it is in reach"),
}
VERSION_LABEL = "org.opencontainers.image.version"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Where a build finds the package caches of this machine.
PIP_CACHE, UV_CACHE = "/mnt/pip", "/mnt/uv"
# What these programs mount is seen by nobody else, and gone when they end, however they end.
APART = ["unshare", "--mount", "--propagation", "slave"]
LOW_DISK = 15 * 10**9
# One time for all files of a context: layer caches then depend on content alone. Zip files know no year before 1980.
FILE_TIME = 315532800


def reference(name: str) -> str:
    """The name an image has in the cluster."""
    return TAGS.get(name, f"localhost/{name}:dev")


def build(name: str) -> tuple[str, Path]:
    """Build images/<name> unless that was done before, and return its reference and its archive."""
    dockerfile = REPOSITORY / "images" / name / "Dockerfile"
    if not dockerfile.is_file():
        raise ClusterError(f"No such image: {name} ({dockerfile} is missing).")
    files = _context_files(dockerfile)
    words = [str(f.relative_to(REPOSITORY)) for f in files]
    parent = build(PARENTS[name][0])[1] if name in PARENTS else None
    words += [SUITE, *BASE_PACKAGES, reference(name), *bases(name).values(), *([parent.name] if parent else [])]
    key = content_hash(files, *words)
    archive = cache_root() / "images" / f"{name}-{key}.tar"
    if archive.is_file():
        return reference(name), archive
    require_linux_root("Building images")
    require(IMAGE_PROGRAMS)
    with lock(f"image-{name}"):
        if not archive.is_file():
            _bud(name, reference(name), files, {PARENTS[name][1]: f"docker-archive:{parent}"} if parent else {})
            with step(f"writing the image {reference(name)} to a file"):
                _push(reference(name), archive)
            _forget_older(name, archive)
            _prune()
    return reference(name), archive


def build_tagged(name: str, tag: str, labels: Mapping[str, str]) -> None:
    """Build images/<name> in buildah's storage under a tag, with labels; layers that are there already are used."""
    dockerfile = REPOSITORY / "images" / name / "Dockerfile"
    if not dockerfile.is_file():
        raise ClusterError(f"No such image: {name} ({dockerfile} is missing).")
    require_linux_root("Building images")
    require(IMAGE_PROGRAMS)
    with lock(f"image-{name}"):
        _bud(name, tag, _context_files(dockerfile), {}, labels)


def build_folder(folder: Path, tag: str, log: Path) -> None:
    """Build the Dockerfile of a folder, with what lies beside it, in buildah's storage under a tag."""
    require_linux_root("Building images")
    require(IMAGE_PROGRAMS)
    with _storage_in_use():
        logged([*_buildah(), "bud", "--isolation=chroot", f"--tag={tag}", str(folder)], log)


def based(on: Mapping[str, str]) -> list[str]:
    """The options that say what an image is built on, by the build's argument."""
    return [word for argument, image in on.items() for word in ("--build-arg", f"{argument}={image}")]


def build_arguments(labels: Mapping[str, str]) -> list[str]:
    """The options that give an image labels, and its program the version among them."""
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    version = labels.get(VERSION_LABEL)
    return [*words, "--build-arg", f"VERSION={version}"] if version else words


def push(tag: str, log: Path) -> str:
    """Push a tag of buildah's storage to its registry; returns the digest there."""
    with tempfile.TemporaryDirectory(prefix="vllm-operator-push-") as scratch:
        digest = Path(scratch) / "digest"
        # As Docker does: a registry on this machine is asked without TLS.
        host = tag.partition("/")[0].rpartition(":")[0] or tag.partition("/")[0]
        checked = "false" if host == "localhost" or host.startswith("127.") else "true"
        logged([*_buildah(), "push", f"--tls-verify={checked}", f"--digestfile={digest}", tag, f"docker://{tag}"], log)
        return digest.read_text().strip()


def read(tag: str, path: str) -> bytes:
    """A file of an image in buildah's storage."""
    container = command([*_buildah(), "from", "--pull-never", tag]).strip()
    try:
        root = command([*_buildah(), "mount", container]).strip()
        return Path(root, path.lstrip("/")).read_bytes()
    finally:
        command([*_buildah(), "rm", container])


def first_file(archive: bytes) -> bytes:
    """The content of the only file in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if file := tar.extractfile(member):
                return file.read()
    raise ClusterError("The archive holds no file.")


def bases(name: str) -> dict[str, str]:
    """The images that images/<name> is to be built on instead of those of its Dockerfile, by the build's argument."""
    said = {argument: os.environ.get(BASES[argument][0], "") for argument in _built_on(name)}
    return {argument: image for argument, image in said.items() if image}


def instead(name: str) -> str:
    """What to do where what images/<name> is built on is out of reach."""
    ((variable, what),) = [BASES[argument] for argument in _built_on(name)]
    return f"set {variable} to {what}."


def _built_on(name: str) -> list[str]:
    taken = re.findall(r"^ARG (\w+)=", (REPOSITORY / "images" / name / "Dockerfile").read_text(), re.M)
    return [argument for argument in taken if argument in BASES]


def base_image() -> str:
    """The reference of the base image in buildah's storage, made on first use."""
    require_linux_root("Building images")
    require(IMAGE_PROGRAMS)
    tag = f"localhost/base-{SUITE}:{content_hash([], SUITE, BASE_DOCKERFILE, BASE_HOOK, *BASE_PACKAGES, *_mirror())}"
    with lock("image-base"):
        if not _exists(tag):
            with step(f"making a Debian {SUITE} base image with mmdebstrap"):
                _bootstrap(tag)
    return tag


def _log(name: str) -> Path:
    return cache_root() / "logs" / f"image-{name}.log"


def _buildah() -> list[str]:
    storage = cache_root() / "buildah"
    # A storage of its own: nothing of the machine's other images is read or changed.
    return [
        "buildah",
        "--root",
        str(storage / "root"),
        "--runroot",
        str(storage / "run"),
        "--storage-driver",
        "overlay",
    ]


def _exists(tag: str) -> bool:
    try:
        command([*_buildah(), "inspect", "--type", "image", tag])
    except ClusterError:
        return False
    return True


def _mirror() -> list[str]:
    """The Debian mirror that apt is set to use on this machine, if it is one for this suite."""
    if shutil.which("apt-get") is None:
        return []
    lines = command(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}", "Created-By: Packages"]
    )
    return lines.splitlines()[:1]


def _bootstrap(tag: str) -> None:
    cache_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".base-", dir=cache_root()) as scratch:
        include = f"--include={','.join(BASE_PACKAGES)}"
        words = ["mmdebstrap", "--variant=minbase", include, f"--customize-hook={BASE_HOOK}", SUITE]
        logged([*APART, *words, f"{scratch}/root.tar", *_mirror()], _log("base"))
        (Path(scratch) / "Dockerfile").write_text(BASE_DOCKERFILE)
        logged([*_buildah(), "bud", "--isolation=chroot", f"--tag={tag}", scratch], _log("base-image"))


def _context_files(dockerfile: Path) -> list[Path]:
    """The Dockerfile and every file that it copies from the repository, sorted."""
    found = {dockerfile}
    for source in _copied(dockerfile.read_text()):
        matches = list(REPOSITORY.glob(source.strip("/") or "*"))
        if not matches:
            raise ClusterError(f"{dockerfile.relative_to(REPOSITORY)} copies {source}, which is not in the repository.")
        for match in matches:
            found.update(_files(match))
    return sorted(found)


def _copied(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0].upper() not in {"COPY", "ADD"} or any(w.startswith("--from=") for w in words):
            continue
        paths = [w for w in words[1:] if not w.startswith("--")]
        yield from (json.loads(" ".join(paths)) if paths[0].startswith("[") else paths)[:-1]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for child in path.rglob("*"):
        if child.is_file() and "__pycache__" not in child.parts and not child.name.endswith(".pyc"):
            yield child


def _stage(files: list[Path], context: Path) -> None:
    """Copy just these files, with one time for all, so that what is hashed is what is built."""
    for file in files:
        target = context / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        os.utime(target, (FILE_TIME, FILE_TIME))


def _bud(
    name: str, tag: str, files: list[Path], given: Mapping[str, str], labels: Mapping[str, str] | None = None
) -> None:
    """`given`: what it is built on, by the build's argument, where nobody says otherwise."""
    on = {**given, **bases(name)}
    made_here = not on and "BASE" in _built_on(name)
    if made_here:
        on = {"BASE": base_image()}
    pull = "--pull-never" if made_here else "--pull=false"
    said = step(f"building the image {tag}", log=_log(name))
    with _storage_in_use(), said, tempfile.TemporaryDirectory(prefix="vllm-operator-image-") as scratch:
        context = Path(scratch) / "context"
        _stage(files, context)
        arguments = ["bud", "--isolation=chroot", "--network=host", "--layers", "--force-rm"]
        arguments += [pull, *based(on)]
        arguments += ["--tag", tag, "--timestamp", str(FILE_TIME), *build_arguments(labels or {})]
        for volume in _volumes(Path(scratch)):
            arguments += ["--volume", volume]
        arguments += ["--file", str(context / "images" / name / "Dockerfile"), str(context)]
        logged([*_buildah(), *arguments], _log(name))


def _volumes(scratch: Path) -> Iterator[str]:
    """What a build sees of this machine: the package caches, and how to reach the package indexes. Not committed."""
    pip_cache = cache_root() / "pip"
    uv_cache = Path(
        os.environ.get("UV_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    )
    for source, target in ((pip_cache, PIP_CACHE), (uv_cache, UV_CACHE)):
        source.mkdir(parents=True, exist_ok=True)
        yield f"{source}:{target}:rw"
    if CERTIFICATES.is_file():
        yield f"{CERTIFICATES}:{CERTIFICATES}:ro"
    pip_conf = scratch / "pip.conf"
    with pip_conf.open("w") as file:
        _pip_settings().write(file)
    yield f"{pip_conf}:/etc/pip.conf:ro"
    uv_toml = scratch / "uv.toml"
    uv_toml.write_text(_uv_settings())
    yield f"{uv_toml}:/etc/uv/uv.toml:ro"
    links = os.environ.get("PIP_FIND_LINKS", "")
    if links.startswith("/") and Path(links).is_dir():
        yield f"{links}:{links}:ro"


def _pip_settings() -> configparser.ConfigParser:
    """This machine's pip settings: its configuration file, then PIP_* variables, which a build does not inherit."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read("/etc/pip.conf")
    if not settings.has_section("global"):
        settings.add_section("global")
    for key, value in os.environ.items():
        if key.startswith("PIP_") and key not in {"PIP_CONFIG_FILE", "PIP_CACHE_DIR"}:
            settings.set("global", key.removeprefix("PIP_").lower().replace("_", "-"), value)
    settings.set("global", "cache-dir", PIP_CACHE)
    return settings


def _uv_settings() -> str:
    """This machine's uv settings; left to itself uv trusts only the certificates that it brings along."""
    own = Path("/etc/uv/uv.toml")
    lines = own.read_text().splitlines() if own.is_file() else ["system-certs = true"]
    # Before all else: what comes after a table's head belongs to the table.
    settings = [f"cache-dir = {json.dumps(UV_CACHE)}", *(line for line in lines if not line.startswith("cache-dir"))]
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
    if index and not any("index-url" in line for line in settings):
        settings.insert(0, f"index-url = {json.dumps(index)}")
    return "".join(f"{line}\n" for line in settings)


@contextmanager
def _storage_in_use() -> Iterator[None]:
    path = cache_root() / "locks" / "buildah"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _prune() -> None:
    """When the disk fills up, remove layers that no image needs, unless another build is just making some.

    Not before: the layers of earlier stages are among them, and making those again takes minutes.
    """
    if shutil.disk_usage(cache_root()).free > LOW_DISK:
        return
    with (cache_root() / "locks" / "buildah").open("w") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        command([*_buildah(), "rmi", "--prune"])


def _push(tag: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    scratch = archive.with_suffix(f".{os.getpid()}.part")
    try:
        # In Docker's format, because buildah compresses layers in the other one, which costs minutes for nothing here.
        command([*_buildah(), "push", "--quiet", tag, f"docker-archive:{scratch}:{tag}"])
        scratch.rename(archive)
    finally:
        scratch.unlink(missing_ok=True)


def _forget_older(name: str, keep: Path) -> None:
    """Remove archives that changes have left behind; each is gigabytes. A recent one may still be in use elsewhere."""
    for old in keep.parent.glob(f"{name}-????????????????.tar"):
        if old != keep and time.time() - old.stat().st_mtime > 600:
            old.unlink()

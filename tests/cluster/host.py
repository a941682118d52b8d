"""What the rest of the package needs from this machine: directories, locks, commands, packages, and words to print."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# The Debian package that brings each program. CNI plugins are not on PATH, so they are named by their file.
PACKAGES = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "faketime": "faketime",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nft": "nftables",
    "openssl": "openssl",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
NODE_PROGRAMS = ("conntrack", "containerd", "ip", "iptables", "mount", "nft", "runc", "/usr/lib/cni/bridge")
IMAGE_PROGRAMS = ("buildah", "mmdebstrap")


class ClusterError(RuntimeError):
    """Something this machine lacks or a step that failed, in words for the user."""


def cache_root() -> Path:
    """Where downloads and builds are kept; deleting it costs time only."""
    return _directory("VLLM_OPERATOR_CACHE", "XDG_CACHE_HOME", ".cache")


def state_root() -> Path:
    """Where running clusters keep their certificates, logs and process ids."""
    return _directory("VLLM_OPERATOR_STATE", "XDG_STATE_HOME", ".local/state")


def _directory(own: str, xdg: str, default: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen).absolute()
    return Path(os.environ.get(xdg) or Path.home() / default).absolute() / "vllm-operator"


def say(text: str) -> None:
    """Print one line at once, also from threads."""
    print(f"{text}\n", end="", file=sys.stderr, flush=True)  # in one piece, or lines of two threads would mix


def duration(seconds: float) -> str:
    """Seconds as a person writes them."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


@contextmanager
def step(what: str, every: float = 30, log: Path | None = None) -> Iterator[None]:
    """Say what is being done and where its output is, that it still goes on, and how long it took."""
    begin = time.monotonic()
    done = threading.Event()

    def remind() -> None:
        while not done.wait(every):
            say(f"  {what}: still at it after {duration(time.monotonic() - begin)}")

    say(f"  {what} ..." if log is None else f"  {what} (its output: {log}) ...")
    threading.Thread(target=remind, daemon=True).start()
    try:
        yield
    finally:
        done.set()
    say(f"  {what}: done in {duration(time.monotonic() - begin)}")


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one caller on this machine in at a time, so that nothing is built or started twice."""
    path = cache_root() / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  {name}: waiting for another process that is at it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def command(arguments: Sequence[str | Path], text: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed; raise with its own words when it fails."""
    words = [str(a) for a in arguments]
    result = subprocess.run(words, check=False, capture_output=True, text=True, input=text, env=env)
    if result.returncode:
        said = (result.stderr or result.stdout).strip()[-2000:]
        raise ClusterError(f"`{' '.join(words)[:300]}` failed ({result.returncode}): {said}")
    return result.stdout


_running: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


def logged(
    arguments: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run a long command with its output in a file, whose end is shown when it fails."""
    words = [str(a) for a in arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as file,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=env, cwd=cwd
        ) as process,
    ):
        _running.add(process)
        if _ending.is_set():
            process.terminate()
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            _running.discard(process)
    if status:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise ClusterError(f"`{' '.join(words)[:300]}` failed ({status}); the end of {log}:\n{end}")


def end_running() -> None:
    """End the long commands that other threads wait for, and those that they are about to run: this one has failed."""
    _ending.set()
    for process in list(_running):
        process.terminate()


def content_hash(paths: Iterable[Path], *words: str) -> str:
    """A short hash over file contents and modes, in the order given, and words."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word}\0".encode())
    for path in paths:
        executable = bool(path.stat().st_mode & 0o100)
        digest.update(f"{path.name}\0{executable}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def require_linux_root(purpose: str) -> None:
    """Refuse, in one sentence, where a node cannot work."""
    if sys.platform != "linux":
        raise ClusterError(f"{purpose} needs Linux; this is {sys.platform}.")
    if os.geteuid() != 0:
        raise ClusterError(f"{purpose} needs root (namespaces, mounts, cgroups); run it with sudo.")


def require(programs: Iterable[str]) -> None:
    """Make sure that these programs are there, installing their Debian packages where that is possible."""
    # Debian keeps some programs where a user's PATH does not look.
    os.environ["PATH"] = ":".join(dict.fromkeys([*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]))
    missing = [p for p in programs if shutil.which(p) is None]
    if not missing:
        return
    packages = sorted({PACKAGES[p] for p in missing})
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(
            f"Missing on this machine: {', '.join(missing)}; install {', '.join(packages)} (Debian's names), "
            "or run this as root on Debian or Ubuntu, where it installs them itself."
        )
    with lock("apt"), step(f"installing {' '.join(packages)}"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        log = cache_root() / "logs" / "apt.log"
        apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
        logged([*apt, "update"], log, env=environment)
        logged([*apt, "install", "-y", "--no-install-recommends", *packages], log, env=environment)
    if still := [p for p in missing if shutil.which(p) is None]:
        raise ClusterError(f"Still missing after installing {', '.join(packages)}: {', '.join(still)}.")

"""What `vllm-operator download` fetches: a process of its own, as in the Job, and a hub of this machine."""

import errno
import fcntl
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.host import REPOSITORY
from support.hub import COMMIT, Hub, Repository, digest, hub, safetensors
from vllm_operator.api.reasons import Reason
from vllm_operator.inspection import fetch
from vllm_operator.inspection.fetch import download, present
from vllm_operator.inspection.order import Order, Wanted
from vllm_operator.inspection.progress import Progress, failure, last
from vllm_operator.inspection.report import InspectionError
from vllm_operator.inspection.weights import fetched

WEIGHTS = safetensors(a=("BF16", [8, 8], 128)) + bytes(128)
FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS, "original/a.pth": b"no"}
NAME = "org/model"


def run(served: Hub, home: Path, *options: str) -> tuple[int, InspectionError | None, str]:
    """Runs the command; returns its status, why it failed, and its log."""
    output = home.parent / "report"
    output.unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": str(REPOSITORY / "operator"), "HF_ENDPOINT": served.endpoint, "HF_HOME": str(home)}
    arguments = [f"--hub={NAME}", f"--revision={COMMIT}", f"--output={output}", *options]
    command = [sys.executable, "-m", "vllm_operator", "download", *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    error = failure(output.read_text()) if output.exists() else None
    return result.returncode, error, result.stdout


def snapshot(home: Path) -> Path:
    return home / "hub" / "models--org--model" / "snapshots" / COMMIT


def test_a_model_is_fetched_to_where_vllm_looks_for_it_and_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hub({NAME: Repository(FILES)}) as served:
        status, error, log = run(served, home)
        assert (status, error) == (0, None)
        there = {str(path.relative_to(snapshot(home))): path.read_bytes() for path in snapshot(home).rglob("*.*")}
        assert there == {name: content for name, content in FILES.items() if name != "original/a.pth"}
        total = sum(map(len, there.values()))
        assert last(log) == Progress(total, total, checks=True)
        served.asked.clear()
        assert run(served, home)[:2] == (0, None)
        assert not [asked for asked in served.asked if asked.startswith("GET") and "resolve" in asked]


def test_what_is_there_is_not_fetched_again_after_a_failure(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hub({NAME: Repository({"config.json": b"{}"})}) as served:
        assert run(served, home)[0] == 0
        before = (snapshot(home) / "config.json").resolve().stat()
        served.repositories[NAME].files |= FILES
        served.asked.clear()
        assert run(served, home)[0] == 0
        assert not [asked for asked in served.asked if asked.startswith("GET") and "config.json" in asked]
        after = (snapshot(home) / "config.json").resolve().stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("repository", "reason", "words"),
    [
        (Repository(FILES, gated=True), Reason.MODEL_GATED, "is gated and model.tokenSecretRef is not set"),
        (Repository(FILES, private=True), Reason.MODEL_NOT_FOUND, "there is no model hf://org/model"),
        (Repository(FILES, status=403), Reason.HUB_TOKEN_REFUSED, "the hub refuses the token"),
    ],
)
def test_why_it_fails_is_told(tmp_path: Path, repository: Repository, reason: Reason, words: str) -> None:
    with hub({NAME: repository}) as served:
        status, error, _ = run(served, tmp_path / "home")
    assert status == 1
    assert error
    assert error.reason is reason
    assert words in str(error)


def order(home: Path) -> Order:
    return Order(NAME, COMMIT, home)


class Paused(list[float]):
    """Pauses that take no time, and after which something happens."""

    def __init__(self, then: dict[int, object] | None = None) -> None:
        super().__init__()
        self.then = then or {}

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        if callable(act := self.then.get(len(self))):
            act()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The hub's client of this process, for the hub that a test sets."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


def of_hub(here: pytest.MonkeyPatch, served: Hub) -> None:
    here.setattr("huggingface_hub.constants.ENDPOINT", served.endpoint)
    here.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        served.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )


def test_a_hub_that_is_down_is_asked_again(here: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with hub({NAME: Repository(FILES, status=503)}) as served:
        of_hub(here, served)
        pauses = Paused({3: lambda: setattr(served.repositories[NAME], "status", 0)})
        here.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        assert download(order(tmp_path), tmp_path / "report", pauses) == 0
        assert pauses == [10, 30, 60]
        served.repositories[NAME].status = 503
        pauses = Paused()
        assert download(order(tmp_path), tmp_path / "report", pauses) == 1
    assert len(pauses) == 5
    assert failure((tmp_path / "report").read_text()).reason is Reason.HUB_UNREACHABLE


def test_what_is_not_as_the_hub_says_is_taken_away_and_fetched_again(here: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = WEIGHTS[:-1] + b"x"
    with hub({NAME: Repository({**FILES, "model.safetensors": wrong}, told={"model.safetensors": WEIGHTS})}) as served:
        of_hub(here, served)
        right = served.repositories[NAME].files
        pauses = Paused({1: lambda: right.update({"model.safetensors": WEIGHTS})})
        assert download(order(tmp_path), tmp_path / "report", pauses) == 0
    assert (snapshot(tmp_path) / "model.safetensors").read_bytes() == WEIGHTS
    assert pauses == [10]


def test_the_hub_gets_the_time_that_the_user_gives_it() -> None:
    show = "from vllm_operator.inspection.sources import TIMEOUT_SECONDS; print(TIMEOUT_SECONDS)"
    for given, used in (({}, "20"), ({"HF_HUB_ETAG_TIMEOUT": "60"}, "60")):
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "operator"), **given}
        shown = subprocess.run(
            [sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == used


@pytest.mark.filterwarnings("ignore:.*symlinks")
@pytest.mark.parametrize("there", ["", "blob"], ids=["nothing is there", "the content is there"])
def test_a_volume_without_links_has_the_content_once(here: pytest.MonkeyPatch, tmp_path: Path, there: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    file = Wanted("model.safetensors", len(WEIGHTS), digest("model.safetensors", WEIGHTS), large=True)
    blob = order(tmp_path).blob(file)
    if there:
        blob.parent.mkdir(parents=True)
        blob.write_bytes(WEIGHTS)
    with hub({NAME: Repository(FILES)}) as served:
        of_hub(here, served)
        here.setattr("os.symlink", refuse)
        assert download(order(tmp_path), tmp_path / "report", Paused()) == 0
        assert served.sent.count(len(WEIGHTS)) == (not there)
    assert (snapshot(tmp_path) / "model.safetensors").read_bytes() == WEIGHTS
    assert not blob.exists()
    assert list(blob.parent.iterdir()) == []


def test_a_full_volume_is_told_before_anything_is_fetched(here: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with hub({NAME: Repository(FILES)}) as served:
        of_hub(here, served)
        usage = type("Usage", (), {"free": 100})
        here.setattr("shutil.disk_usage", lambda _: usage)
        assert download(order(tmp_path), tmp_path / "report", Paused()) == 1
        assert not [asked for asked in served.asked if "resolve" in asked]
    error = failure((tmp_path / "report").read_text())
    assert error.reason is Reason.NO_SPACE_LEFT
    assert "the volume has 100 B free: raise cache.claim.storage" in str(error)


@pytest.mark.parametrize(
    ("raised", "reason", "told"),
    [
        (OSError(errno.EACCES, "Permission denied", "/cache/x"), Reason.CACHE_NOT_WRITABLE, "set pod.fsGroup"),
        (OSError(errno.EROFS, "Read-only file system", "/cache/x"), Reason.CACHE_NOT_WRITABLE, "system: /cache/x)"),
        (OSError(errno.ENOSPC, "No space left on device"), Reason.NO_SPACE_LEFT, "the volume is full"),
        (OSError(errno.EIO, "Input/output error"), Reason.DOWNLOAD_FAILED, "volume fails (Input/output error): check"),
        (OSError(errno.ESTALE, "Stale file handle", "/cache/x"), Reason.DOWNLOAD_FAILED, "(Stale file handle: /cache"),
        (OSError(errno.ENOTDIR, "Not a directory", "/cache/x"), Reason.DOWNLOAD_FAILED, "(Not a directory: /cache/x)"),
        (OSError(errno.ELOOP, "Too many levels", "/cache/x"), Reason.DOWNLOAD_FAILED, "(Too many levels: /cache/x)"),
        (OSError(errno.ETIMEDOUT, "Connection timed out", "/cache/x"), Reason.DOWNLOAD_FAILED, "out: /cache/x)"),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), Reason.HUB_UNREACHABLE, "TimeoutError"),
        (OSError(errno.ECONNRESET, "Connection reset by peer"), Reason.HUB_UNREACHABLE, "ConnectionResetError"),
        (socket.gaierror(-3, "Temporary failure in name resolution"), Reason.HUB_UNREACHABLE, "gaierror"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), Reason.HUB_UNREACHABLE, "SSLCertVerification"),
    ],
)  # fmt: skip
def test_what_the_volume_refuses_is_not_told_as_the_hubs(
    here: pytest.MonkeyPatch, tmp_path: Path, raised: OSError, reason: Reason, told: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise raised

    with hub({NAME: Repository(FILES)}) as served:
        of_hub(here, served)
        here.setattr(fetch, "_has_room", refuse)
        assert download(order(tmp_path), tmp_path / "report", Paused()) == 1
    error = failure((tmp_path / "report").read_text())
    assert (error.reason, told in str(error)) == (reason, True), error


def test_two_jobs_for_the_same_files_take_turns(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lock = home / "vllm-operator" / "models--org--model" / f"{COMMIT}.lock"
    lock.parent.mkdir(parents=True)
    with hub({NAME: Repository(FILES)}) as served, lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "operator"), "HF_ENDPOINT": served.endpoint}
        environment |= {"HF_HOME": str(home)}
        command = [sys.executable, "-m", "vllm_operator", "download", f"--hub={NAME}", f"--revision={COMMIT}"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        told = last(process.stdout.readline())
        assert told == Progress(0, sum(len(FILES[name]) for name in FILES if name != "original/a.pth"), waits=True)
        assert not [asked for asked in served.asked if "resolve" in asked]
        fcntl.flock(held, fcntl.LOCK_UN)
        assert process.wait(timeout=30) == 0
        process.stdout.close()
    assert (snapshot(home) / "model.safetensors").read_bytes() == WEIGHTS


def test_what_a_killed_job_left_is_counted_and_taken_away_when_it_is_old(tmp_path: Path) -> None:
    blobs = order(tmp_path).folder / "blobs"
    blobs.mkdir(parents=True)
    file = Wanted("model.safetensors", len(WEIGHTS), digest("model.safetensors", WEIGHTS), large=True)
    half = blobs / f"{file.digest}.0a1b2c3d.incomplete"
    half.write_bytes(bytes(100))
    assert present(order(tmp_path), [file]) == 100
    fetch._clear(order(tmp_path), [file])
    assert half.exists()
    begun = order(tmp_path).begun(file)
    begun.write_bytes(bytes(200))
    assert present(order(tmp_path), [file]) == 200
    for path in (half, begun):
        os.utime(path, (time.time() - 7200,) * 2)
    fetch._clear(order(tmp_path), [file])
    assert not half.exists()
    assert begun.exists()  # it is gone on with
    order(tmp_path).blob(file).touch()
    fetch._clear(order(tmp_path), [file])
    assert not begun.exists()


INDEX = {"weight_map": {"a": "model-1.safetensors"}}


@pytest.mark.parametrize(
    ("names", "load_format", "weights"),
    [
        (["model.safetensors", "pytorch_model.bin"], None, {"model.safetensors"}),
        (["model-1.safetensors", "other.safetensors", "model.safetensors.index.json"], None, {"model-1.safetensors"}),
        (["consolidated.safetensors", "model-1.safetensors"], None, {"consolidated.safetensors"}),
        (
            ["consolidated.safetensors", "model-1.safetensors"],
            "hf",
            {"consolidated.safetensors", "model-1.safetensors"},
        ),
        (["pytorch_model.bin", "a.pt", "model.gguf", "model.onnx"], "auto", {"pytorch_model.bin"}),
        (["original/a.safetensors", "a.pt"], None, {"a.pt"}),
    ],
)
def test_the_files_are_those_that_vllm_would_fetch(
    names: list[str], load_format: str | None, weights: set[str]
) -> None:
    small = ["config.json", "chat_template.jinja", "1_Pooling/config.json"]
    found = fetched([*small, *names], lambda _: json.loads(json.dumps(INDEX)), load_format)
    assert {name for name in found if not name.endswith((".json", ".jinja"))} == weights
    assert set(small) <= set(found)

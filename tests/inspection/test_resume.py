"""A download that is cut off within a file goes on there: a process that is killed, and what the hub then sends."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.host import REPOSITORY
from support.hub import COMMIT, Hub, Repository, digest, hub
from vllm_operator.inspection import resume
from vllm_operator.inspection.order import Order, Wanted
from vllm_operator.inspection.resume import fetch_large

NAME, WEIGHTS = "org/model", "model.safetensors"
MIB = 1 << 20
# huggingface_hub writes 10 MiB at a time.
CONTENT = random.Random(0).randbytes(48 * MIB)
CUT_OFF = 20 * MIB


def start(served: Hub, home: Path) -> subprocess.Popen[str]:
    """The command, as the Job runs it."""
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": str(REPOSITORY / "operator"), "HF_ENDPOINT": served.endpoint, "HF_HOME": str(home)}
    command = [sys.executable, "-m", "vllm_operator", "download", f"--hub={NAME}", f"--revision={COMMIT}"]
    output = f"--output={home.parent / 'report'}"
    return subprocess.Popen([*command, output], env=environment, stdout=subprocess.PIPE, text=True)


def finish(served: Hub, home: Path) -> str:
    """Runs it to its end, and returns its log."""
    process = start(served, home)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log
    return log


def order(home: Path) -> Order:
    return Order(NAME, COMMIT, home)


def weights(content: bytes = CONTENT) -> Wanted:
    return Wanted(WEIGHTS, len(content), digest(WEIGHTS, content), large=True)


def begin(home: Path, content: bytes) -> Path:
    """Leaves so much of the file as another try did."""
    begun = order(home).begun(weights())
    begun.parent.mkdir(parents=True)
    begun.write_bytes(content)
    return begun


def is_there(home: Path) -> bool:
    """Whether the file is where vLLM looks for it, and nothing is beside its content."""
    blobs = [path.name for path in (order(home).folder / "blobs").iterdir()]
    return order(home).named(weights()).read_bytes() == CONTENT and blobs == [weights().digest]


def test_a_killed_download_goes_on_within_the_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hub({NAME: Repository({WEIGHTS: CONTENT}, hangs_after=CUT_OFF + MIB)}) as served:
        process = start(served, home)
        begun = order(home).begun(weights())
        deadline = time.monotonic() + 30
        while not (begun.exists() and begun.stat().st_size == CUT_OFF):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        served.repositories[NAME].hangs_after = 0
        inode = begun.stat().st_ino
        served.sent.clear()
        log = finish(served, home)
        assert "model.safetensors: goes on after 21.0 MB" in log
        assert sum(size for size in served.sent if size > MIB) == len(CONTENT) - CUT_OFF
    assert is_there(home)
    assert order(home).blob(weights()).stat().st_ino == inode


@pytest.mark.parametrize("spoiled", [b"x" + CONTENT[1:CUT_OFF], CONTENT + b"x", b"x" + CONTENT[1:]])
def test_a_part_that_is_not_as_the_hub_says_is_thrown_away(tmp_path: Path, spoiled: bytes) -> None:
    home = tmp_path / "home"
    begin(home, spoiled)
    with hub({NAME: Repository({WEIGHTS: CONTENT})}) as served:
        assert "model.safetensors is not what the hub says of it: it is fetched again" in finish(served, home)
        assert served.sent[-1] == len(CONTENT)
    assert is_there(home)


def test_a_hub_that_sends_whole_files_only_is_asked_for_the_whole_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    begin(home, CONTENT[:CUT_OFF])
    with hub({NAME: Repository({WEIGHTS: CONTENT}, whole_only=True)}) as served:
        assert "the hub sends whole files only" in finish(served, home)
    assert is_there(home)


# In a process of its own, as a store on a disk is open in one.
UPLOAD = """
import sys
from hf_xet import XetSession
with XetSession().new_upload_commit(endpoint=sys.argv[1]) as commit:
    uploaded = commit.start_upload_file(sys.argv[2])
print(uploaded.result().xet_info.hash)
"""


def test_what_a_xet_store_has_is_gone_on_with_too(tmp_path: Path) -> None:
    home, source, store = tmp_path / "home", tmp_path / WEIGHTS, f"local://{tmp_path}/store"
    source.write_bytes(CONTENT)
    upload = [sys.executable, "-c", UPLOAD, store, str(source)]
    name = subprocess.run(upload, capture_output=True, text=True, check=True).stdout.strip()
    inode = begin(home, CONTENT[:CUT_OFF]).stat().st_ino
    with hub({NAME: Repository({WEIGHTS: CONTENT}, xet={WEIGHTS: name}, xet_store=store)}) as served:
        assert "goes on after" in finish(served, home)
        assert max(served.sent) < MIB  # of the store, nothing of the hub
    assert is_there(home)
    assert order(home).blob(weights()).stat().st_ino == inode


def test_two_at_once_fetch_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Jobs of two commits of a model, which have this file both."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub({NAME: Repository({WEIGHTS: CONTENT})}) as served, ThreadPoolExecutor() as pool:
        url = f"{served.endpoint}/{NAME}/resolve/{COMMIT}/{WEIGHTS}"
        monkeypatch.setattr(resume, "hf_hub_url", lambda *_, **__: url)
        both = [pool.submit(fetch_large, order(tmp_path), weights(), None, print) for _ in range(2)]
        assert [one.result() for one in both] == [None, None]
        assert sum(size for size in served.sent if size > MIB) == len(CONTENT)
    assert order(tmp_path).blob(weights()).read_bytes() == CONTENT


def test_a_file_that_got_its_name_meanwhile_is_not_written(tmp_path: Path) -> None:
    """Two writers, as on a volume whose locks do nothing: the one that comes second lets the first one's file be."""
    begun, blob = begin(tmp_path, CONTENT[:CUT_OFF]), order(tmp_path).blob(weights())
    with resume._Begun(begun) as second:
        begun.rename(blob)
        with pytest.raises(FileNotFoundError):
            second.write(b"x")
        begun.touch()
        with pytest.raises(FileExistsError):
            second.write(b"x")
    assert blob.read_bytes() == CONTENT[:CUT_OFF]

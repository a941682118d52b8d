"""The containers of a batch's pods one after the other, over a bucket: killed at any moment, and each request once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.batch_process import free_port
from support.batches import UID, line
from support.object_store import BUCKET, KEYS, ObjectStore
from vllm_operator.vllm.batch.faults import DONE, STOPPED

KILLS = int(os.environ.get("KILLS", "0"))
REQUESTS, PODS = 300 + 200 * KILLS, 2
PYTHONPATH = os.pathsep.join(path for path in sys.path if path)
WAIT_SECONDS = 60.0


class Pod:
    """What lies in one pod, and its containers."""

    def __init__(self, folder: Path, store: ObjectStore, step: str, index: int = 0) -> None:
        self.input, self.output, self.asked = folder / "input", folder / "output", folder / "push"
        for one in (self.input, self.output, self.asked):
            one.mkdir(parents=True)
        self.folder, self._step, self._index = folder, step, index
        self._env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": PYTHONPATH, "POD_UID": folder.name,
            **{f"{field}_{name}": value for field in ("INPUT", "OUTPUT") for name, value in KEYS.items()},
        }  # fmt: skip
        self._words = [
            f"--step={step}", f"--uid={UID}", f"--index={index}", f"--message={folder / 'message'}",
            f"--input-uri=s3://{BUCKET}/in.jsonl", f"--input-endpoint={store.endpoint}", f"--input={self.input}",
            f"--output-uri=s3://{BUCKET}/out", f"--output-endpoint={store.endpoint}", f"--output={self.output}",
            f"--push={self.asked}",
        ]  # fmt: skip

    def start(self, command: list[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A container."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *command],
                stdout=log,
                stderr=log,
                env={**self._env, **(env or {})},
            )

    def fetch(self) -> None:
        """The first container, to its end."""
        status = self.start(["vllm_operator", "transfer", "fetch", *self._words]).wait()
        assert status == 0, (self.folder / "log").read_text()

    def push(self) -> subprocess.Popen[bytes]:
        """The container beside the runner."""
        return self.start(["vllm_operator", "transfer", "push", *self._words])

    def runner(self, seconds: float = 0.0, at_once: int = 0) -> subprocess.Popen[bytes]:
        """The runner, with an engine that takes so long for an answer; `at_once`: as --max-inflight."""
        words = [
            f"--input={self.input / 'in.jsonl'}",
            f"--output={self.output}",
            f"--uid={UID}",
            f"--push={self.asked}",
        ]
        of_step = {
            "check": [],
            "run": [f"--index={self._index}", f"--count={PODS}", f"--port={free_port()}", f"--max-inflight={at_once}"],
            "merge": [f"--count={PODS}"],
        }
        return self.start(["support.batch_engine", self._step, *words, *of_step[self._step], "--", str(seconds)])

    def whole(self) -> int:
        """All containers, as the kubelet runs them; the exit status of the runner."""
        self.fetch()
        push = self.push()
        status = self.runner().wait()
        push.terminate()
        # It is asked to end before it listens where there was nothing to push; a container would not hear that.
        assert push.wait() in (0, -signal.SIGTERM)
        return status


def wait_for(done: Any, what: str) -> None:
    """Until something is so."""
    until = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def answered_in_bucket(store: ObjectStore, index: int) -> int:
    """Records of answers in the segments of a share."""
    keys = store.keys(f"out/.parts-{UID}/{index}")
    return sum(store.get(key).count(b" A ") for key in keys)


def rows(store: ObjectStore, name: str) -> list[dict[str, Any]]:
    """The lines of an output."""
    return [json.loads(text) for text in store.get(f"out/{name}").splitlines()]


def kill(*containers: subprocess.Popen[bytes]) -> None:
    """As when a node is gone."""
    for one in containers:
        one.send_signal(signal.SIGKILL)
    for one in containers:
        one.wait()


@pytest.fixture
def given(store: ObjectStore) -> ObjectStore:
    """A store with an input."""
    store.put("in.jsonl", b"".join(line(f"r{number}", f"prompt {number}") for number in range(REQUESTS)))
    return store


def killed(folder: Path, store: ObjectStore, index: int, moment: Callable[[], object]) -> None:
    """A pod of a share that goes with its node at a moment."""
    pod = Pod(folder, store, "run", index)
    pod.fetch()
    containers = (pod.push(), pod.runner(0.2))
    moment()
    kill(*containers)


def test_killed_pods_lose_no_answer_and_give_none_twice(given: ObjectStore, tmp_path: Path) -> None:
    """Each pod once with answers in the bucket, and KILLS times at any moment."""
    assert Pod(tmp_path / "check", given, "check").whole() == DONE
    random = Random(os.environ.get("SEED", "1"))
    for index in range(PODS):

        def something_is_kept(index: int = index) -> None:
            wait_for(lambda: answered_in_bucket(given, index) > 0, "nothing reached the bucket")

        killed(tmp_path / f"first-{index}", given, index, something_is_kept)
        for life in range(KILLS):
            killed(tmp_path / f"life-{life}-{index}", given, index, lambda: time.sleep(random.uniform(0, 4)))
    kept = [answered_in_bucket(given, index) for index in range(PODS)]
    print(f"in the bucket after {PODS * (KILLS + 1)} kills: {sum(kept)} of {REQUESTS}")
    assert all(0 < one <= REQUESTS / PODS for one in kept)
    asked_again = 0
    for index in range(PODS):
        last = Pod(tmp_path / f"last-{index}", given, "run", index)
        assert last.whole() == DONE
        parts = last.output / f".parts-{UID}" / str(index)
        asked_again += sum(path.read_bytes().count(b" A ") for path in parts.glob("last-*.journal"))
    assert asked_again == REQUESTS - sum(kept)
    merge = Pod(tmp_path / "merge", given, "merge")
    assert merge.whole() == DONE
    assert Counter(row["custom_id"] for row in rows(given, "in.jsonl")) == Counter(f"r{n}" for n in range(REQUESTS))
    assert rows(given, "in.errors.jsonl") == []
    left = [key.removeprefix(f"out/.parts-{UID}/") for key in given.keys("out") if UID in key]
    assert sorted(left) == ["MERGED", "duplicates", "input.json", "report.json"]


def test_a_runner_that_is_killed_alone_leaves_all_of_its_journal(given: ObjectStore, tmp_path: Path) -> None:
    pod = Pod(tmp_path / "first-0", given, "run")
    pod.fetch()
    push, runner = pod.push(), pod.runner(0.2)
    wait_for(lambda: answered_in_bucket(given, 0) > 0, "nothing reached the bucket")
    kill(runner)
    (journal,) = (pod.output / f".parts-{UID}" / "0").iterdir()
    push.terminate()
    assert push.wait() == 0
    keys = given.keys(f"out/.parts-{UID}/0")
    assert b"".join(map(given.get, keys)) == journal.read_bytes()


def test_a_pod_that_is_told_to_end_has_its_last_answers_in_the_bucket(given: ObjectStore, tmp_path: Path) -> None:
    pod = Pod(tmp_path / "first-0", given, "run")
    pod.fetch()
    push, runner = pod.push(), pod.runner(0.2)
    wait_for(lambda: answered_in_bucket(given, 0) > 0, "nothing reached the bucket")
    runner.terminate()
    assert runner.wait() == STOPPED
    (journal,) = (pod.output / f".parts-{UID}" / "0").iterdir()
    assert b"".join(map(given.get, given.keys(f"out/.parts-{UID}/0"))) == journal.read_bytes()
    push.terminate()
    assert push.wait() == 0


def test_a_pod_that_comes_back_after_the_fence_changes_nothing(given: ObjectStore, tmp_path: Path) -> None:
    late = Pod(tmp_path / "late-0", given, "run")
    late.fetch()
    push, runner = late.push(), late.runner(0.4, at_once=2)  # half a minute of work
    wait_for(lambda: answered_in_bucket(given, 0) > 0, "nothing reached the bucket")
    earlier, later = Pod(tmp_path / "merge-1", given, "merge"), Pod(tmp_path / "merge-2", given, "merge")
    earlier.fetch()  # it makes the fence
    before = answered_in_bucket(given, 0)
    wait_for(lambda: answered_in_bucket(given, 0) > before, "the late pod sends nothing more")
    assert later.whole() == DONE
    first = (given.get("out/in.jsonl"), given.get("out/in.errors.jsonl"))
    # The other one, which knows nothing of that, makes the same.
    pushing = earlier.push()
    assert earlier.runner().wait() == DONE  # it has waited for what it pushes
    pushing.terminate()
    assert pushing.wait() == 0
    assert (given.get("out/in.jsonl"), given.get("out/in.errors.jsonl")) == first
    kill(push, runner)
    assert len(first[0].splitlines()) + len(first[1].splitlines()) == REQUESTS
    assert Pod(tmp_path / "third-0", given, "run").whole() == DONE
    assert "merged already" in (tmp_path / "third-0" / "log").read_text()

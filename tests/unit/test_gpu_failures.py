"""`make gpu-failures` spreads its failures over the GPUs that it is given, and tells of each once."""

import json
import threading
import time
from pathlib import Path

import pytest

from gpu import failures
from gpu.engines import GIB
from gpu.failures import FAILURES, Failure, Lanes, Outcome
from vllm_operator.api.reasons import Reason

TOLD = {
    Reason.GPU_UNAVAILABLE: "RuntimeError: No CUDA GPUs are available",
    Reason.GPU_MEMORY_IN_USE: "Free memory on device cuda:0 (10.2/79.1 GiB) on startup is less than desired GPU memory "
    "utilization (0.92, 72.8 GiB)",
}


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which GPU and port each failure got; no two are on one GPU at once."""
    seen: list[tuple[str, int]] = []
    locks = {"2": threading.Lock(), "3": threading.Lock()}

    def fail(failure: Failure, home: Path, gpu: str, port: int) -> Outcome:
        assert locks[gpu].acquire(blocking=False)
        seen.append((gpu, port))
        time.sleep(0.01)
        locks[gpu].release()
        return Outcome(TOLD.get(failure.reason, "nothing is known"), 1, 9.0, 8.0)

    monkeypatch.setattr(failures, "fail", fail)
    monkeypatch.setattr("gpu.machine.describe", lambda: "two GPUs")
    return seen


def test_each_failure_is_made_once_and_told(
    busy: list[tuple[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [name for name, failure in FAILURES.items() if failure.reason in TOLD]
    lanes = Lanes(named, tmp_path / "cases")
    lanes.run(["2", "3"], 8100)
    assert not lanes.bad
    assert len(busy) == len(named)
    assert set(busy) <= {("2", 8100), ("3", 8101)}
    cases = [json.loads(line) for line in (tmp_path / "cases").read_text().splitlines()]
    assert sorted(case["name"] for case in cases) == sorted(named)
    assert "told after 8.0 s, 1.0 s before its end; ended with 1 after 9 s" in capsys.readouterr().out


def test_a_failure_that_is_not_named_is_one_of_the_check(busy: list[tuple[str, int]]) -> None:
    lanes = Lanes(["no GPU", "KV cache too small"], None)
    lanes.run(["2"], 8100)
    assert busy == [("2", 8100)] * 2
    assert lanes.bad


@pytest.mark.parametrize("size", [79, 140])
@pytest.mark.parametrize("name", [name for name, failure in FAILURES.items() if failure.leaves is not None])
def test_a_model_gets_the_layers_that_leave_what_is_to_be_left_of_a_gpu(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu.machine.memory", lambda _: size * GIB)
    monkeypatch.setattr("gpu.failures.metadata.version", lambda _: "0.32.0")
    failure = FAILURES[name]
    assert failure.leaves is not None
    config = failures._config(failure, "0")
    few = {**config, "num_hidden_layers": 10}
    layer = failures._weights({**config, "num_hidden_layers": 11}) - failures._weights(few)
    left = size * GIB - failures._weights(few) - (config["num_hidden_layers"] - 10) * layer
    assert failure.leaves * GIB <= left < failure.leaves * GIB + layer

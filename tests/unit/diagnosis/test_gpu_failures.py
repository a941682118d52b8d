"""What vLLM 0.32 said when it failed on a real GPU (gpu_failures.json, by gpu.failures), and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.pod_status import failed, found

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("gpu_failures.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_failure_on_a_gpu_is_named_by_what_is_kept_of_its_log(case: dict[str, Any]) -> None:
    reason, message = found(failed(case["log"], code=case["exitCode"]))
    assert reason == case["reason"], message
    assert case["told"] in message
    assert len(message) < 1000

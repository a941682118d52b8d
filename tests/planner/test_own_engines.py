"""The planner against engines of our own (engines-0.32-*.json, by gpu.engines): on H200s, and on an H100.

No constant of vLLM 0.32 comes from those on H200s, but for an EAGLE head's activations and graphs (drafts.py).
"""

import statistics
from pathlib import Path
from typing import Any

import pytest

from bench.plan import engines, gpu_of, spec_of
from vllm_operator.planner.accelerators import GIB
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import Plan, plan

ROWS = [row for gpu in ("h100", "h200") for row in engines(Path(__file__).with_name(f"engines-0.32-{gpu}.json"))]
STARTED = [row for row in ROWS if row["measured"]["kvTokens"]]
REFUSED = [row for row in ROWS if not row["measured"]["kvTokens"]]
MEDIAN, WORST = 0.001, 0.005
# Of the GPU's memory: what is left for a KV cache that is too small is no measure.
WORST_LEFT = 0.001


def plan_of(row: dict[str, Any]) -> Plan:
    """The plan of an engine that was started."""
    # vLLM's default batch on such a GPU, which tells it from smaller ones.
    arguments = {"max_num_seqs": 1024, "max_num_batched_tokens": 8192, **row["engineArgs"]}
    gpu = gpu_of(row["gpu"], row["measured"]["totalBytes"])
    return plan(spec_of(arguments, row["vllm"]), model_of(row["modelConfig"]), gpu)


def error_of(row: dict[str, Any]) -> float:
    """How far the planned tokens of the KV cache are off, as a part of the real ones."""
    result = plan_of(row)
    assert result.fits is not False, result.message
    assert result.capacity
    return result.capacity.kv_cache_tokens / float(row["measured"]["kvTokens"]) - 1


@pytest.mark.parametrize("row", STARTED, ids=lambda row: f"{row['case']}-{row['gpu'].split()[1]}")
def test_the_kv_cache_is_the_engines(row: dict[str, Any]) -> None:
    assert abs(error_of(row)) <= WORST


def test_the_kv_cache_is_right_in_the_median() -> None:
    assert statistics.median(abs(error_of(row)) for row in STARTED) <= MEDIAN


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row['case']}-{row['gpu'].split()[1]}")
def test_what_vllm_refused_does_not_fit_and_as_much_is_left(row: dict[str, Any]) -> None:
    result, measured = plan_of(row), row["measured"]
    assert result.fits is False
    assert result.capacity
    left = measured["availableKvGiB"] * GIB
    assert abs(result.capacity.memory.left - left) <= WORST_LEFT * measured["totalBytes"]

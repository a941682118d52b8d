"""Figures are read out of what vLLM 0.32 really said on an H100."""

from typing import Any

import pytest

from gpu import engine_log
from gpu.engines import cases, gpus_of, line, refused

HEAD = "(MainProcess pid=791) "
STARTED = """\
INFO 11-27 19:58:09 [v1/worker/gpu_worker.py:518] Using V2 Model Runner
INFO 11-27 19:58:13 [platforms/cuda.py:506] Using FLASH_ATTN attention backend out of potential backends: \
['FLASH_ATTN', 'FLASHINFER', 'TRITON_ATTN', 'FLEX_ATTENTION'].
INFO 11-27 19:58:15 [v1/worker/gpu/model_runner.py:424] Model loading took 15.0 GiB memory and 5.341898 seconds
INFO 11-27 19:58:41 [compilation/monitor.py:62] [backbone] torch.compile took 24.63 s in total
INFO 11-27 19:58:50 [v1/worker/gpu/model_runner.py:1127] Graph capturing finished in 6 secs, took 0.60 GiB
DEBUG 11-27 19:58:50 [v1/worker/gpu_worker.py:747] Initial free memory: 78.66 GiB; Requested memory: 0.920000 (util), \
72.84 GiB
DEBUG 11-27 19:58:50 [v1/worker/gpu_worker.py:758] Memory profiling takes 27.06 seconds. Total non KV cache memory: \
16.88GiB; torch peak memory increase: 1.1GiB; total consumed (from mem_get_info): 15.8GiB; weights memory: 15.0GiB.
INFO 11-27 19:58:50 [v1/worker/gpu_worker.py:759] Available KV cache memory: 55.05 GiB
INFO 11-27 19:58:50 [v1/core/kv_cache_utils.py:2327] GPU KV cache size: 450,976 tokens, Maximum concurrency for \
131,072 tokens per request: 3.44x
"""
GRAPHS = """\
INFO 11-27 20:00:49 [v1/worker/gpu/model_runner.py:1127] Graph capturing finished in 9 secs, took 0.45 GiB
INFO 11-27 20:00:49 [v1/worker/gpu_worker.py:971] CUDA graph pool memory: 0.45 GiB (actual), 0.92 GiB (estimated), \
difference: 0.47 GiB (104.8%).
"""
REFUSED = """\
ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, which \
is larger than the available KV cache memory (13.89 GiB). Based on the available memory, the estimated maximum model \
length is 113744. Try increasing `gpu_memory_utilization`
"""


def prefixed(text: str) -> str:
    """The text as it is logged."""
    return "".join(HEAD + line for line in text.splitlines(keepends=True))


def test_every_term_of_a_start_is_read() -> None:
    found = engine_log.measured(prefixed(STARTED + GRAPHS))
    assert found == {
        "weightsGiB": 15.0, "availableKvGiB": 55.05, "requestedGiB": 72.84, "initialFreeGiB": 78.66, "nonKvGiB": 16.88,
        "torchPeakIncreaseGiB": 1.1, "consumedGiB": 15.8, "kvTokens": 450976, "maxModelLen": 131072,
        "maxConcurrency": 3.44, "refusedMaxModelLen": None, "graphGiB": {"actual": 0.45, "estimated": 0.92},
        "graphEstimateGiB": 0.92, "backends": ["FLASH_ATTN attention backend"], "runner": "v2", "compileSeconds": 24.63,
        "compileCached": False,
    }  # fmt: skip


def test_what_is_kept_back_for_graphs_is_the_rest_where_the_start_did_not_come_so_far() -> None:
    found = engine_log.measured(prefixed(STARTED))
    assert found["graphGiB"] is None
    assert found["graphEstimateGiB"] == pytest.approx(0.91)


def test_an_engine_without_graphs_keeps_nothing_back_for_them() -> None:
    eager = STARTED.replace("55.05", "55.96")
    assert engine_log.measured(prefixed(eager))["graphEstimateGiB"] == 0.0


def test_a_refused_length_is_read_with_what_would_fit() -> None:
    found = engine_log.measured(prefixed(REFUSED))
    assert (found["refusedMaxModelLen"], found["refusedNeededGiB"], found["kvTokens"]) == (113744, 16.0, None)
    assert refused({"error": REFUSED})
    assert not refused({"error": "ValueError: cannot use this kernel"})


def test_a_start_that_told_nothing_has_no_figures() -> None:
    found = engine_log.measured("INFO hello\n")
    assert found["graphEstimateGiB"] is None
    assert (found["kvTokens"], found["nonKvGiB"]) == (None, None)


def test_the_engines_of_the_file_have_names_of_their_own_and_models() -> None:
    found = cases()
    assert len({case["case"] for case in found}) == len(found)
    assert {gpus_of(case) for case in found} == {1, 2, 4}
    assert all(case["modelConfig"]["architectures"] for case in found)


def _row(log: str, error: str) -> dict[str, Any]:
    return {"case": "llama31-8b", "measured": engine_log.measured(prefixed(log)), "seconds": 9.0, "error": error}


def test_a_refused_start_and_a_missing_library_of_the_plan_end_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_plan(row: dict[str, Any]) -> None:
        raise ModuleNotFoundError("No module named 're2'") if row["measured"]["kvTokens"] else ZeroDivisionError

    monkeypatch.setattr("gpu.engines.row_of", no_plan)
    assert "450,976          -" in line(_row(STARTED, ""))
    assert "refused" in line(_row("", "ValueError: No available memory for the cache blocks."))

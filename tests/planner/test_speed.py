"""What a replica will serve: beside engines that were measured, and that it is told where anything is known of it."""

import statistics
from typing import Any

import pytest

from bench.plan import engines
from bench.speed import FILES, Measured, fitted, measured
from planner.models import GPT_OSS_20B
from planner.models import spec_of as spec
from vllm_operator.planner.accelerators import cpu, find
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan
from vllm_operator.planner.rates import rates_of
from vllm_operator.planner.roofline import FACTORS
from vllm_operator.planner.slices import mig
from vllm_operator.planner.speed import Speed, rounded, speed_of

ROWS = [row for path in FILES for row in engines(path) if "speed" in row]
MEASURED = [measured(row) for row in ROWS]
# Of each kind one: dense, quantized, latent attention, experts, two GPUs. No factor of theirs comes from themselves.
HELD_OUT = ("phi-4", "qwen3-14b-awq", "deepseek-v2-lite-kvfp8", "qwen3-30b-a3b-len8k-seqs256", "mixtral-8x7b-tp2")
LLAMA: dict[str, Any] = next(row["modelConfig"] for row in ROWS if row["model"] == "llama31-8b")


def errors(rows: list[Measured], what: str) -> list[float]:
    """Of the factors as they are written, for steps of decoding, `prefill` or `first token`."""
    told = [pair for row in rows for pair in row.ratios(FACTORS)]
    return [abs(ratio - 1) for name, ratio in told if name == what or (what == "decode" and name[0].isdigit())]


def test_the_factors_are_those_of_the_engines_that_were_measured() -> None:
    assert len(MEASURED) >= 15
    assert fitted(MEASURED) == FACTORS


@pytest.mark.parametrize(
    ("what", "median", "worst"), [("decode", 0.06, 0.3), ("prefill", 0.05, 0.2), ("first token", 0.18, 0.6)]
)
def test_engines_are_told_as_they_were_measured(what: str, median: float, worst: float) -> None:
    found = errors(MEASURED, what)
    assert statistics.median(found) < median
    assert max(found) < worst


def test_engines_that_set_no_factor_are_told_too() -> None:
    held = [row for row in MEASURED if row.name.split()[0] in HELD_OUT]
    others = fitted([row for row in MEASURED if row not in held])
    assert len(held) == len(HELD_OUT)
    ratios = [abs(ratio - 1) for row in held for _, ratio in row.ratios(others)]
    assert statistics.median(ratios) < 0.15
    assert sorted(ratios)[int(len(ratios) * 0.9)] < 0.3


def speed(gpu: str = "H100-80GB", config: dict[str, Any] | None = None, **fields: Any) -> Speed:
    """Of a service that fits."""
    wanted, model, known = spec(**fields), model_of(config or LLAMA), find(gpu)
    assert known
    found = speed_of(wanted, model, plan(wanted, model, known))
    assert found
    return found


def test_more_memory_bandwidth_and_more_gpus_answer_faster() -> None:
    assert speed("H200").one > speed("H100-80GB").one > speed("L40S").one
    two = speed(tensorParallelSize=2)
    assert two.one > speed().one
    assert two.prefill > speed().prefill
    assert two.first_token < speed().first_token


def test_gpt_oss_has_graphs_for_larger_steps_than_others() -> None:
    wanted: dict[str, Any] = {"config": GPT_OSS_20B, "maxNumSeqs": 768}
    to_512 = speed(**wanted, tuning={"compilation": {"maxCudagraphCaptureSize": 512}})
    assert to_512.requests == 768
    assert speed(**wanted).many > 1.5 * to_512.many
    assert speed(**wanted, enforceEager=True).many == to_512.many


def test_requests_together_are_those_that_the_kv_cache_holds() -> None:
    found = speed(maxNumSeqs=64)
    assert (found.requests, found.context) == (64, 1000)
    assert found.many > 10 * found.one
    little = speed(kvCache={"gpuMemoryUtilizationPercent": 30}, maxModelLen=4096)
    assert little.requests < 100
    assert speed(maxModelLen=512).context == 512


def test_what_was_not_measured_is_said() -> None:
    assert speed(maxNumSeqs=64).approximate == ()
    assert any("L40S was not measured" in text for text in speed("L40S").approximate)
    assert any("4 GPUs" in text for text in speed(tensorParallelSize=4).approximate)
    assert any("256 requests" in text for text in speed(maxNumSeqs=512).approximate)
    assert any("CUDA graphs" in text for text in speed(enforceEager=True).approximate)


def test_nothing_is_said_where_nothing_tells() -> None:
    wanted, model = spec(), model_of(LLAMA)
    h100 = find("H100-80GB")
    assert h100
    small = find("L4")
    assert small
    too_large = spec(maxModelLen=131072)
    assert speed_of(too_large, model, plan(too_large, model, small)) is None  # does not fit
    slice_ = mig("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb")
    assert slice_
    assert rates_of(slice_) is None
    on_cpu = spec(accelerator={"resource": "cpu"})
    assert speed_of(on_cpu, model, plan(on_cpu, model, cpu(64 << 30))) is None
    embedder = model_of({**LLAMA, "architectures": ["BertModel"], "model_type": "bert"})
    assert speed_of(wanted, embedder, plan(wanted, embedder, h100)) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(0.03712, 0.037), (0.98, 0.98), (7.34, 7.3), (153.9, 150), (12658.0, 13000), (0, 0)]
)
def test_two_digits_are_all_there_is(value: float, shown: float) -> None:
    assert rounded(value) == shown

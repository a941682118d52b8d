"""What must hold of every plan, whatever the model, the spec and the GPU."""

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from planner.models import (
    AWQ,
    BERT,
    DEEPSEEK_LITE,
    FP8,
    GEMMA2_9B,
    GPT_OSS_20B,
    LLAMA_8B,
    LLAMA_70B,
    PHI3_MINI,
    QWEN3_30B,
    QWEN3_NEXT,
    QWEN25_7B,
    Content,
    gpu_of,
    quantized,
    spec_of,
)
from vllm_operator.api.reasons import Reason
from vllm_operator.planner import accelerators
from vllm_operator.planner.accelerators import GIB, Gpu
from vllm_operator.planner.alternatives import Alternative, Loss, advice, patched
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import Plan, plan
from vllm_operator.planner.rules import SPLITS
from vllm_operator.planner.shapes import ModelShape

CONFIGS: dict[str, Content] = {
    "llama-8b": LLAMA_8B, "llama-70b": LLAMA_70B, "llama-70b-awq": quantized(LLAMA_70B, AWQ),
    "llama-8b-fp8": quantized(LLAMA_8B, FP8), "qwen2.5-7b": QWEN25_7B, "qwen3-30b-a3b": QWEN3_30B,
    "qwen3-next": QWEN3_NEXT, "gemma2-9b": GEMMA2_9B, "gpt-oss-20b": GPT_OSS_20B, "deepseek-lite": DEEPSEEK_LITE,
    "phi3-mini-128k": PHI3_MINI, "bert": BERT, "unknown": {**LLAMA_8B, "architectures": ["NewForCausalLM"]},
}  # fmt: skip
VERDICTS = {False: 0, None: 1, True: 2}
every_model = pytest.mark.parametrize("name", CONFIGS)


@cache
def model(name: str) -> ModelShape:
    """The model of this name."""
    return model_of(CONFIGS[name])


def fields_of(name: str, count: int = 12) -> Iterator[Content]:
    """Services of a model as people write them, at random, the same ones in each run."""
    chance = random.Random(name)
    for _ in range(count):
        fields: Content = {"tensorParallelSize": chance.choice([1, 1, 2, 4])}
        if chance.random() < 0.6:
            fields["maxModelLen"] = chance.randint(256, model(name).longest)
        if chance.random() < 0.3:
            fields["maxNumBatchedTokens"] = chance.choice([2048, 8192, 16384])
        if chance.random() < 0.3:
            fields["kvCache"] = {"gpuMemoryUtilizationPercent": chance.randint(50, 98)}
        if chance.random() < 0.2:
            fields["enforceEager"] = True
        yield fields


def sized(gib: float) -> Gpu:
    """A GPU like an H100 with other memory."""
    return replace(gpu_of("H100"), name="any", total_bytes=int(gib * GIB))


def tokens(result: Plan) -> int:
    assert result.capacity, result.message
    return result.capacity.kv_cache_tokens


@every_model
def test_more_memory_never_fits_less(name: str) -> None:
    # From 70 and 160 GiB on, vLLM's default batch is larger, and so is what it takes: within these, it is the same.
    for fields in fields_of(name):
        for sizes in ((8, 12, 16, 24, 40, 48, 64, 69), (70, 80, 96, 120, 141, 159), (160, 180, 192, 288)):
            results = [plan(spec_of(**fields), model(name), sized(size)) for size in sizes]
            verdicts = [VERDICTS[result.fits] for result in results]
            assert verdicts == sorted(verdicts), fields
            if all(result.capacity for result in results):
                assert [tokens(result) for result in results] == sorted(tokens(result) for result in results)


@every_model
def test_a_larger_share_never_fits_less(name: str) -> None:
    for fields in fields_of(name):
        results = [
            plan(spec_of(**{**fields, "kvCache": {"gpuMemoryUtilizationPercent": percent}}), model(name), sized(80))
            for percent in range(30, 100, 5)  # 100 is refused: a context of CUDA takes some
        ]
        verdicts = [VERDICTS[result.fits] for result in results]
        assert verdicts == sorted(verdicts), fields


def test_all_of_a_gpu_cannot_be_had() -> None:
    result = plan(spec_of(kvCache={"gpuMemoryUtilizationPercent": 100}), model("llama-8b"), sized(80))
    assert result.fits is False
    assert "gpuMemoryUtilizationPercent to at most 99" in result.message


@every_model
def test_an_fp8_cache_never_holds_fewer_tokens(name: str) -> None:
    for fields in fields_of(name):
        halved = {**fields, "kvCache": {**fields.get("kvCache", {}), "dtype": "fp8"}}
        plain, small = (plan(spec_of(**some), model(name), sized(80)) for some in (fields, halved))
        if plain.capacity and small.capacity:
            assert tokens(small) >= tokens(plain)
            assert VERDICTS[small.fits] >= VERDICTS[plain.fits]


@every_model
def test_a_longer_context_never_fits_more(name: str) -> None:
    longest = model(name).longest
    for fields in fields_of(name, 4):
        # A batch has at most maxNumSeqs * maxModelLen tokens: with 2,048 it is the same for all of these.
        lengths = sorted({512, 2048, longest // 8 or 1, longest // 2 or 1, longest})
        some = [{**fields, "maxModelLen": length, "maxNumBatchedTokens": 2048} for length in lengths]
        for gib in (16, 24, 80):
            verdicts = [VERDICTS[plan(spec_of(**each), model(name), sized(gib)).fits] for each in some]
            assert verdicts == sorted(verdicts, reverse=True), (fields, lengths)


@pytest.mark.parametrize("name", ["llama-8b", "llama-70b", "llama-70b-awq", "qwen3-30b-a3b"])
def test_tensor_parallelism_halves_what_is_sharded(name: str) -> None:
    results = [plan(spec_of(tensorParallelSize=size, maxModelLen=4096), model(name), sized(180)) for size in (1, 2, 4)]
    weights = [result.capacity.memory.weights for result in results if result.capacity]
    rope = model(name).rope_bytes
    for more, fewer in pairwise(weights):
        # Norms, routers and the tables of rope are on every rank: little beside the rest.
        assert fewer - rope == pytest.approx((more - rope) / 2, rel=0.01)
    per_token = [
        result.capacity.needed_bytes / (result.capacity.max_model_len / result.capacity.block_size + 1)
        for result in results if result.capacity
    ]  # fmt: skip
    assert all(more == 2 * fewer for more, fewer in pairwise(per_token))


@every_model
def test_the_longest_context_that_fits_is_the_longest(name: str) -> None:
    for fields in fields_of(name):
        fixed = {**fields, "maxNumBatchedTokens": 2048}
        capacity = plan(spec_of(**fixed), model(name), sized(24)).capacity
        if not capacity or not capacity.max_model_len_that_fits or not capacity.block_size:
            continue
        longest = capacity.max_model_len_that_fits
        here = plan(spec_of(**{**fixed, "maxModelLen": longest}), model(name), sized(24)).capacity
        assert here
        assert here.memory.left >= here.needed_bytes
        if longest < model(name).longest:
            beyond = plan(spec_of(**{**fixed, "maxModelLen": longest + 1}), model(name), sized(24)).capacity
            assert beyond
            assert beyond.memory.left < beyond.needed_bytes


@every_model
def test_a_context_with_the_margin_taken_off_surely_fits(name: str) -> None:
    for fields in fields_of(name):
        fixed = {**fields, "maxNumBatchedTokens": 2048}
        capacity = plan(spec_of(**fixed), model(name), sized(24)).capacity
        if capacity and capacity.safe_max_model_len:
            safe = {**fixed, "maxModelLen": capacity.safe_max_model_len}
            assert plan(spec_of(**safe), model(name), sized(24)).fits is True, safe


@every_model
def test_a_length_of_auto_is_the_longest_that_fits_and_at_most_what_vllm_takes_by_default(name: str) -> None:
    fields = {"maxModelLen": "auto", "maxNumBatchedTokens": 2048}
    for gib in (16, 24):
        capacity = plan(spec_of(**fields), model(name), sized(gib)).capacity
        if capacity and capacity.max_model_len_that_fits:
            longest = min(model(name).default_length, capacity.max_model_len_that_fits)
            assert capacity.max_model_len == longest


def test_without_a_length_longrope_is_served_as_before_its_scaling() -> None:
    small, model_ = gpu_of("L4"), model("phi3-mini-128k")
    for fields in ({}, {"maxModelLen": "auto"}):
        result = plan(spec_of(**fields), model_, small)
        assert (result.fits, result.capacity and result.capacity.max_model_len) == (True, 4096), result.message
    asked = plan(spec_of(maxModelLen=131072), model_, small)
    assert (asked.fits, asked.reason) == (False, Reason.CONTEXT_TOO_LONG)
    assert asked.capacity
    assert 4096 < asked.capacity.max_model_len_that_fits < 131072


def some_alternatives(name: str) -> Iterator[tuple[Content, Gpu, tuple[Alternative, ...]]]:
    for fields in fields_of(name, 4):
        for gpu in (gpu_of("H100"), gpu_of("L4"), gpu_of("A10G")):
            yield fields, gpu, advice(spec_of(**fields), model(name), gpu).alternatives


@every_model
def test_alternatives_fit_when_they_are_applied(name: str) -> None:
    for fields, gpu, others in some_alternatives(name):
        for other in others:
            product = other.patch.get("accelerator", {}).get("product")
            spec = patched(spec_of(**fields), other.patch)
            there = accelerators.find(product) if product else gpu
            assert there
            again = plan(spec, model(name), there)
            assert again.fits is True, (fields, other.change)
            assert again == other.plan
            assert other.patch


@every_model
def test_alternatives_are_cheapest_first_and_none_loses_for_nothing(name: str) -> None:
    for fields, gpu, others in some_alternatives(name):
        assert [other.order for other in others] == sorted(other.order for other in others)
        here = [other for other in others if other.plan.gpu == gpu]
        for one in here:
            for other in here:
                if one is not other and one.plan.gpus_per_replica <= other.plan.gpus_per_replica:
                    assert one.loss & other.loss != one.loss or one.loss == other.loss, (fields, one, other)
        if plan(spec_of(**fields), model(name), gpu).fits:
            assert all(other.loss == Loss.NONE for other in others)


def test_what_can_be_changed_is_offered() -> None:
    found = advice(spec_of(tensorParallelSize=2), model("llama-70b"), gpu_of("H100")).alternatives
    patches = [set(other.patch) for other in found]
    assert {"tensorParallelSize"} in patches
    assert {"quantization"} in patches
    assert {"maxModelLen"} in patches
    assert {"accelerator"} in patches
    fp8 = advice(spec_of(), model("gemma2-9b"), gpu_of("L4")).alternatives
    assert any("quantization" in other.patch for other in fp8)
    cache = advice(spec_of(maxModelLen=40000), model("llama-8b"), gpu_of("L4")).alternatives
    assert any(other.patch == {"kvCache": {"dtype": "fp8"}} for other in cache)


def test_nothing_that_the_gpu_cannot_do_is_offered() -> None:
    for name in ("llama-8b", "llama-70b", "gemma2-9b"):
        for other in advice(spec_of(), model(name), gpu_of("T4")).alternatives:
            assert other.plan.gpu != gpu_of("T4") or not other.loss & (Loss.KV_CACHE_PRECISION | Loss.WEIGHT_PRECISION)


def test_fp8_is_offered_where_the_gpu_computes_with_it() -> None:
    precision = Loss.KV_CACHE_PRECISION | Loss.WEIGHT_PRECISION
    for gpu, offered in (("L4", True), ("A30", False), ("A10", False)):
        others = advice(spec_of(maxModelLen=80000), model("llama-8b"), gpu_of(gpu)).alternatives
        assert any(other.loss & precision for other in others) == offered, gpu


def test_no_more_gpus_than_a_node_has_are_offered() -> None:
    for other in advice(spec_of(), model("llama-70b"), gpu_of("H100"), 2).alternatives:
        assert other.plan.gpus_per_replica <= 2


def test_only_gpus_that_there_are_are_offered() -> None:
    spec, there = spec_of(tensorParallelSize=2), (gpu_of("L40S"), gpu_of("B200"))
    names = {
        other.plan.gpu.name for other in advice(spec, model("llama-70b"), gpu_of("H100"), catalogue=there).alternatives
    }
    assert names == {"H100-80GB", "L40S", "B200"}


def test_a_service_that_does_not_split_is_offered_sizes_that_do() -> None:
    spec = spec_of(tensorParallelSize=8)
    assert plan(spec, model("qwen2.5-7b"), gpu_of("L4")).reason in SPLITS
    assert any(other.plan.gpu == gpu_of("L4") for other in advice(spec, model("qwen2.5-7b"), gpu_of("L4")).alternatives)


def test_the_verdict_is_open_where_it_is_too_close_to_say() -> None:
    capacity = plan(spec_of(maxNumBatchedTokens=2048), model("llama-8b"), sized(24)).capacity
    assert capacity
    edge = spec_of(maxModelLen=capacity.max_model_len_that_fits, maxNumBatchedTokens=2048)
    result = plan(edge, model("llama-8b"), sized(24))
    assert (result.fits, result.reason) == (None, Reason.WITHIN_MARGIN)


def test_a_cache_that_has_no_room_beside_the_weights_does_not_fit() -> None:
    result = plan(spec_of(kvCache={"memoryPerGPU": "70Gi"}), model("llama-8b"), gpu_of("H100"))
    assert (result.fits, result.reason) == (False, Reason.WEIGHTS_TOO_LARGE)


def test_weights_are_loaded_as_the_type_that_is_asked_for() -> None:
    half, whole = (
        plan(spec_of(dtype=dtype, maxModelLen=4096), model("llama-8b"), gpu_of("H100")).capacity
        for dtype in ("auto", "float32")
    )
    assert half
    assert whole
    assert whole.memory.weights == pytest.approx(2 * half.memory.weights, rel=0.01)


def test_a_gpu_without_bfloat16_runs_in_float16_where_the_model_can() -> None:
    for name, factor in (("llama-8b", 1), ("gemma2-9b", 2)):
        new, old = (plan(spec_of(maxModelLen=2048), model(name), gpu_of(gpu)).capacity for gpu in ("H100", "V100-32GB"))
        assert new
        assert old
        assert old.memory.weights == pytest.approx(factor * new.memory.weights, rel=0.01)


def test_a_stage_without_layers_is_not_planned() -> None:
    result = plan(spec_of(pipelineParallelSize=64), model("llama-8b"), gpu_of("H100"))
    assert (result.fits, result.reason) == (None, Reason.UNKNOWN_PIPELINE)


def test_a_plan_is_made_in_milliseconds() -> None:
    spec, gpu = spec_of(tensorParallelSize=2), gpu_of("H100")
    for name in CONFIGS:
        took = []
        for _ in range(50):
            start = time.perf_counter()
            plan(spec, model(name), gpu)
            took.append(time.perf_counter() - start)
        assert statistics.median(took) < 0.005, name

"""What tuning and classifiers change of a plan: what was not measured is said to be approximate."""

import pytest

from planner.models import GPT_OSS_20B, LLAMA_8B, gpu_of, spec_of
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.effective import engine_of
from vllm_operator.planner.graphs import most_graph_tokens
from vllm_operator.planner.plan import Capacity, Plan, plan


def planned(**fields: object) -> Plan:
    return plan(spec_of(**fields), model_of(LLAMA_8B), gpu_of("H100"))


def capacity(**fields: object) -> Capacity:
    found = planned(**fields).capacity
    assert found
    return found


def graphs(**compilation: object) -> int:
    return capacity(tuning={"compilation": compilation}).memory.graphs


def test_no_graphs_take_nothing() -> None:
    assert graphs(cudagraphMode="NONE") == graphs(maxCudagraphCaptureSize=0) == 0
    assert capacity().memory.graphs > 0


def test_the_largest_graph_counts_however_it_is_said() -> None:
    by_flag = capacity(extraArgs=["--max-cudagraph-capture-size=16"]).memory.graphs
    assert 0 < by_flag < capacity().memory.graphs
    every = [1, 2, 4, 8, 16]
    assert graphs(maxCudagraphCaptureSize=16) == graphs(cudagraphCaptureSizes=every) == by_flag
    assert graphs(cudagraphCaptureSizes=[16, 1, 16]) < by_flag  # fewer of them, and none that was not named


@pytest.mark.parametrize(
    ("config", "fields", "most"),
    [
        (LLAMA_8B, {"maxNumSeqs": 64}, 128),
        (LLAMA_8B, {}, 512),
        (GPT_OSS_20B, {}, 1024),
        (GPT_OSS_20B, {"maxNumSeqs": 64}, 1024),
        (GPT_OSS_20B, {"maxNumSeqs": 64, "maxNumBatchedTokens": 512}, 512),
        (GPT_OSS_20B, {"tuning": {"compilation": {"maxCudagraphCaptureSize": 256}}}, 256),
        (GPT_OSS_20B, {"enforceEager": True}, 0),
    ],
)
def test_the_largest_graph_is_that_of_vllm(config: dict[str, object], fields: dict[str, object], most: int) -> None:
    model = model_of(config)
    assert most_graph_tokens(engine_of(spec_of(**fields), model, gpu_of("H100")), model) == most


@pytest.mark.parametrize(
    "part", [{"compilation": {"customOps": ["+rms_norm"]}}, {"attention": {"flashAttnVersion": 2}}]
)
def test_what_was_not_measured_is_approximate(part: dict[str, object]) -> None:
    (name,) = part
    result = planned(tuning=part)
    assert f"what vLLM itself takes was not measured with tuning.{name}" in result.note
    assert capacity(tuning=part).margin_bytes > capacity().margin_bytes


def test_words_of_reasoning_and_schemas_change_nothing() -> None:
    tuning = {"reasoning": {"reasoningStartStr": "a", "reasoningEndStr": "b"}, "structuredOutputs": {"backend": "auto"}}
    assert capacity(tuning=tuning) == capacity()


def test_a_classifier_is_planned_as_a_model_that_does_not_generate() -> None:
    model = {"uri": "hf://a/b", "classifier": {"architectures": ["LlamaForSequenceClassification"]}}
    by_flag = planned(extraArgs=["--runner=pooling"])
    assert planned(model=model).capacity == by_flag.capacity
    assert "models that do not generate" in planned(model=model).note

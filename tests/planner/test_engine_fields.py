"""What fields of the engine change of a plan: drafts, weights in the host's memory, data parallel ranks."""

import pytest

from planner.models import LLAMA_8B, LLAMA_70B, QWEN3_30B, Content, gpu_of, spec_of
from vllm_operator.api.reasons import Reason
from vllm_operator.planner.accelerators import GIB
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import Capacity, Plan, plan
from vllm_operator.planner.survey import survey


def planned(content: Content, gpu: str = "H100", **fields: object) -> Plan:
    return plan(spec_of(**fields), model_of(content), gpu_of(gpu))


def capacity(content: Content, gpu: str = "H100", **fields: object) -> Capacity:
    found = planned(content, gpu, **fields).capacity
    assert found
    return found


def test_a_probabilistic_draft_keeps_its_logits_for_each_sequence_and_token() -> None:
    drafts = {"method": "mtp", "numSpeculativeTokens": 3}
    greedy = capacity(LLAMA_8B, maxNumSeqs=64, speculative=drafts)
    sampled = capacity(LLAMA_8B, maxNumSeqs=64, speculative={**drafts, "draftSampleMethod": "probabilistic"})
    assert sampled.memory.other - greedy.memory.other == 64 * 3 * LLAMA_8B["vocab_size"] * 2


def test_a_draft_model_that_is_not_split_may_be_larger_beside_each_share() -> None:
    drafts = {"method": "medusa", "model": "hf://a/b", "numSpeculativeTokens": 3}
    split = capacity(LLAMA_70B, tensorParallelSize=4, speculative=drafts)
    whole = capacity(LLAMA_70B, tensorParallelSize=4, speculative={**drafts, "draftTensorParallelSize": 1})
    assert whole.margin_bytes - split.margin_bytes == pytest.approx(0.3 * split.memory.weights, rel=1e-6)
    assert "the size of the draft model is not known" in planned(LLAMA_70B, speculative=drafts).note


def test_a_model_that_guesses_is_at_most_as_large_as_the_one_that_it_guesses_for() -> None:
    drafts = {"method": "draft_model", "model": "hf://a/b", "numSpeculativeTokens": 3}
    split = capacity(LLAMA_70B, tensorParallelSize=4, speculative=drafts)
    assert split.margin_bytes > split.memory.weights + split.needed_bytes
    whole = capacity(LLAMA_70B, tensorParallelSize=4, speculative={**drafts, "draftTensorParallelSize": 1})
    more = 3 * (split.memory.weights + split.needed_bytes)
    assert whole.margin_bytes - split.margin_bytes == pytest.approx(more, rel=1e-6)
    shortened = capacity(LLAMA_70B, tensorParallelSize=4, speculative=drafts, maxModelLen="auto")
    assert split.margin_bytes - shortened.margin_bytes == pytest.approx(split.needed_bytes, abs=2)


@pytest.mark.parametrize(
    ("config", "gpu", "fits"), [(LLAMA_8B, "L4", None), (LLAMA_8B, "H100", True), (LLAMA_70B, "H100", False)]
)
def test_with_a_model_that_guesses_it_fits_where_any_would_fit(config: Content, gpu: str, fits: bool | None) -> None:  # noqa: FBT001
    fields = {"maxModelLen": 8192, "maxNumSeqs": 32}
    drafts = {"method": "draft_model", "model": "hf://a/b", "numSpeculativeTokens": 3}
    found = plan(spec_of(**fields, speculative=drafts), model_of(config), gpu_of(gpu))
    assert found.fits is fits
    assert "the size of the draft model is not known" in found.note


def test_weights_in_host_memory_are_none_of_the_gpus() -> None:
    plain, offloaded = capacity(LLAMA_8B), capacity(LLAMA_8B, weightsCpuOffloadPerGPU="10Gi")
    assert plain.memory.weights - offloaded.memory.weights == 10 * GIB
    assert offloaded.memory.kv_cache - plain.memory.kv_cache == 10 * GIB
    assert planned(LLAMA_70B, tensorParallelSize=1).fits is False
    fits = planned(LLAMA_70B, maxModelLen=8192, weightsCpuOffloadPerGPU="90Gi")
    assert fits.fits
    assert "weights in the host's memory" in fits.note


def test_only_layers_can_be_in_host_memory() -> None:
    """Embedding and output head stay on the GPU, however much may go."""
    ends = 2 * 128256 * 4096 * 2
    left = capacity(LLAMA_8B, weightsCpuOffloadPerGPU="100Gi").memory.weights
    assert ends <= left < ends + GIB


def test_of_experts_and_ranks_each_gpu_offloads_its_own_share() -> None:
    plain = capacity(QWEN3_30B, tensorParallelSize=2, expertParallel=True)
    offloaded = capacity(QWEN3_30B, tensorParallelSize=2, expertParallel=True, weightsCpuOffloadPerGPU="5Gi")
    assert plain.memory.weights - offloaded.memory.weights == 5 * GIB


def test_each_engine_of_a_pod_has_all_weights_and_a_cache_of_its_own() -> None:
    one, two = capacity(LLAMA_8B), capacity(LLAMA_8B, dataParallelSize=2)
    assert two.memory == one.memory
    assert two.kv_cache_tokens == 2 * one.kv_cache_tokens
    assert two.max_concurrency == pytest.approx(2 * (one.max_concurrency or 0))
    assert (two.max_model_len_that_fits, two.margin_bytes) == (one.max_model_len_that_fits, one.margin_bytes)
    assert planned(LLAMA_8B, dataParallelSize=2).gpus_per_replica == 2
    assert planned(LLAMA_8B, tensorParallelSize=2, pipelineParallelSize=2, dataParallelSize=4).gpus_per_replica == 16


@pytest.mark.parametrize("whole", [True, False])
def test_experts_are_shared_out_over_all_engines_and_the_rest_is_not(whole: bool) -> None:  # noqa: FBT001
    """Attention, embedding and head of Qwen3-30B-A3B are 1.6 billion parameters, its experts 29 billion."""
    one = capacity(QWEN3_30B, dataParallelSize=1)
    four = capacity(QWEN3_30B, dataParallelSize=4, expertParallel=whole)
    experts = 48 * 128 * 3 * 2048 * 768 * 2
    assert one.memory.weights - four.memory.weights == pytest.approx(experts * 3 / 4, rel=0.01)
    assert four.memory.activation > one.memory.activation  # of the batches of all engines
    assert four.margin_bytes > one.margin_bytes + GIB
    assert "exchange" in planned(QWEN3_30B, dataParallelSize=4).note


def test_slices_of_experts_must_be_whole_over_all_engines() -> None:
    odd = {**QWEN3_30B, "moe_intermediate_size": 770}
    assert planned(odd, dataParallelSize=2).reason != Reason.EXPERT_WIDTH
    refused = planned(odd, dataParallelSize=4)
    assert (refused.fits, refused.reason) == (False, Reason.EXPERT_WIDTH)
    assert planned(odd, dataParallelSize=4, expertParallel=True).reason != Reason.EXPERT_WIDTH


def test_a_tensor_parallel_size_leaves_room_for_the_other_engines() -> None:
    shapes = survey(spec_of(dataParallelSize=4), model_of(LLAMA_70B), [gpu_of("L4")], 8)
    assert [shape.plan.gpus_per_replica for shape in shapes if shape.plan.gpus_per_replica > 8] == []


def test_an_eagle_head_keeps_one_layer_more_and_takes_weights_of_its_own() -> None:
    drafts = {"method": "eagle3", "model": "hf://a/b", "numSpeculativeTokens": 3}
    bare, with_head = capacity(LLAMA_8B), capacity(LLAMA_8B, speculative=drafts)
    each = [one.memory.left / one.kv_cache_tokens for one in (bare, with_head)]
    assert each[1] / each[0] == pytest.approx(33 / 32, rel=1e-3)
    assert with_head.memory.other - bare.memory.other > 0.5 * GIB
    another = capacity(LLAMA_8B, speculative={**drafts, "method": "draft_model"})  # no layer of it is known
    assert another.kv_cache_tokens > with_head.kv_cache_tokens

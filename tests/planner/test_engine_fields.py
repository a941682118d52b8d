"""What fields of the engine change of a plan: drafts, weights in the host's memory, data parallel ranks."""

import pytest

from planner.models import LLAMA_8B, LLAMA_70B, QWEN3_30B, Content, gpu_of, spec_of
from vllm_operator.planner.accelerators import GIB
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import Capacity, Plan, plan


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
    drafts = {"method": "eagle3", "model": "hf://a/b", "numSpeculativeTokens": 3}
    split = capacity(LLAMA_70B, tensorParallelSize=4, speculative=drafts)
    whole = capacity(LLAMA_70B, tensorParallelSize=4, speculative={**drafts, "draftTensorParallelSize": 1})
    assert whole.margin_bytes - split.margin_bytes == pytest.approx(0.3 * split.memory.weights, rel=1e-6)
    assert "the size of the draft model is not known" in planned(LLAMA_70B, speculative=drafts).note


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

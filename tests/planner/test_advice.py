"""What else is offered for a service: shapes of other GPUs by their price, and a word where there is none."""

import time
from math import inf

import pytest

from cluster.host import REPOSITORY
from planner.models import (
    AWQ,
    DEEPSEEK_LITE,
    FP8_BLOCKS,
    GPTQ,
    LLAMA_8B,
    LLAMA_70B,
    QWEN3_30B,
    gpu_of,
    quantized,
    spec_of,
)
from vllm_operator.api.reasons import Reason
from vllm_operator.planner.accelerators import CATALOGUE, Gpu, by_price, priced
from vllm_operator.planner.alternatives import MOST_CARDS, MOST_SERVER_GPUS, Loss, advice
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan
from vllm_operator.planner.survey import Shape, sized, sizes_of, survey

DEEPSEEK_V3 = quantized({
    **DEEPSEEK_LITE, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 129280,
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
    "num_attention_heads": 128, "num_key_value_heads": 128, "q_lora_rank": 1536, "n_routed_experts": 256,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
}, FP8_BLOCKS)  # fmt: skip
CONFIGS = {
    "llama-8b": LLAMA_8B, "llama-70b": LLAMA_70B, "llama-70b-awq": quantized(LLAMA_70B, AWQ), "qwen3-30b": QWEN3_30B,
    "deepseek-v3": DEEPSEEK_V3, "unknown": {**LLAMA_8B, "architectures": ["NewForCausalLM"]},
}  # fmt: skip
NVIDIA = [gpu for gpu in CATALOGUE if gpu.vendor == "nvidia"]


@pytest.mark.parametrize("name", list(CONFIGS))
def test_each_shape_is_the_smallest_that_fits(name: str) -> None:
    model = model_of(CONFIGS[name])
    for gpu, shape in zip(NVIDIA, survey(spec_of(), model, NVIDIA, None), strict=True):
        plans = {
            size: plan(spec_of(tensorParallelSize=size), model, gpu) for size in sizes_of(spec_of(), model, gpu, 8)
        }
        fitting = [size for size, result in plans.items() if result.fits]
        assert (shape.plan.gpu, shape.plan.fits is True) == (gpu, bool(fitting))
        assert not fitting or (shape.tensor, shape.plan) == (fitting[0], plans[fitting[0]])


def test_a_node_bounds_the_shape() -> None:
    model, gpus = model_of(LLAMA_70B), [gpu_of("H100"), gpu_of("L40S")]
    assert [shape.tensor for shape in survey(spec_of(), model, gpus, None) if shape.plan.fits] == [4, 8]
    assert [shape.tensor for shape in survey(spec_of(), model, gpus, {"H100-80GB": 4, "L40S": 4})] == [4, 4]
    small = survey(spec_of(), model, gpus, {"H100-80GB": 2, "L40S": 4})
    assert [shape.plan.fits for shape in small] == [False, False]
    staged = survey(spec_of(pipelineParallelSize=2), model, gpus, 2)
    assert [(shape.tensor, shape.plan.gpus_per_replica) for shape in staged] == [(1, 2), (1, 2)]


def test_several_gpus_of_another_product_are_offered() -> None:
    changes = {other.change for other in advice(spec_of(), model_of(LLAMA_70B), gpu_of("H100")).alternatives}
    assert "accelerator.product: NVIDIA-H200, tensorParallelSize: 2" in changes
    large = advice(spec_of(), model_of(DEEPSEEK_V3), gpu_of("H100")).alternatives
    assert "accelerator.product: NVIDIA-H200, tensorParallelSize: 8" in {other.change for other in large}


def test_the_cheapest_comes_first_and_the_platform_says_what_is_cheap() -> None:
    spec, model, there = spec_of(), model_of(LLAMA_70B), [gpu_of("L40S"), gpu_of("H200"), gpu_of("B200")]

    def first(prices: dict[str, float]) -> str:
        found = advice(spec, model, gpu_of("L4"), None, [priced(gpu, prices) for gpu in there]).alternatives
        assert [other.price for other in found] == sorted(other.price for other in found)
        return next(other.plan.gpu.name for other in found if other.plan.gpu.name != "L4")

    assert first({}) == "L40S"
    assert first({"NVIDIA-L40S": 1000}) == "H200"
    assert first({"B200": 0.1}) == "B200"


def test_cards_for_workstations_do_not_hide_those_of_servers() -> None:
    found = advice(spec_of(), model_of(CONFIGS["llama-8b"]), gpu_of("T4")).alternatives
    others = [other.plan.gpu for other in found if other.plan.gpu.name != "T4"]
    assert sum(not gpu.of_servers for gpu in others) <= MOST_CARDS
    assert {gpu.name for gpu in others} >= {"A40", "L40"}
    assert sum(gpu.of_servers for gpu in others) >= MOST_SERVER_GPUS


def test_where_there_is_nothing_it_is_said_why() -> None:
    found = advice(spec_of(), model_of(DEEPSEEK_V3), gpu_of("L4"), None, [gpu_of("L40S"), gpu_of("H100")])
    assert found.alternatives == ()
    assert "none of 2 other GPUs fits either; the roomiest, 8 x H100-80GB: weights of" in found.none
    alone = advice(spec_of(), model_of(DEEPSEEK_V3), gpu_of("L4"), None, [])
    assert "there is no other GPU to try" in alone.none
    assert advice(spec_of(), model_of(CONFIGS["llama-8b"]), gpu_of("H100"), None, []).none == ""


def test_a_gpu_of_which_no_price_is_known_comes_last() -> None:
    own = Gpu("NVIDIA-X900", gpu_of("H200").total_bytes, (9, 0), products=("NVIDIA-X900",))
    found = advice(spec_of(), model_of(LLAMA_70B), gpu_of("L4"), None, [own, gpu_of("B200")]).alternatives
    offered = [other for other in found if other.loss == Loss.NONE]
    assert [other.plan.gpu.name for other in offered] == ["B200", "NVIDIA-X900"]
    assert offered[-1].price == inf


def test_no_more_is_planned_where_more_gpus_mend_nothing() -> None:
    (shape,) = survey(spec_of(), model_of(quantized(LLAMA_70B, {**GPTQ, "desc_act": True})), [gpu_of("H100")], None)
    assert (shape.tensor, shape.plan.fits) == (1, False)
    assert shape.plan.reason is Reason.ACTIVATION_ORDER


def test_all_alternatives_take_less_than_a_tenth_of_a_second_of_the_cpu() -> None:
    for name, content in CONFIGS.items():
        model, took = model_of(content), []
        for _ in range(3):
            start = time.process_time()
            advice(spec_of(), model, gpu_of("L4"))
            took.append(time.process_time() - start)
        assert min(took) < 0.1, name


def test_prices_are_by_name_or_by_label() -> None:
    assert priced(gpu_of("H100"), {"NVIDIA-H100-PCIe": 3}).cost == 3
    assert priced(gpu_of("H100"), {"h100": 2.5}).cost == 2.5
    assert priced(gpu_of("H100"), {"L4": 1}) is gpu_of("H100")
    assert by_price("nvidia", {"B200": 0.5})[0].name == "B200"
    assert Shape(2, plan(sized(spec_of(), 2), model_of(LLAMA_70B), gpu_of("H100"))).price == 120


def test_every_price_is_documented() -> None:
    page = (REPOSITORY / "docs" / "plan.md").read_text()
    assert [gpu.name for gpu in CATALOGUE if f"| {gpu.name} | {gpu.cost:g} |" not in page] == []

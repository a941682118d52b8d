"""How wide experts are for the kernels that vLLM picks, by the GPU, the quantization and what else decides it."""

import json
from pathlib import Path

import pytest

from planner.models import COMPRESSED, GPT_OSS_20B, QWEN3_30B, Content, gpu_of, quantized, spec_of
from support.real_vllm.source import code_of
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.effective import engine_of
from vllm_operator.planner.plan import plan, storage
from vllm_operator.planner.quantization import scheme_of
from vllm_operator.planner.weights import rank_experts

MODELS = json.loads(Path(__file__).with_name("architectures.json").read_text())
NEMOTRON: Content = {**MODELS["NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4"]["config"], "quantization_config": None}
OLMOE: Content = {**MODELS["default-OlmoeForCausalLM"]["config"], "intermediate_size": 1024, "norm_topk_prob": None}
NVFP4: Content = {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}


def _compressed(weights: Content) -> Content:
    return {**COMPRESSED, "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}


NVFP4_COMPRESSED = _compressed({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16})
INT4_COMPRESSED = _compressed({"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True})
ODD: Content = {**QWEN3_30B, "hidden_size": 2880}
FOUR, EIGHT = {"tensorParallelSize": 4}, {"tensorParallelSize": 8}
ADAPTERS = {"lora": {"adapters": [{"name": "one", "uri": "hf://organisation/one"}]}}
PLAIN_GPT_OSS: Content = {key: value for key, value in GPT_OSS_20B.items() if key != "quantization_config"}


@pytest.mark.parametrize(
    ("config", "gpu", "fields", "sizes"),
    [
        (QWEN3_30B, "B200", {}, (2048, 768)),
        (QWEN3_30B, "B200", FOUR, (2048, 256)),
        (QWEN3_30B, "B200", EIGHT, (2048, 128)),
        (QWEN3_30B, "B200", {**FOUR, "expertParallel": True}, (2048, 768)),
        (QWEN3_30B, "B200", {**FOUR, "extraArgs": ["--moe-backend=flashinfer_trtllm"]}, (2048, 256)),
        (QWEN3_30B, "B200", {**FOUR, "extraArgs": ["--moe-backend=triton"]}, (2048, 192)),
        (QWEN3_30B, "B200", {**FOUR, **ADAPTERS}, (2048, 192)),
        (QWEN3_30B, "H200", FOUR, (2048, 192)),
        (QWEN3_30B, "RTX-PRO-6000", FOUR, (2048, 192)),
        (QWEN3_30B, "B200", {**FOUR, "image": "vllm/vllm-openai:v0.11.2"}, (2048, 192)),
        (quantized(ODD, NVFP4), "H100", {**FOUR, "image": "vllm/vllm-openai:v0.11.2"}, (2880, 192)),
        ({**QWEN3_30B, "norm_topk_prob": True}, "B200", FOUR, (2048, 256)),
        ({**QWEN3_30B, "norm_topk_prob": False}, "B200", FOUR, (2048, 192)),
        (OLMOE, "B200", {"tensorParallelSize": 16}, (2048, 64)),
        (PLAIN_GPT_OSS, "B200", EIGHT, (2880, 360)),
        (NEMOTRON, "B200", EIGHT, (2688, 256)),
        (quantized(QWEN3_30B, NVFP4), "B200", EIGHT, (2048, 128)),
        (quantized(QWEN3_30B, NVFP4_COMPRESSED), "B200", EIGHT, (2048, 128)),
        (quantized(ODD, NVFP4), "B200", FOUR, (3072, 192)),
        (quantized(NEMOTRON, NVFP4), "B200", EIGHT, (2816, 256)),
        (quantized(ODD, NVFP4), "B200", {**FOUR, **ADAPTERS}, (2880, 256)),
        (quantized(ODD, NVFP4), "B200", {**FOUR, "extraArgs": ["--moe-backend=marlin"]}, (2880, 256)),
        (quantized(QWEN3_30B, NVFP4), "H100", EIGHT, (2048, 128)),
        (quantized(QWEN3_30B, NVFP4), "H100", FOUR, (2048, 192)),
        (quantized(ODD, NVFP4), "H100", FOUR, (2880, 256)),
        (quantized(QWEN3_30B, NVFP4), "RTX-PRO-6000", FOUR, (2048, 192)),
        (quantized(QWEN3_30B, INT4_COMPRESSED), "B200", FOUR, (2048, 192)),
    ],
)
def test_experts_are_as_wide_as_their_kernel_wants(
    config: Content, gpu: str, fields: Content, sizes: tuple[int, int]
) -> None:
    spec, model = spec_of(**fields), model_of(config)
    engine, scheme = engine_of(spec, model, gpu_of(gpu)), scheme_of(model, None)
    assert scheme
    assert model.experts
    assert rank_experts(model.experts, scheme, engine.ranks, storage(scheme, engine).tiles)[1:] == sizes


def test_what_experts_are_padded_by_counts_as_weights() -> None:
    large: Content = {
        **QWEN3_30B, "hidden_size": 4096, "moe_intermediate_size": 1536, "num_hidden_layers": 94,
        "num_attention_heads": 64,
    }  # fmt: skip
    plain, padded = (
        plan(spec_of(**EIGHT, maxModelLen=4096), model_of({**large, "norm_topk_prob": norm}), gpu_of("B200")).capacity
        for norm in (False, True)
    )
    assert plain
    assert padded
    more = 94 * 128 * 3 * 4096 * (256 - 192) * 2
    assert padded.memory.weights - plain.memory.weights == pytest.approx(more, abs=64 << 20)


ORACLE, UTILS = "vllm/model_executor/layers/fused_moe/oracle", "vllm/model_executor/layers/quantization/utils"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (f"{ORACLE}/unquantized.py", "intermediate_size = round_up(intermediate_size, 128)"),
        (f"{UTILS}/flashinfer_fp4_moe.py", "min_alignment = 64 if is_gated else 128"),
        (f"{UTILS}/flashinfer_fp4_moe.py", "trtllm_hidden_alignment: int=256"),
        (f"{UTILS}/marlin_utils_fp4.py", "if K % 128 == 0:\n        padded_N = round_up(N, 64)"),
        (f"{UTILS}/marlin_utils_fp4.py", "padded_N = round_up(N, 128)"),
    ],
)
def test_the_tiles_are_vllms(source: str, text: str) -> None:
    assert text in code_of(source), f"{source} no longer says {text!r}"

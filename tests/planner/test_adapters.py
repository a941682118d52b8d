"""LoRA adapters: the room that vLLM sets aside for them beside matrices and experts (architectures.json)."""

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planner.models import GPT_OSS_20B, LLAMA_8B, QWEN3_30B, Content, gpu_of, spec_of
from support.real_vllm.source import packages
from vllm_operator.planner.accelerators import GIB, Gpu
from vllm_operator.planner.activations import Pass
from vllm_operator.planner.adapters import PACKED_EXPERTS, adapter_bytes
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.effective import engine_of
from vllm_operator.planner.plan import Capacity, plan
from vllm_operator.planner.quantization import scheme_of

MODELS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("architectures.json").read_text())
CASES = [(name, case) for name, model in MODELS.items() for case in model.get("adapters", ())]
PLAIN = {"Qwen3-14B", "Qwen3-30B-A3B", "Qwen3-VL-30B-A3B-Instruct", "Mixtral-8x22B-v0.1", "default-Llama4"}
"""Of attention and MLP alone, with adapters beside both ends: others' mixers have small matrices besides."""


def fields(rank: int = 64, slots: int = 1, *, sharded: bool = False, **more: object) -> Content:
    """Of a service with adapters."""
    extra = [f"--max-loras={slots}", *(["--fully-sharded-loras"] if sharded else [])]
    return {"lora": {"adapters": [{"name": "a", "uri": "hf://a/b"}], "maxRank": rank}, "extraArgs": extra, **more}


def parts(name: str, case: dict[str, Any]) -> tuple[int, int]:
    """Bytes beside experts, and beside all else."""
    model, asked = model_of(MODELS[name]["config"], MODELS[name].get("hfQuantConfig")), case["arguments"]
    spec = spec_of(**fields(
        asked["max_lora_rank"], asked.get("max_loras", 1), sharded="fully_sharded_loras" in asked, dtype="bfloat16",
        tensorParallelSize=case["tensor"], expertParallel="enable_expert_parallel" in asked,
    ))  # fmt: skip
    scheme = scheme_of(model, None)
    assert scheme
    whole = Pass.of(model, engine_of(spec, model, gpu_of("H100")), scheme, 0)
    bare = replace(whole, layers=tuple((replace(layer, experts=None), count) for layer, count in whole.layers))
    others = adapter_bytes(bare)
    return adapter_bytes(whole) - others, others


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case['tensor']}" for name, case in CASES])
def test_room_for_adapters_is_vllms(name: str, case: dict[str, Any]) -> None:
    experts, others = parts(name, case)
    assert experts == case["bytes"].get("experts", 0)
    assert name not in PLAIN or others == case["bytes"]["others"]


def capacity(content: Content, gpu: str | Gpu = "H100", **spec: object) -> Capacity:
    found = plan(spec_of(**spec), model_of(content), gpu_of(gpu) if isinstance(gpu, str) else gpu).capacity
    assert found
    return found


def test_every_expert_has_room_for_every_adapter() -> None:
    bare = capacity(QWEN3_30B, maxModelLen=4096).memory.other
    one, two = (capacity(QWEN3_30B, **fields(slots=slots, maxModelLen=4096)).memory.other for slots in (1, 2))
    assert two - one == pytest.approx(one - bare)
    assert two - bare == pytest.approx(12.375 * GIB, rel=0.03)  # and a little for the rest
    refused = plan(spec_of(**fields(slots=4, maxModelLen=4096)), model_of(QWEN3_30B), gpu_of("H100"))
    assert refused.fits is False
    assert "was not measured with adapters" in plan(
        spec_of(**fields(maxModelLen=4096)), model_of(QWEN3_30B), gpu_of("H100")
    ).note  # fmt: skip


def test_mxfp4_experts_with_adapters_are_marlins() -> None:
    """Triton's kernels, which Hopper has otherwise, take none (fused_moe/oracle/mxfp4.py)."""
    # Without graphs nothing is compiled, which would take more than the experts' workspace.
    bare, adapted = (capacity(GPT_OSS_20B, enforceEager=True, **some).memory for some in ({}, fields()))
    marlins = MODELS["gpt-oss-20b"]["ranks"]["1"]["parameterBytes"]  # the oracle has no other kernel
    assert adapted.weights == pytest.approx(marlins, rel=0.01)
    assert adapted.weights > bare.weights + GIB // 2
    assert adapted.activation > bare.activation
    assert capacity(GPT_OSS_20B, "B200", **fields()).memory.weights == capacity(GPT_OSS_20B, "B200").memory.weights


def test_adapters_on_the_cpu_take_memory_too() -> None:
    cpu = Gpu("CPU", 256 * GIB, (0, 0), vendor="cpu")
    spec: Content = {"accelerator": {"resource": "cpu"}, "maxModelLen": 4096}
    bare, adapted = (capacity(LLAMA_8B, cpu, **{**spec, **some}).memory.other for some in ({}, fields()))
    on_gpu = [capacity(LLAMA_8B, maxModelLen=4096, **some).memory.other for some in ({}, fields())]
    assert adapted - bare == on_gpu[1] - on_gpu[0] > 0


def test_the_last_word_on_sharing_counts() -> None:
    split: Content = {"tensorParallelSize": 2, "maxModelLen": 4096}
    both = {**fields(**split), "extraArgs": ["--fully-sharded-loras", "--no-fully-sharded-loras"]}
    whole, shared = capacity(QWEN3_30B, **fields(**split)), capacity(QWEN3_30B, **fields(sharded=True, **split))
    assert capacity(QWEN3_30B, **both).memory == whole.memory
    assert shared.memory.other < whole.memory.other


def test_experts_that_are_packed_are_those_of_vllm() -> None:
    sources = [*packages().glob("vllm/model_executor/models/*.py"), *packages().glob("vllm/models/*/*.py")]
    texts = [text for text in (source.read_text() for source in sources) if "is_3d_moe_weight" in text
             or any(f"({name})" in text for name in PACKED_EXPERTS)]  # fmt: skip
    classes = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    packed = {one.name for one in classes if _says(one)}
    packed |= {one.name for one in classes if packed & {ast.unparse(base) for base in one.bases}}
    thinker = {"Qwen3OmniMoeThinkerForConditionalGeneration": "Qwen3OmniMoeForConditionalGeneration"}
    assert {thinker.get(name, name) for name in packed} == PACKED_EXPERTS


def _says(one: ast.ClassDef) -> bool:
    assigned = [node for node in one.body if isinstance(node, ast.AnnAssign | ast.Assign)]
    return any("is_3d_moe_weight" in ast.unparse(node) and ast.unparse(node).endswith("True") for node in assigned)

"""Every architecture that the planner knows against what vLLM's own classes allocate (architectures.json).

The file is made by `python -m planner.oracle`, which also says where a GPU engine differs. Small tensors that a kernel
keeps besides (scalars, scales of odd widths) are not reckoned one by one: a fifth of a percent is allowed for them.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planner.models import gpu_of, spec_of
from planner.oracle.__main__ import BATCH_TOKENS, CACHE_BYTES, STAGES
from vllm_operator.planner.accelerators import GIB, Gpu
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.config import Config
from vllm_operator.planner.defaults import DEFAULTS
from vllm_operator.planner.effective import engine_of
from vllm_operator.planner.families import FAMILIES
from vllm_operator.planner.kv_cache import layout
from vllm_operator.planner.plan import plan
from vllm_operator.planner.quantization import scheme_of
from vllm_operator.planner.refusals import DROPPED
from vllm_operator.planner.served import SERVED
from vllm_operator.planner.tiles import MARLIN_TILES, Tiles
from vllm_operator.planner.towers import MULTIMODAL
from vllm_operator.planner.weights import Ranks, Storage, rank_weights

MODELS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("architectures.json").read_text())
ROWS = [(name, int(tensor)) for name, model in MODELS.items() for tensor in model["ranks"]]
TILES = Tiles(mxfp4=MARLIN_TILES)
"""Marlin's, to which MXFP4 experts are padded where the file was made."""
WEIGHTS_SHARE = 0.005
TOKENS_SHARE = 0.001


def row_of(name: str, tensor: int) -> dict[str, Any]:
    """What vLLM says."""
    row: dict[str, Any] = MODELS[name]["ranks"][str(tensor)]
    return row


@pytest.mark.parametrize(("name", "tensor"), ROWS)
def test_weights_of_a_rank_are_vllms(name: str, tensor: int) -> None:
    model = replace(model_of(MODELS[name]["config"], MODELS[name].get("hfQuantConfig")), dtype="bfloat16")
    assert not model.approximate
    scheme = scheme_of(model, None)
    assert scheme
    weights = rank_weights(model, Storage(scheme, TILES), Ranks(tensor), 0)
    assert weights.parameters == pytest.approx(row_of(name, tensor)["parameterBytes"], rel=WEIGHTS_SHARE)


@pytest.mark.parametrize("stage", range(STAGES))
@pytest.mark.parametrize("name", [name for name in MODELS if "stages" in MODELS[name]])
def test_weights_of_a_pipeline_stage_are_vllms(name: str, stage: int) -> None:
    model = replace(model_of(MODELS[name]["config"], MODELS[name].get("hfQuantConfig")), dtype="bfloat16")
    scheme = scheme_of(model, None)
    assert scheme
    weights = rank_weights(model, Storage(scheme, TILES), Ranks(pipeline=STAGES), stage)
    assert weights.parameters == pytest.approx(MODELS[name]["stages"][stage], rel=WEIGHTS_SHARE)


@pytest.mark.parametrize("name", [name for name in MODELS if "max_model_len" not in MODELS[name].get("arguments", {})])
def test_the_length_where_none_is_asked_for_is_vllms(name: str) -> None:
    lengths = {row["maxModelLen"] for row in MODELS[name]["ranks"].values()}
    assert lengths == {model_of(MODELS[name]["config"]).default_length}


@pytest.mark.parametrize("kind", [name for name, known in DEFAULTS.items() if "kv_lora_rank" in known])
def test_what_transformers_compresses_is_cached_compressed(kind: str) -> None:
    """But for MiniCPM 3, whose class in vLLM expands it first (models/minicpm3.py)."""
    config = Config.of({"architectures": ["AnyForCausalLM"], "model_type": kind})
    assert config.latent == (kind != "minicpm3")


def test_the_table_of_positions_reaches_as_far_as_the_model() -> None:
    model = model_of(MODELS["c4ai-command-r-v01"]["config"])
    assert model.rope_bytes == 131072 * model.head_size * 2


@pytest.mark.parametrize(("name", "tensor"), [row for row in ROWS if "kvTokens" in row_of(*row)])
def test_tokens_of_the_kv_cache_are_vllms(name: str, tensor: int) -> None:
    row, model = row_of(name, tensor), model_of(MODELS[name]["config"], MODELS[name].get("hfQuantConfig"))
    length = row["maxModelLen"]
    spec = spec_of(tensorParallelSize=tensor, maxModelLen=length, maxNumBatchedTokens=BATCH_TOKENS, dtype="bfloat16")
    engine = engine_of(spec, model, gpu_of("H100"))
    tokens, _ = layout(model, engine, 0).tokens(CACHE_BYTES, length, engine)
    assert tokens == pytest.approx(row["kvTokens"], rel=TOKENS_SHARE)


@pytest.mark.parametrize(("name", "tensor"), ROWS)
@pytest.mark.parametrize("gpu", ["H100", "L40S"])
def test_what_exceeds_the_gpu_never_fits(name: str, tensor: int, gpu: str) -> None:
    row, model = row_of(name, tensor), model_of(MODELS[name]["config"], MODELS[name].get("hfQuantConfig"))
    result = plan(spec_of(tensorParallelSize=tensor, maxModelLen=min(64, model.longest)), model, gpu_of(gpu))
    if row["parameterBytes"] > gpu_of(gpu).total_bytes:
        assert result.fits is False, result.message
    elif row["parameterBytes"] < gpu_of(gpu).total_bytes / 2:
        assert result.fits is not False, result.message


def test_all_architectures_in_the_tables_are_vllms() -> None:
    assert {*FAMILIES, *MULTIMODAL} - SERVED == {*FAMILIES} & {*DROPPED}


def test_a_large_gpu_holds_every_model() -> None:
    large = Gpu("large", 8192 * GIB, (9, 0))
    for name, model in MODELS.items():
        length = min(row["maxModelLen"] for row in model["ranks"].values())
        result = plan(spec_of(maxModelLen=length), model_of(model["config"], model.get("hfQuantConfig")), large)
        assert result.fits is True, (name, result.message)


def test_an_fp8_cache_of_sparse_attention_has_a_format_of_its_own_on_hopper() -> None:
    model = model_of(MODELS["default-DeepseekV32ForCausalLM"]["config"])
    fields = {"maxModelLen": 4096, "kvCache": {"dtype": "fp8", "memoryPerGPU": "16Gi"}, "tensorParallelSize": 16}
    results = [plan(spec_of(**fields), model, gpu_of(gpu)).capacity for gpu in ("H200", "B200")]
    hopper, blackwell = (result.kv_cache_tokens if result else 0 for result in results)
    assert blackwell / hopper == pytest.approx((656 + 132) / (576 + 132), rel=0.001)


@pytest.mark.parametrize("argument", [["--runner", "pooling"], ["--runner=pooling"]])
def test_a_model_that_embeds_has_no_output_head(argument: list[str]) -> None:
    config = MODELS["Qwen3-14B"]["config"]
    head = config["vocab_size"] * config["hidden_size"] * 2
    generating, embedding = (
        plan(spec_of(maxModelLen=4096, **fields), model_of(config), gpu_of("H100")).capacity
        for fields in ({}, {"extraArgs": argument})
    )
    assert generating
    assert embedding
    assert generating.memory.weights - embedding.memory.weights == pytest.approx(head, abs=4 << 20)


@pytest.mark.parametrize(
    ("said", "tied"),
    [((None, None), True), ((None, False), False), ((None, True), True), ((True, False), True), ((False, True), False)],
)
def test_a_head_that_only_transformers_ties_is_the_checkpoints(
    said: tuple[bool | None, bool | None], *, tied: bool
) -> None:
    content, (whole, text) = MODELS["gemma-3-12b-it"]["config"], said
    told = {**content, "text_config": {**content["text_config"], "tie_word_embeddings": text}}
    assert model_of({**told, "tie_word_embeddings": whole}).tied is tied


def test_of_a_model_that_also_speaks_the_text_part_of_its_thinker_is_read() -> None:
    text = MODELS["Qwen3-30B-A3B"]["config"]
    thinker = {"text_config": text, "audio_config": {"d_model": 1280}, "vision_config": {"depth": 27}}
    content = {
        "architectures": ["Qwen3OmniMoeForConditionalGeneration"], "model_type": "qwen3_omni_moe",
        "thinker_config": thinker, "talker_config": {"text_config": {"num_hidden_layers": 1}},
    }  # fmt: skip
    spoken, written = model_of(content, None, 70 << 30), model_of(text)
    assert (len(spoken.layers), spoken.kv_heads, spoken.longest) == (48, 4, written.longest)
    assert spoken.multimodal
    spec = spec_of(maxModelLen=8192)
    result, alone = plan(spec, spoken, gpu_of("H200")), plan(spec, written, gpu_of("H200"))
    assert result.fits is True
    assert "Qwen3OmniMoeForConditionalGeneration" in result.approximate[0]
    assert result.capacity
    assert alone.capacity
    assert result.capacity.needed_bytes == alone.capacity.needed_bytes
    assert plan(spec, model_of(content), gpu_of("H200")).fits is None

"""A config.json may come from anyone: whatever is in it ends in a plan or in one clear sentence, and soon."""

import gc
import json
import random
import resource
import time
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from planner.models import (
    COMPRESSED,
    DEEPSEEK_LITE,
    FP8,
    GPTQ,
    LLAMA_8B,
    QWEN3_30B,
    Content,
    gpu_of,
    quantized,
    spec_of,
)
from vllm_operator.api.reasons import Reason
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.config import ModelConfigError
from vllm_operator.planner.plan import Plan, plan

GOLDEN = Path(__file__).with_name("architectures.json")
MOST_SECONDS = 0.5
"""Of CPU. Ten times what is promised, since the machine may be busy; the broken ones took minutes, or never ended."""


def planned(content: Content, header_bytes: int | None = None, **fields: Any) -> Plan:
    """The plan on an H100, within the time."""
    start = time.process_time()
    try:
        return plan(spec_of(**fields), model_of(content, None, header_bytes), gpu_of("H100"))
    finally:
        assert time.process_time() - start < MOST_SECONDS


ROPE: Content = {"rope_type": "linear"}
IMPOSSIBLE: dict[str, Content] = {
    "no KV heads": {"num_key_value_heads": 0},
    "no layers": {"num_hidden_layers": 0},
    "100,000 layers": {"num_hidden_layers": 100_000},
    "a billion layers": {"num_hidden_layers": 10**9},
    "positions without end": {"max_position_embeddings": 10**18},
    "rope factor NaN": {"rope_scaling": {**ROPE, "factor": float("nan")}},
    "rope factor Infinity": {"rope_scaling": {**ROPE, "factor": float("inf")}},
    "negative rope factor": {"rope_scaling": {**ROPE, "factor": -2}},
    "huge rope factor": {"rope_scaling": {**ROPE, "factor": 1e6}},
    "quantization as a word": {"quantization_config": "awq"},
    "quantization as a list": {"quantization_config": [1]},
    "no bits": {"quantization_config": {"quant_method": "awq", "bits": 0}},
    "blocks of nothing": {"quantization_config": {**FP8, "weight_block_size": [0, 0]}},
    "half a block in words": {"quantization_config": {**FP8, "weight_block_size": "128"}},
    "a block of words": {"quantization_config": {**FP8, "weight_block_size": "axb"}},
    "9 bits": {"quantization_config": {**GPTQ, "bits": 9}},
    "a text model elsewhere": {"text_model_id": "organisation/name"},
    "a thinker that is none": {"thinker_config": "organisation/name"},
    "half a block": {"quantization_config": {**FP8, "weight_block_size": [128]}},
    "architectures as a word": {"architectures": "LlamaForCausalLM"},
    "tied with a word": {"tie_word_embeddings": "false"},
    "fewer kinds than layers": {"layer_types": ["full_attention"]},
    "a vocabulary of a billion": {"vocab_size": 10**9},
    "heads as a text": {"num_attention_heads": "32"},
    "a list of words to ignore": {"quantization_config": {**COMPRESSED, "ignore": [1, 2]}},
    "groups as a text": {"quantization_config": {**GPTQ, "group_size": "many"}},
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_no_model_has_is_one_sentence(change: Content) -> None:
    with pytest.raises(ModelConfigError, match=r"^the model config[^\n]*$"):
        planned({**LLAMA_8B, **change})


@pytest.mark.parametrize(("name", "key", "value"), [
    ("default-Lfm2Moe", "conv_L_cache", 1), ("default-Lfm2Moe", "conv_L_cache", 0),
    ("default-MambaForCausalLM", "intermediate_size", 0), ("granite-3.3-8b-instruct", "hidden_size", 1),
])  # fmt: skip
def test_layers_that_keep_nothing_are_one_sentence(name: str, key: str, value: int) -> None:
    config = json.loads(GOLDEN.read_text())[name]["config"]
    with pytest.raises(ModelConfigError, match=r"^the model config[^\n]*$"):
        planned({**config, key: value}, maxModelLen=64)


def test_an_order_of_activations_that_is_no_word_is_none() -> None:
    group = {**COMPRESSED["config_groups"]["group_0"]["weights"], "actorder": [1]}
    groups = {"group_0": {"targets": ["Linear"], "weights": group}}
    assert planned(quantized(LLAMA_8B, {**COMPRESSED, "config_groups": groups}), maxModelLen=8192).fits


PATTERNS = {
    "without end": (r"re:([a-z._0-9]+)+[!]", True),
    "looking ahead": (r"re:^(?!.*mlp).*", None),
    "not closed": ("re:(", None),
    "a reference back": (r"re:(.*)\1", None),
    "too long": ("re:" + "a" * 100_000, None),
    "counted": ("re:(?:language)?" + "(?:[!-~]?){1000}" * 40 + "~", None),
    "plain": ("re:.*lm_head", True),
}


@pytest.mark.parametrize(("pattern", "fits"), PATTERNS.values(), ids=PATTERNS)
def test_patterns_end_or_are_not_guessed(pattern: str, *, fits: bool | None) -> None:
    content = quantized(LLAMA_8B, {**COMPRESSED, "ignore": [pattern]})
    result = planned(content, maxModelLen=8192)
    assert result.fits is fits
    assert fits or result.reason == Reason.UNKNOWN_QUANTIZATION


def test_many_patterns_and_names_are_no_trouble() -> None:
    names = [f"model.layers.{index}.mlp.{part}_proj" for index in range(320) for part in ("gate", "up", "down")]
    for ignored in (names, [f"re:.*layers.{index}.mlp.*" for index in range(64)], [f"re:{name}" for name in names]):
        planned(quantized({**LLAMA_8B, "num_hidden_layers": 320}, {**COMPRESSED, "ignore": ignored}))


def counted(times: int, name: object, layers: int) -> Content:
    """A model with 16 patterns that are short and, compiled, are not: each thing is repeated a thousand times."""
    weights = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    ignored, *targets = ([f"re:(?:language)?{'(?:[!-~]?){1000}' * times}~{name}-{index}"] for index in range(16))
    groups = {f"group_{index}": {"targets": one, "weights": weights} for index, one in enumerate(targets)}
    settings = {"quant_method": "compressed-tensors", "ignore": ignored, "config_groups": groups}
    return quantized({**LLAMA_8B, "num_hidden_layers": layers}, settings)


@pytest.mark.parametrize("times", [1, 2, 40])
def test_patterns_that_take_long_for_all_matrices_are_not_run(times: int) -> None:
    result = planned(counted(times, "one", 320))
    assert result.fits is None
    assert result.reason == Reason.UNKNOWN_QUANTIZATION


@pytest.mark.parametrize("times", [1, 40])
def test_patterns_of_many_models_take_little_memory(times: int) -> None:
    planned(counted(times, "first", 2))
    before = resident_mib()
    for number in range(16):
        planned(counted(times, f"{times}-{number}", 2))
    assert resident_mib() - before < 16


def resident_mib() -> float:
    """What the process has of the memory now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def test_many_patterns_of_a_real_size_are_run() -> None:
    """One for each layer of a large model."""
    ignored = [f"re:.*layers.{index}.mlp.*" for index in range(94)]
    groups = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "tensor"}}}
    settings = {**COMPRESSED, "ignore": ignored, "config_groups": groups}
    plan_of = planned(quantized({**QWEN3_30B, "num_hidden_layers": 94}, settings), maxModelLen=8192)
    assert plan_of.reason != Reason.UNKNOWN_QUANTIZATION


ODD: tuple[Any, ...] = (
    None, -1, 0, 1e400, float("nan"), "x", [], {}, [1], 10**30, True, 1.5, {"a": {}}, [None], "re:(",
)  # fmt: skip


def test_whatever_value_is_odd_it_is_a_plan_or_a_sentence() -> None:
    models = [model["config"] for model in json.loads(GOLDEN.read_text()).values()]
    chance = random.Random(1)
    for _ in range(1500):
        content = deepcopy(chance.choice(models))
        part = content
        while part:
            key = chance.choice(sorted(part))
            if not isinstance(part[key], dict) or chance.random() < 0.3:
                part[key] = chance.choice(ODD)
                break
            part = part[key]
        with suppress(ModelConfigError):
            planned(content, tensorParallelSize=chance.choice([1, 2, 8]))


UNKNOWN = {**LLAMA_8B, "architectures": ["PersimmonForCausalLM"], "model_type": "persimmon"}


@pytest.mark.parametrize("gpus", [1, 8])
@pytest.mark.parametrize("length", [128, 8192, 131072])
def test_an_unknown_architecture_without_headers_is_unknown(gpus: int, length: int) -> None:
    result = planned(UNKNOWN, maxModelLen=length, tensorParallelSize=gpus)
    assert result.fits is None
    assert result.reason == Reason.UNKNOWN_ARCHITECTURE
    assert "PersimmonForCausalLM" in result.approximate[0]


@pytest.mark.parametrize(("size", "gpus", "fits"), [
    (16 << 30, 1, True), (68 << 30, 1, None), (120 << 30, 1, False), (136 << 30, 2, None), (120 << 30, 4, True),
    (689 << 30, 1, False), (689 << 30, 8, False),
])  # fmt: skip
def test_headers_are_the_weights_of_an_unknown_architecture(size: int, gpus: int, *, fits: bool | None) -> None:
    result = planned(UNKNOWN, size, maxModelLen=4096, tensorParallelSize=gpus)
    assert result.fits is fits, result.message
    assert result.capacity
    assert result.capacity.memory.weights >= size // gpus
    assert result.approximate


@pytest.mark.parametrize(("asked", "fits"), [("fp8_per_tensor", True), ("nvfp4_per_token", None),
                                              ("int8_per_channel_weight_only", None)])  # fmt: skip
def test_of_an_unknown_architecture_nobody_knows_what_experts_are_quantized(asked: str, *, fits: bool | None) -> None:
    result = planned(UNKNOWN, 80 << 30, maxModelLen=4096, quantization=asked)
    assert result.fits is fits, result.message
    small = planned(UNKNOWN, 16 << 30, maxModelLen=4096, quantization=asked)
    assert small.fits is True, small.message


def test_experts_that_nobody_counted_never_fit() -> None:
    result = planned({**LLAMA_8B, "num_local_experts": 16}, maxModelLen=2048)
    assert result.fits is None
    assert "num_local_experts" in result.approximate[0]


@pytest.mark.parametrize("content", [LLAMA_8B, QWEN3_30B, DEEPSEEK_LITE, quantized(LLAMA_8B, GPTQ)])
def test_headers_that_agree_change_nothing(content: Content) -> None:
    alone = planned(content, maxModelLen=8192)
    assert alone.capacity
    model = model_of(content)
    for times in (1.0, 1.02, 2.0):
        both = planned(content, int(times * alone.capacity.memory.weights - times * model.rope_bytes), maxModelLen=8192)
        assert both.capacity == alone.capacity
        assert not both.approximate


def test_an_output_head_may_be_stored_or_left_out() -> None:
    tied, own = {**LLAMA_8B, "tie_word_embeddings": True}, LLAMA_8B
    head = LLAMA_8B["vocab_size"] * LLAMA_8B["hidden_size"] * 2
    for content, there in ((tied, head), (own, -head)):
        alone = planned(content, maxModelLen=8192)
        assert alone.capacity
        size = alone.capacity.memory.weights - model_of(content).rope_bytes
        both = planned(content, size + there, maxModelLen=8192)
        assert not both.approximate
        assert both.capacity
        assert both.capacity.memory.weights == alone.capacity.memory.weights + min(0, there)


def test_headers_that_do_not_agree_win_and_widen_the_margin() -> None:
    result = planned(LLAMA_8B, 60 << 30, maxModelLen=8192)
    assert result.fits is not True
    assert "GB" in result.approximate[0]
    assert result.capacity
    assert result.capacity.memory.weights > 59 << 30

"""How what was found of a model is kept: the same facts come back, in plain JSON that says itself what it is."""

import json

import pytest

from support.model_reports import content_of, packed
from vllm_operator.inspection.kept import facts_of, pack, unpack
from vllm_operator.inspection.report import Facts, InspectionError, decode, encode

LLAMA = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "sliding_window": None}


def test_facts_come_back_from_plain_json() -> None:
    facts = Facts(
        LLAMA, {"quantization": {"quant_algo": "FP8"}}, 12, "c" * 40, chat_template=False, max_seq_length=512,
        image_pixels=1003520,
    )  # fmt: skip
    content = content_of(facts)
    assert content["config"] == LLAMA
    assert json.loads(json.dumps(content)) == content
    assert facts_of(pack(content)) == facts
    assert unpack(pack(content)) == content


def test_what_was_kept_before_lengths_of_sentences_were_comes_back_and_stays_the_same() -> None:
    content = content_of(Facts(LLAMA))
    assert "maxSeqLength" not in content
    assert facts_of(pack(content)) == Facts(LLAMA)


def test_the_order_of_keys_is_no_difference() -> None:
    content = content_of(Facts(LLAMA))
    assert pack(dict(sorted(content.items(), reverse=True))) == pack(content)


def test_a_long_list_of_modules_stays_short_and_comes_back() -> None:
    modules = [f"model.layers.{layer}.mlp.experts.{expert}.gate" for layer in range(61) for expert in range(256)]
    facts = Facts({"quantization_config": {"ignore": modules}})
    content = content_of(facts)
    assert len(json.dumps(content)) < len(json.dumps(modules)) / 5
    assert facts_of(pack(content)) == facts


def test_a_word_for_each_module_stays_short_and_comes_back() -> None:
    layers, parts = range(60), ("w1", "w2")
    experts = [f"layers.{layer}.experts.{expert}.{part}" for layer in layers for expert in range(96) for part in parts]
    odd = [f"layers.{layer}.mlp.{name}" for layer in (0, 1, 5, 30) for name in ("up", "down")] + ["lm_head", "a%b"]
    said = {**{name: {"quant_algo": "NVFP4"} for name in experts}, **{name: {"a": [1]} for name in odd}}
    words = {"quantized_layers": said}
    facts = Facts({"quantization_config": words}, {"quantization": {"quant_algo": "MIXED_PRECISION", **words}})
    assert len(encode(facts)) < 1000
    back = decode(encode(facts))
    assert back.config == facts.config
    assert back.quantization == {"quantization": {"quant_algo": "MIXED_PRECISION"}}, "config.json has it, and wins"
    apart = Facts({}, facts.quantization)
    assert facts_of(packed(apart)) == apart


def test_an_object_that_is_none_of_modules_is_left_as_it_is() -> None:
    for odd in ({f"key{n}": n for n in range(100)}, {f"key{n}": {"n": n} for n in range(100)}, {"a": {"b": 1}}):
        assert content_of(Facts({"odd": odd}))["config"] == {"odd": odd}


def test_a_config_that_packs_well_and_is_too_large_to_keep_is_refused() -> None:
    with pytest.raises(InspectionError, match="too large to keep"):
        encode(Facts({"noise": "x" * 600_000}))


@pytest.mark.parametrize(
    ("facts", "architecture", "quantization"),
    [
        (Facts(LLAMA), "LlamaForCausalLM", None),
        (Facts({**LLAMA, "quantization_config": {"quant_method": "awq"}}), "LlamaForCausalLM", "awq"),
        (Facts(LLAMA, {"quantization": {"quant_algo": "FP8"}}), "LlamaForCausalLM", "modelopt"),
        (
            Facts({"text_config": {"architectures": ["A"], "quantization_config": {"quant_method": "fp8"}}}),
            "A",
            "fp8",
        ),
        (Facts({"architectures": "odd", "quantization_config": ["odd"], "text_config": 1}), None, None),
    ],
)
def test_what_people_read_of_it(facts: Facts, architecture: str | None, quantization: str | None) -> None:
    assert (facts.architecture, facts.quantization_method) == (architecture, quantization)

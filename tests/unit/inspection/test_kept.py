"""How what was found of a model is kept: the same facts come back, in plain JSON that says itself what it is."""

import json

import pytest

from vllm_operator.inspection.kept import content_of, facts_of, pack, unpack
from vllm_operator.inspection.report import Facts, InspectionError, encode

LLAMA = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "sliding_window": None}


def test_facts_come_back_from_plain_json() -> None:
    facts = Facts(LLAMA, {"quantization": {"quant_algo": "FP8"}}, 12, "c" * 40, chat_template=False)
    content = content_of(facts)
    assert content["config"] == LLAMA
    assert json.loads(json.dumps(content)) == content
    assert facts_of(pack(content)) == facts
    assert unpack(pack(content)) == content


def test_the_order_of_keys_is_no_difference() -> None:
    content = content_of(Facts(LLAMA))
    assert pack(dict(sorted(content.items(), reverse=True))) == pack(content)


def test_a_long_list_of_modules_stays_short_and_comes_back() -> None:
    modules = [f"model.layers.{layer}.mlp.experts.{expert}.gate" for layer in range(61) for expert in range(256)]
    facts = Facts({"quantization_config": {"ignore": modules}})
    content = content_of(facts)
    assert len(json.dumps(content)) < len(json.dumps(modules)) / 5
    assert facts_of(pack(content)) == facts


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

"""params.json becomes the config that vLLM makes of it; what it makes another model of is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.hub import safetensors
from vllm_operator.api.reasons import Reason
from vllm_operator.inspection.mistral import config_of
from vllm_operator.inspection.report import InspectionError
from vllm_operator.inspection.sources import read_folder
from vllm_operator.planner.architectures import model_of

# As Mistral-Nemo has it.
NEMO: dict[str, Any] = {
    "dim": 5120, "n_layers": 40, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
    "rope_theta": 1000000.0, "norm_eps": 1e-05, "vocab_size": 131072, "max_position_embeddings": 131072,
}  # fmt: skip
SAME = {
    "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 5120, "num_hidden_layers": 40,
    "head_dim": 128, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
    "vocab_size": 131072, "max_position_embeddings": 131072, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
    "rope_theta": 1000000.0, "rms_norm_eps": 1e-05, "sliding_window": None,
}  # fmt: skip


def test_the_plan_sees_the_same_model() -> None:
    assert config_of(NEMO) == SAME
    assert model_of(config_of(NEMO), None, None) == model_of(SAME, None, None)


def test_a_folder_in_mistrals_format_is_read(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(NEMO))
    (tmp_path / "consolidated.safetensors").write_bytes(safetensors(a=("BF16", [2, 2], 8)))
    (tmp_path / "tekken.json").write_text("{}")
    facts = read_folder(tmp_path)
    assert (facts.config, facts.weights_bytes, facts.chat_template) == (SAME, 8, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"moe": {"num_experts": 8}}, "is of a model with experts: no plan"),
        ({"vision_encoder": {"dim": 1}, "quantization": {"a": 1}}, "images and quantized weights: no plan"),
    ],
)
def test_what_is_no_plain_text_model_is_not_planned(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InspectionError, match=words) as told:
        config_of({**NEMO, **change})
    assert told.value.reason is Reason.MODEL_NOT_PLANNED


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(InspectionError, match=r"params\.json has no dim"):
        config_of({"a": 1})

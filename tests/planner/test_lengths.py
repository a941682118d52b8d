"""The longest sequence where sentence-transformers notes one beside config.json, with other settings and vLLMs."""

import pytest

from planner.models import GEMMA2_9B, LLAMA_8B, QWEN25_7B, Content, gpu_of, spec_of
from vllm_operator.api.reasons import Reason
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan

OLDEST = {"image": "vllm/vllm-openai:v0.11.2"}
EARLIER = {"image": "vllm/vllm-openai:v0.26.0"}
WINDOWS_OFF = {"extraArgs": ["--disable-sliding-window"]}
YARN: Content = {
    **QWEN25_7B,
    "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4096},
}
SMALL_WINDOW: Content = {**GEMMA2_9B, "sliding_window": 512}
UNSAID: Content = {key: value for key, value in LLAMA_8B.items() if key != "max_position_embeddings"}
LONGER: Content = {**QWEN25_7B, "model_max_length": 8192}


def refused(config: Content, noted: int | None, asked: int, fields: Content) -> bool:
    found = plan(spec_of(maxModelLen=asked, **fields), model_of(config, max_seq_length=noted), gpu_of("H200"))
    return found.reason == Reason.LENGTH


@pytest.mark.parametrize("image", [{}, EARLIER, OLDEST], ids=["0.32", "0.26", "0.11"])
@pytest.mark.parametrize(
    ("config", "noted", "fields"),
    [
        (QWEN25_7B, 300, {}), (YARN, 1000, {}), (YARN, 16384, {}), (SMALL_WINDOW, 2048, WINDOWS_OFF),
        (SMALL_WINDOW, 256, WINDOWS_OFF), (LONGER, 12288, {}),
    ],
)  # fmt: skip
def test_no_other_length_goes_before_the_noted_one(
    config: Content, noted: int, fields: Content, image: Content
) -> None:
    assert not refused(config, noted, noted, fields | image)
    assert refused(config, noted, noted + 1, fields | image)
    found = plan(spec_of(**fields, **image), model_of(config, max_seq_length=noted), gpu_of("H200"))
    assert found.capacity
    assert found.capacity.max_model_len == noted


def test_any_length_may_be_asked_for_where_config_json_names_none() -> None:
    assert not refused(UNSAID, 300, 2048, {})
    found = plan(spec_of(), model_of(UNSAID, max_seq_length=300), gpu_of("H200"))
    assert found.capacity
    assert found.capacity.max_model_len == 300


def test_a_length_up_to_model_max_length_may_be_asked_for() -> None:
    assert not refused(LONGER, 512, 8192, {})
    assert refused(LONGER, 512, 8193, {})
    assert (
        "set at most 8192"
        in plan(spec_of(maxModelLen=8193), model_of(LONGER, max_seq_length=512), gpu_of("H200")).message
    )
    window = {**SMALL_WINDOW, "model_max_length": 4096}
    assert not refused(window, None, 4096, WINDOWS_OFF)
    assert refused(window, None, 4096, WINDOWS_OFF | OLDEST)

"""Chat templates that the image carries: those of the folder `examples` in the sources of vLLM, and where they lie."""

from pathlib import Path
from typing import Any

import pytest

from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.api.templates import IMAGE_TEMPLATES
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.vllm.argv import argv

# In the unpacked source distribution of that version: cd examples; find . -name '*.jinja', sorted.
LISTED = Path(__file__).with_name(f"vllm-{VLLM_VERSION}-examples.txt")


def test_they_are_those_of_the_pinned_version() -> None:
    assert sorted(IMAGE_TEMPLATES.values()) == LISTED.read_text().split()


@pytest.mark.parametrize(
    ("name", "resource", "path"),
    [
        ("tool_chat_template_gemma4", "nvidia.com/gpu", "/vllm-workspace/examples/tool_chat_template_gemma4.jinja"),
        ("tool_chat_template_gemma4", "cpu", "/vllm-workspace/examples/tool_chat_template_gemma4.jinja"),
        ("template_chatml", "amd.com/gpu", "/app/vllm/examples/template_chatml.jinja"),
        ("qwen3_reranker", "nvidia.com/gpu", "/vllm-workspace/examples/pooling/score/template/qwen3_reranker.jinja"),
    ],
)
def test_the_name_becomes_the_path_in_the_image(name: str, resource: str, path: str) -> None:
    given: dict[str, Any] = {"accelerator": {"resource": resource}, "chatTemplate": {"fromImage": name}}
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}, **given})
    assert f"--chat-template={path}" in argv(spec, "test")

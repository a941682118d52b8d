"""Values of vLLM and Kubernetes as fields hold them."""

import json
from typing import Any

import pytest

from support.imports import deployment, of_text
from vllm_operator.cli.importing.launch.flags import carriers
from vllm_operator.cli.importing.values import UnfitError, camel, in_bytes, number, of_flag, size


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--gpu-memory-utilization", "0.92", 92),
        ("--max-model-len", "32k", 32000),
        ("--max-model-len", "32K", 32768),
        ("--max-model-len", "-1", "auto"),
        ("--max-model-len", "auto", "auto"),
        ("--kv-cache-memory-bytes", "21474836480", "20Gi"),
        ("--kv-cache-memory-bytes", "2G", "2Gi"),
        ("--kv-offloading-size", "12.5", "12800Mi"),
        ("--block-size", "32", 32),
        ("--dtype", "half", "half"),
        ("--tensor-parallel-size", "4", 4),
    ],
)
def test_a_flags_value_fits_its_field(flag: str, text: str, value: Any) -> None:
    assert of_flag(*carriers()[flag], text) == value


@pytest.mark.parametrize(
    ("flag", "text"), [("--gpu-memory-utilization", "92"), ("--max-num-seqs", "many"), ("--kv-offloading-size", "x")]
)
def test_a_value_that_does_not_fit_is_said(flag: str, text: str) -> None:
    with pytest.raises(UnfitError, match=text):
        of_flag(*carriers()[flag], text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("64Gi", "64Gi"), ("1.5T", "1.5T"), ("1024", "1Ki"), ("1000", "1Ki"), ("2Pi", "2048Ti"), ("32GB", "32G")],
        *[("32K", "32k"), ("3e9", "2929688Ki")],
    ],
)
def test_a_quantity_gets_a_unit(text: str, value: str) -> None:
    assert size(text).replace("2097152Gi", "2048Ti") == value


def test_numbers_and_names() -> None:
    assert number("1_000") == 1000
    assert in_bytes(1) == "1Ki"
    assert camel("num_speculative_tokens") == "numSpeculativeTokens"
    with pytest.raises(UnfitError):
        number("1.5")
    with pytest.raises(UnfitError, match="'12m' is not a size like 512Mi or 20Gi"):
        size("12m")


@pytest.mark.parametrize("count", ["²", "x", ""])
def test_a_count_that_is_no_number_ends_no_import(count: str) -> None:
    container = {
        "name": "vllm", "image": "vllm/vllm-openai:latest", "args": ["--model=Qwen/Qwen3-8B"],
        "resources": {"limits": {"nvidia.com/gpu": count}},
    }  # fmt: skip
    imported = of_text(json.dumps(deployment({"containers": [container], "terminationGracePeriodSeconds": count})))
    assert len(imported.drafts) == 1

"""Which row of the table of versions a plan uses, and how far another vLLM may be from it."""

import pytest

from planner.models import LLAMA_8B, gpu_of
from vllm_operator.api import InferenceServiceSpec
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import Plan, plan
from vllm_operator.planner.versions import RELEASES, planned_for
from vllm_operator.settings import Settings


def planned(image: str | None, **fields: object) -> Plan:
    """The plan of an 8B model on an H100, on an image."""
    spec = {"model": {"uri": "hf://a/b"}, **({"image": image} if image else {}), **fields}
    return plan(InferenceServiceSpec.model_validate(spec), model_of(LLAMA_8B), gpu_of("H100"))


@pytest.mark.parametrize(
    ("image", "row", "minors"),
    [
        (None, VLLM_VERSION, 0),
        ("vllm/vllm-openai:v0.32.0", "0.32.0", 0),
        ("registry.example:5000/vllm:0.32.1-cu130", "0.32.0", 0),
        ("vllm/vllm-openai:v0.33.0", "0.32.0", 1),
        ("vllm/vllm-openai:v0.27.1", "0.26.0", 1),
        ("vllm/vllm-openai:v0.29.0", "0.32.0", 3),
        ("vllm/vllm-openai:v0.9.2", "0.26.0", 8),
        ("vllm/vllm-openai:v1.0.0", "0.32.0", 8),
        ("registry.example/vllm@sha256:0123", VLLM_VERSION, 1),
        ("vllm/vllm-openai:nightly", VLLM_VERSION, 1),
    ],
)
def test_the_nearest_row_is_used_and_its_distance_counted(image: str | None, row: str, minors: int) -> None:
    found = planned_for(image)
    assert (found.release.version, found.minors) == (row, minors)
    assert planned(image).vllm_version == row


def test_the_version_that_is_shipped_was_measured() -> None:
    assert RELEASES[-1].version == VLLM_VERSION


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "cpu"])
def test_no_image_is_planned_as_the_operators_default_image(resource: str) -> None:
    accelerator = {"resource": resource}
    assert planned(None, accelerator=accelerator) == planned(
        Settings().default_image(resource), accelerator=accelerator
    )


def test_the_farther_a_version_the_wider_the_margin_and_never_a_false_from_it() -> None:
    images = [f"vllm/vllm-openai:v0.{minor}.0" for minor in (32, 33, 34, 36)]
    margins = []
    for image in images:
        # The longest context that the nearest row calls fitting: what only the margin is against is not refused.
        result = planned(image, maxModelLen="auto")
        assert result.capacity
        margins.append(result.capacity.margin_bytes)
        longest = planned(image, maxModelLen=result.capacity.max_model_len_that_fits)
        assert longest.fits is not False
    assert margins == sorted(margins)
    assert margins[0] < margins[1]

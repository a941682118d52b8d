"""Rules between the settings of vLLM's inner parts."""

from itertools import product
from typing import Any

import pytest

from vllm_operator.api import KIND
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.consistency import broken
from vllm_operator.cli.validation import faults

_SIZES: list[dict[str, Any]] = [{}, {"cudagraphCaptureSizes": [4, 1, 2]}, {"cudagraphCaptureSizes": [1]}]


@pytest.mark.parametrize("sizes", _SIZES)
def test_the_largest_batch_of_a_graph_is_the_largest_that_is_listed(sizes: dict[str, Any]) -> None:
    for field, flag in product((None, 1, 2, 4, 512), repeat=2):
        compilation = sizes | ({"maxCudagraphCaptureSize": field} if field else {})
        spec: dict[str, Any] = {"model": {"uri": "hf://a/b"}, "tuning": {"compilation": compilation}}
        spec |= {"extraArgs": ["--seed=1", f"--max-cudagraph-capture-size={flag}"]} if flag else {}
        said = faults({"kind": KIND, "metadata": {"name": "a"}, "spec": spec}, KIND)
        largest = max(sizes.get("cudagraphCaptureSizes", [0]))
        wrong = bool(largest) and not {field, flag} <= {None, largest}
        assert any("must be the largest of cudagraphCaptureSizes" in one for one in said) == wrong, spec
        assert bool(said) == (wrong or bool(field and flag))
        assert bool(broken(InferenceServiceSpec.model_validate(spec))) == bool(said)

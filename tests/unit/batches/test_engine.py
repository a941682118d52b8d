"""What the engine of a batch may be: what holds for services of its class."""

from typing import Any

import pytest

from vllm_operator.api.batch import InferenceBatch, InferenceBatchSpec
from vllm_operator.api.reasons import Reason
from vllm_operator.api.serving_class import ServingClass, ServingClassSpec
from vllm_operator.assess.classes import Classes
from vllm_operator.batches.engine import engine_of
from vllm_operator.settings import Settings

BATCH = {
    "servingClassName": "h100",
    "template": {"model": {"uri": "hf://org/name"}, "tensorParallelSize": 2},
    "input": {"uri": "pvc://data/in.jsonl"},
    "output": {"uri": "pvc://data/out"},
    "parallelism": 4,
}


def refused(**limits: Any) -> Reason | None:
    """Why a batch of eight GPUs may not have a class with these limits."""
    own = ServingClass("h100", "", 1, "", ServingClassSpec.model_validate({"limits": limits} if limits else {}))
    batch = InferenceBatch("team-a", "nightly", "", 1, InferenceBatchSpec.model_validate(BATCH), None)
    refusal = engine_of(batch, None, Classes({"h100": own}), Settings()).refusal
    return refusal[0] if refusal else None


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({}, None),
        ({"gpusPerService": 8, "maxReplicas": 4}, None),
        ({"gpusPerService": 7}, Reason.CLASS_LIMIT_EXCEEDED),
        ({"maxReplicas": 3}, Reason.CLASS_LIMIT_EXCEEDED),
        ({"gpusPerNamespace": 1}, None),
    ],
)
def test_the_limits_of_a_class(limits: dict[str, int], reason: Reason | None) -> None:
    assert refused(**limits) is reason

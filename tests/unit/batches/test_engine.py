"""What the engine of a batch may be: what holds for services of its class; and that its Jobs keep it."""

from typing import Any

import pytest

from support.every_field import SAMPLES, Schema, dotted, sample
from vllm_operator.api.batch import InferenceBatch, InferenceBatchSpec
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.serving_class import ServingClass, ServingClassSpec
from vllm_operator.assess.classes import Classes
from vllm_operator.batches.engine import Engine, as_begun, engine_of
from vllm_operator.manifests.batch import BatchParts, merge_job, run_job
from vllm_operator.settings import Settings
from vllm_operator.snapshots.batch import job
from vllm_operator.vllm.batch import RUN

BATCH = {
    "servingClassName": "h100",
    "template": {"model": {"uri": "hf://org/name"}, "tensorParallelSize": 2},
    "input": {"uri": "pvc://data/in.jsonl"},
    "output": {"uri": "pvc://data/out"},
    "parallelism": 4,
}


ONE = InferenceBatch("team-a", "nightly", "", 1, InferenceBatchSpec.model_validate(BATCH), None)


def refused(**limits: Any) -> Reason | None:
    """Why a batch of eight GPUs may not have a class with these limits."""
    own = ServingClass("h100", "", 1, "", ServingClassSpec.model_validate({"limits": limits} if limits else {}))
    refusal = engine_of(ONE, None, Classes({"h100": own}), Settings()).refusal
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


@pytest.mark.parametrize(("path", "schema"), SAMPLES, ids=[dotted(path) for path, _ in SAMPLES])
def test_the_output_is_made_with_the_engine_that_answered(path: tuple[str, ...], schema: Schema) -> None:
    spec = sample(path, schema).services[1].spec
    parts = BatchParts(ONE, InferenceService(ONE.namespace, ONE.name, "", 1, spec), Settings())
    made = run_job(parts)
    meta = {**made["metadata"], "uid": "uid-run"}
    refusal = (Reason.SERVICE_NOT_FOUND, "it is gone")
    found = as_begun(Engine(parts.engine, refusal=refusal), ONE, {RUN: job({**made, "metadata": meta})}, Classes())
    assert (found.begun, found.refusal) == (True, refusal)
    assert found.service.spec == spec
    assert merge_job(BatchParts(ONE, found.service, Settings())) == merge_job(parts)

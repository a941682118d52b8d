"""What the engine of a batch may be: what holds for services of its class; and that its Jobs keep it."""

from typing import Any

import pytest

from support.every_field import SAMPLES, Schema, dotted, sample
from vllm_operator.api.batch import NOT_OF_A_BATCH, InferenceBatch, InferenceBatchSpec
from vllm_operator.api.reasons import Finding, Reason
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.serving_class import ServingClass, ServingClassSpec, ServingDefaults
from vllm_operator.assess.classes import Classes
from vllm_operator.batches.engine import Engine, as_begun, engine_of
from vllm_operator.manifests.batch import BatchParts, check_job, merge_job, run_job
from vllm_operator.settings import Images, Settings
from vllm_operator.snapshots.batch import job
from vllm_operator.vllm.batch import RUN

BATCH: dict[str, Any] = {
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


def with_image(image: str, images: Images | None = None, **more: Any) -> Finding | None:
    """Why a batch may not have an image, or what else an image lacks."""
    template = {**BATCH["template"], **({"image": image} if image else {}), **more}
    spec = InferenceBatchSpec.model_validate({**BATCH, "servingClassName": "", "template": template})
    batch = InferenceBatch("team-a", "nightly", "", 1, spec, None)
    settings = Settings(allowed_images=("**",), images=images or Images())
    return engine_of(batch, None, Classes({}), settings).refusal


@pytest.mark.parametrize("version", ["0.9.1", "0.11.2", "0.22.0", "0.31.4"])
@pytest.mark.parametrize("default", [False, True])
def test_an_image_whose_vllm_the_program_does_not_know_is_refused(version: str, *, default: bool) -> None:
    image = f"vllm/vllm-openai:v{version}"
    finding = with_image("", Images(gpu=image)) if default else with_image(image)
    assert finding is not None
    assert finding[0] is Reason.IMAGE_TOO_OLD
    assert image in finding[1]
    assert finding[1].endswith("use a newer image")


@pytest.mark.parametrize("tag", ["v0.32.0", "v0.33.0", "v1.0.0", "latest", "nightly-abc", "v0.32.0-cu130"])
def test_an_image_that_is_new_enough_or_does_not_tell_is_taken(tag: str) -> None:
    assert with_image(f"vllm/vllm-openai:{tag}") is None
    assert with_image("registry.example/team/engine:v0.1.0") is None


def test_what_a_service_may_not_have_of_an_image_a_batch_may_not_either() -> None:
    finding = with_image(
        "vllm/vllm-openai:v0.20.0", speculative={"method": "dspark", "model": "a/b", "numSpeculativeTokens": 2}
    )
    assert finding is not None
    assert finding[0] is Reason.IMAGE_TOO_OLD
    assert "speculative" in finding[1]


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


KEY = {"name": "keys", "key": "one"}
OF_SERVICES_ALONE: dict[str, Any] = {
    "networkPolicy": {"allowFrom": []},
    "apiKeySecretRef": KEY,
    "apiKeySecretRefs": [KEY],
    "maxQueuedRequests": 500,
    "rollout": {"drainTimeoutSeconds": 7},
}


def with_class(given: dict[str, Any], batch: dict[str, Any] = BATCH) -> Engine:
    """The engine of a batch whose class says this."""
    own = ServingClass("h100", "", 1, "", ServingClassSpec.model_validate(given))
    one = InferenceBatch("team-a", "nightly", "", 1, InferenceBatchSpec.model_validate(batch), None)
    found = engine_of(one, None, Classes({"h100": own}), Settings())
    assert found.own is own
    return found


def test_each_field_of_services_alone_that_a_class_can_give_is_tried() -> None:
    fields = {name: info.alias for name, info in ServingDefaults.model_fields.items()}
    assert {fields[name] for name in NOT_OF_A_BATCH if name in fields} == OF_SERVICES_ALONE.keys()


@pytest.mark.parametrize("field", OF_SERVICES_ALONE)
def test_what_a_class_gives_services_alone_does_not_reach_a_batch(field: str) -> None:
    value = OF_SERVICES_ALONE[field]
    bare = with_class({"defaults": {"maxNumSeqs": 8}})
    found = with_class({"defaults": {"maxNumSeqs": 8, field: value}})
    assert found.refusal is None
    assert (found.service, found.resolved) == (bare.service, bare.resolved)
    assert found.service.spec.max_num_seqs == 8
    for make in (check_job, run_job, merge_job):
        one, other = (make(BatchParts(ONE, engine.service, Settings())) for engine in (found, bare))
        assert one == other


def test_events_of_the_kv_cache_do_not_reach_a_batch_and_the_rest_of_it_does() -> None:
    found = with_class({"defaults": {"kvCache": {"dtype": "fp8", "events": {"port": 5557}}}})
    cache = found.service.spec.kv_cache
    assert cache
    assert (cache.dtype, cache.events) == ("fp8", None)
    assert [one.field for one in found.resolved if one.field.startswith("kvCache")] == ["kvCache.dtype"]


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteMany", None])
@pytest.mark.parametrize("pods", [1, 4])
def test_the_cache_that_a_class_gives_services_is_nothing_to_a_batch(mode: str | None, pods: int) -> None:
    cache = {"storage": "200Gi", **({"accessMode": mode} if mode else {})}
    batch = {**BATCH, "parallelism": pods}
    found = with_class({"cache": cache}, batch)
    assert found.refusal is None
    assert found.service.spec.cache is None
    assert not [one for one in found.resolved if one.field.startswith("cache")]
    own = {**BATCH["template"], "cache": {"existingClaim": "models"}}
    kept = with_class({"cache": cache}, {**batch, "template": own}).service.spec.cache
    assert kept
    assert kept.existing_claim == "models"

"""What a spec comes to with its class and the operator's settings, and where each value is from."""

from typing import Any

import pytest

from support.serving_classes import serving_class, spec
from vllm_operator.api.accelerator import Accelerator
from vllm_operator.api.kv_cache import KvCache
from vllm_operator.api.pod import PodSettings, Resources
from vllm_operator.api.reasons import Reason
from vllm_operator.api.rollout import Rollout
from vllm_operator.api.spec import SPEC_RULES
from vllm_operator.assess.consistency import CHECKS
from vllm_operator.assess.resolution import Changed, Resolution, Resolved, changes, effective, resolve
from vllm_operator.settings import Settings

H100 = "NVIDIA-H100-80GB-HBM3"
SETTINGS = Settings()


def resolved(found: Resolution) -> dict[str, tuple[Any, str]]:
    return {one.field: (one.value, one.source) for one in found.resolved}


FULL = serving_class(
    accelerator={"product": H100},
    images={"cuda": "vllm/vllm-openai:v0.32.1", "cpu": "vllm-cpu:1"},
    pod={"nodeSelector": {"pool": "h100"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
    cache={"storage": "200Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany"},
    defaults={"kvCache": {"dtype": "fp8"}, "maxModelLen": 32768, "resources": {"requests": {"cpu": 16}}},
)


def test_a_service_without_a_class_gets_what_the_operator_has() -> None:
    found = resolve(spec(), None, SETTINGS)
    assert resolved(found) == {
        "accelerator.resource": ("nvidia.com/gpu", "operator"),
        "image": (SETTINGS.images.gpu, "operator"),
    }
    assert found.spec.image == SETTINGS.images.gpu
    assert found.spec.model_copy(update={"image": None}) == spec()


def test_what_the_service_says_is_not_resolved() -> None:
    written = spec(image="vllm/vllm-openai:v1", accelerator={"resource": "cpu"})
    assert resolve(written, None, SETTINGS) == Resolution(written, ())


def test_a_team_writes_only_its_model() -> None:
    found = resolve(spec(servingClassName="h100"), FULL, SETTINGS)
    assert resolved(found) == {
        "accelerator.product": (H100, "ServingClass h100"),
        "pod.nodeSelector": ({"pool": "h100"}, "ServingClass h100"),
        "pod.tolerations": ([{"key": "gpu", "operator": "Exists"}], "ServingClass h100"),
        "cache.claim.storage": ("200Gi", "ServingClass h100"),
        "cache.claim.storageClassName": ("fast", "ServingClass h100"),
        "cache.claim.accessMode": ("ReadWriteMany", "ServingClass h100"),
        "maxModelLen": (32768, "ServingClass h100"),
        "kvCache.dtype": ("fp8", "ServingClass h100"),
        "resources.requests.cpu": ("16", "ServingClass h100"),
        "image": ("vllm/vllm-openai:v0.32.1", "ServingClass h100"),
        "accelerator.resource": ("nvidia.com/gpu", "operator"),
    }
    as_written = spec(
        servingClassName="h100",
        accelerator={"resource": "nvidia.com/gpu", "product": H100},
        image="vllm/vllm-openai:v0.32.1",
        pod={"nodeSelector": {"pool": "h100"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        cache={"claim": {"storage": "200Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany"}},
        kvCache={"dtype": "fp8"},
        maxModelLen=32768,
        resources={"requests": {"cpu": 16}},
    )
    assert found.spec.to_manifest() == as_written.to_manifest()
    assert found.refusal is None


def test_a_service_that_names_no_class_is_told_which_default_it_got() -> None:
    found = resolve(spec(), serving_class(default=True), SETTINGS)
    assert resolved(found)["servingClassName"] == ("h100", "operator")
    assert found.spec.serving_class_name == "h100"


@pytest.mark.parametrize(
    ("own", "field", "value"),
    [
        ({"maxModelLen": 8192}, "maxModelLen", 8192),
        ({"image": "vllm/vllm-openai:v1"}, "image", "vllm/vllm-openai:v1"),
        ({"kvCache": {"dtype": "auto"}}, "kvCache.dtype", "auto"),
        ({"resources": {"requests": {"cpu": 4}}}, "resources.requests.cpu", "4"),
    ],
)
def test_the_services_own_value_wins(own: dict[str, Any], field: str, value: Any) -> None:
    found = resolve(spec(servingClassName="h100", **own), FULL, SETTINGS)
    node: Any = found.spec.to_manifest()
    for step in field.split("."):
        node = node[step]
    assert node == value
    assert field not in resolved(found)


def test_the_image_follows_the_accelerator() -> None:
    own = serving_class(images={"cuda": "vllm:cuda", "rocm": "vllm:rocm", "cpu": "vllm:cpu"})
    for resource, image in (("nvidia.com/gpu", "cuda"), ("amd.com/gpu", "rocm"), ("cpu", "cpu")):
        assert resolve(spec(accelerator={"resource": resource}), own, SETTINGS).spec.image == f"vllm:{image}"
    of_class = serving_class(images={"rocm": "vllm:rocm"}, accelerator={"resource": "amd.com/gpu"})
    assert resolve(spec(), of_class, SETTINGS).spec.image == "vllm:rocm"


def test_a_product_alone_leaves_the_resource_to_the_class() -> None:
    own = serving_class(accelerator={"resource": "amd.com/gpu", "memory": "192Gi"})
    found = resolve(spec(accelerator={"product": "MI300X"}), own, SETTINGS)
    assert found.spec.accelerator == Accelerator(resource="amd.com/gpu", product="MI300X", memory=None)


def test_where_pods_may_run_holds_together() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    other = {"matchExpressions": [{"key": "gen", "operator": "Exists"}]}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    near = {"podAntiAffinity": {required: [{"topologyKey": "host"}]}}
    own = serving_class(
        pod={
            "nodeSelector": {"pool": "h100", "team": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "imagePullSecrets": [{"name": "registry"}],
            "affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [term]}}, **near},
        },
        defaults={"env": [{"name": "NCCL_DEBUG", "value": "WARN"}, {"name": "TZ", "value": "class"}]},
    )
    found = resolve(
        spec(
            pod={
                "nodeSelector": {"team": "a", "zone": "b"},
                "tolerations": [{"key": "mine", "operator": "Exists"}, {"key": "gpu", "operator": "Exists"}],
                "imagePullSecrets": [{"name": "mine"}],
                "affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [other, {**other, "matchFields": []}]}}},
            },
            env=[{"name": "TZ", "value": "service"}],
        ),
        own,
        SETTINGS,
    )
    pod, env = found.spec.pod, found.spec.env
    assert pod
    assert env
    assert pod.node_selector == {"team": "a", "zone": "b", "pool": "h100"}
    assert [one.key for one in pod.tolerations or ()] == ["mine", "gpu"]
    assert [one.name for one in pod.image_pull_secrets or ()] == ["mine", "registry"]
    joined = {"matchExpressions": other["matchExpressions"] + term["matchExpressions"]}
    assert pod.affinity
    assert pod.affinity.to_manifest() == {
        "nodeAffinity": {required: {"nodeSelectorTerms": [joined, joined]}}, **near
    }  # fmt: skip
    assert [(one.name, one.value) for one in env] == [("TZ", "service"), ("NCCL_DEBUG", "WARN")]
    assert "pod.tolerations" not in resolved(found), "the service tolerates it itself"


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"pod": {"nodeSelector": {"pool": "a100"}}}, "pod.nodeSelector has pool: h100, and this service's has a100"),
        ({"accelerator": {"product": "NVIDIA-L4"}}, f"accelerator.product is {H100}, and this service's is NVIDIA-L4"),
        ({"accelerator": {"resource": "cpu"}}, "accelerator.product is for GPUs"),
        ({"resources": {"limits": {"cpu": "500m"}}}, "resources.limits.cpu must not be below resources.requests.cpu"),
        ({"maxNumSeqs": 9000, "maxNumBatchedTokens": 8192}, "maxNumBatchedTokens must be at least maxNumSeqs"),
    ],
)
def test_what_contradicts_the_class_is_refused(own: dict[str, Any], sentence: str) -> None:
    found = resolve(spec(servingClassName="h100", **own), FULL, SETTINGS)
    assert found.refusal
    assert found.refusal[0] == Reason.CLASS_CONTRADICTED
    assert sentence in found.refusal[1]
    assert "ServingClass h100" in found.refusal[1]


def test_both_together_must_keep_the_rules_between_fields() -> None:
    small = serving_class(cache={"storage": "1Gi"}, defaults={"rollout": {"maxUnavailable": 0}})
    assert resolve(spec(replicas=2), small, SETTINGS).refusal == (
        Reason.CLASS_CONTRADICTED,
        "with ServingClass h100: more than one replica needs cache.claim.accessMode ReadWriteMany: a ReadWriteOnce "
        "volume can be mounted on one node only",
    )
    assert "maxSurge and rollout.maxUnavailable both 0" in str(resolve(spec(), small, SETTINGS).refusal)
    assert resolve(spec(rollout={"maxSurge": 1}), small, SETTINGS).refusal is None


def test_of_two_ways_to_say_one_thing_the_classs_yields() -> None:
    own = serving_class(cache={"storage": "200Gi"}, defaults={"kvCache": {"gpuMemoryUtilizationPercent": 90}})
    found = resolve(spec(kvCache={"memoryPerGPU": "20Gi"}, cache={"existingClaim": "mine"}), own, SETTINGS)
    assert found.spec.kv_cache == KvCache.model_validate({"memoryPerGPU": "20Gi"})
    assert found.spec.cache
    assert found.spec.cache.claim is None


def test_a_claim_is_made_only_where_its_size_is_known() -> None:
    own = serving_class(cache={"storageClassName": "fast", "accessMode": "ReadWriteMany"})
    assert resolve(spec(), own, SETTINGS).spec.cache is None
    found = resolve(spec(cache={"claim": {"storage": "10Gi"}}), own, SETTINGS).spec
    assert found.cache
    assert found.cache.claim
    assert (found.cache.claim.storage, found.cache.claim.storage_class_name) == ("10Gi", "fast")


def test_lists_that_grow_too_long_are_refused_and_not_an_error() -> None:
    many = [{"key": f"k{number}", "operator": "Exists"} for number in range(20)]
    own = serving_class(pod={"tolerations": many})
    found = resolve(spec(pod={"tolerations": [{**one, "effect": "NoSchedule"} for one in many]}), own, SETTINGS)
    assert found.refusal
    assert "pod.tolerations is wrong: List should have at most 32 items" in found.refusal[1]


def test_what_was_kept_holds_for_the_spec_whatever_the_class_says_now() -> None:
    written = spec(servingClassName="h100", replicas=3)
    kept = [Resolved.of(one.to_manifest()) for one in resolve(written, FULL, SETTINGS).resolved]
    changed = serving_class(images={"cuda": "vllm/vllm-openai:v0.33.0"}, defaults={"maxModelLen": 4096})
    assert effective(written, kept) == resolve(written, FULL, SETTINGS).spec
    now = resolve(written, changed, SETTINGS).resolved
    assert changes(kept, now)[:2] == [
        Changed("maxModelLen 32768 -> 4096", of_class=True),
        Changed("image vllm/vllm-openai:v0.32.1 -> vllm/vllm-openai:v0.33.0", of_class=True),
    ]
    assert Changed("kvCache.dtype fp8 -> unset", of_class=True) in changes(kept, now)
    assert changes(kept, kept) == []


def test_a_field_that_the_user_sets_later_wins_over_what_was_kept() -> None:
    own = serving_class(defaults={"planPolicy": "Warn"})
    kept = resolve(spec(), own, SETTINGS).resolved
    assert effective(spec(planPolicy="Enforce"), kept).plan_policy == "Enforce"


def test_a_long_value_is_shortened_for_people_and_kept_whole() -> None:
    one = Resolved("pod.nodeSelector", {"k" * 60 + str(number): "v" for number in range(9)}, "operator")
    assert len(one.text()) == 253
    assert Resolved.of(one.to_manifest()) == one


def test_every_rule_between_fields_that_a_class_can_set_is_checked_of_both_together() -> None:
    checked = [rule["message"] for rule, _ in CHECKS]
    alone = {
        "set replicas or autoscaling, not both: the autoscaler decides the number of replicas": "a class sets neither",
        "model.tokenSecretRef is for hf:// only: nothing here is downloaded, remove it": "a class sets no model",
        "parserPlugins.toolCall needs toolCallParser, and parserPlugins.reasoning needs reasoningParser: the name that "
        "the file registers": "a class sets no plugin",
        "an adapter in lora.adapters has the name of the model: clients could not choose between them, rename one": (
            "a class sets no model"
        ),
    }
    models = (Accelerator, Rollout, Resources, PodSettings)
    of_models: list[Any] = [model.model_config.get("json_schema_extra", {}) for model in models]
    rules = [*SPEC_RULES, *(rule for extra in of_models for rule in extra.get("x-kubernetes-validations", []))]
    assert {rule["message"] for rule in rules} == {*checked, *alone}

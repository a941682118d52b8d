"""Services with a ServingClass, through the loop: what reaches the children, the status, and what is kept of it."""

from typing import Any

import pytest

from support.of_classes import condition, container, serving, settle
from support.world import NAMESPACE, World
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS
from vllm_operator.services.rules import CLASS_SECONDS

L4: dict[str, Any] = {"accelerator": {"product": "NVIDIA-L4"}}
RESTARTED: dict[str, Any] = {"rollout": {"restartedAt": "2026-11-24T12:00:00Z"}}


def replicas(world: World, name: str = "llama") -> int:
    return int(world.api.objects[path("Deployment", NAMESPACE, name)]["spec"]["replicas"])


def resolved(world: World) -> dict[str, str]:
    return {one["field"]: f"{one['value']} from {one['from']}" for one in world.status()["resolved"]}


def test_a_class_reaches_the_pods_and_the_status_says_what_it_gave() -> None:
    world = World()
    world.serving_class(**L4, defaults={"maxModelLen": 64}, cache={"storage": "10Gi"})
    serving(world, servingClassName="h100")
    assert "--max-model-len=64" in container(world)["args"]
    assert world.children("PersistentVolumeClaim") == ["llama-cache"]
    assert resolved(world) == {
        "accelerator.product": "NVIDIA-L4 from ServingClass h100",
        "accelerator.resource": "nvidia.com/gpu from operator",
        "cache.claim.storage": "10Gi from ServingClass h100",
        "image": f"{world.settings.images.gpu} from operator",
        "maxModelLen": "64 from ServingClass h100",
    }
    assert condition(world, "Admitted") is None
    (revision,) = (one for one in world.api.objects.values() if "template" in one.get("data", ()))
    assert {one["field"] for one in revision["data"]["resolved"]} == resolved(world).keys()


def test_a_service_without_a_class_says_what_the_operator_gave() -> None:
    world = World()
    serving(world, accelerator={"product": "NVIDIA-L4"})
    assert resolved(world) == {
        "accelerator.resource": "nvidia.com/gpu from operator",
        "image": f"{world.settings.images.gpu} from operator",
    }


def test_a_changed_class_is_told_and_reaches_the_pods_with_a_restart() -> None:
    world = World()
    world.serving_class(**L4, defaults={"maxModelLen": 64})
    key = serving(world, servingClassName="h100")
    world.serving_class(**L4, defaults={"maxModelLen": 32})
    for operator in ("the one that rendered it", "another one"):
        settle(world, key)
        assert "--max-model-len=64" in container(world)["args"], operator
        outdated = condition(world, "Outdated")
        assert outdated
        assert (outdated["status"], outdated["reason"]) == ("True", "ClassChanged")
        assert "maxModelLen 64 -> 32: set rollout.restartedAt to the current time" in outdated["message"]
        assert resolved(world)["maxModelLen"] == "64 from ServingClass h100"
        world.begin()
    world.service(accelerator={}, servingClassName="h100", **RESTARTED)
    settle(world, key)
    assert "--max-model-len=32" in container(world)["args"]
    assert condition(world, "Outdated") is None


def test_a_field_that_changes_no_pod_is_the_kept_one_too() -> None:
    world = World()
    world.serving_class(**L4, defaults={"networkPolicy": {"allowFrom": []}})
    key = serving(world, servingClassName="h100")
    world.serving_class(**L4)
    settle(world, key)
    assert world.children("NetworkPolicy") == ["llama"]
    assert condition(world, "Outdated")


def test_a_new_default_of_the_operator_is_told_as_well() -> None:
    world = World()
    key = serving(world, accelerator={"product": "NVIDIA-L4"})
    before = container(world)["image"]
    world.begin(image="vllm/vllm-openai:v0.99.0")
    settle(world, key)
    outdated = condition(world, "Outdated")
    assert outdated
    assert outdated["reason"] == "OperatorDefaultChanged"
    assert f"image {before} -> vllm/vllm-openai:v0.99.0" in outdated["message"]
    assert container(world)["image"] == before


def test_what_an_earlier_operator_kept_is_neither_rewritten_nor_rolled() -> None:
    world = World()
    key = serving(world, accelerator={"product": "NVIDIA-L4"})
    (url,) = (url for url, one in world.api.objects.items() if "template" in one.get("data", ()))
    kept = {**world.api.objects[url], "data": {"template": world.api.objects[url]["data"]["template"]}}
    world.api.put(url, kept)
    world.serving_class(**L4, default=True, defaults={"maxModelLen": 64})
    pods = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]
    world.begin()
    settle(world, key)
    assert world.api.objects[url]["data"] == kept["data"]
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"] == pods
    assert "maxModelLen" not in resolved(world)
    outdated = condition(world, "Outdated")
    assert outdated
    assert "servingClassName unset -> h100" in outdated["message"]


def test_a_class_that_is_not_there_keeps_pods_from_being_made_until_it_is() -> None:
    world = World()
    key = serving(world, servingClassName="h100")
    assert not world.children("Deployment")
    ready, admitted = condition(world, "Ready"), condition(world, "Admitted")
    assert ready
    assert admitted
    assert (ready["status"], ready["reason"], admitted["reason"]) == ("False", "ClassNotFound", "ClassNotFound")
    assert ready["message"].startswith("no pods are made: there is no ServingClass h100")
    assert condition(world, "Stalled")
    world.serving_class(**L4)
    settle(world, key)
    assert world.children("Deployment") == ["llama"]
    assert condition(world, "Admitted") is None


def test_a_deleted_class_takes_nothing_away() -> None:
    world = World()
    world.serving_class(**L4, defaults={"maxModelLen": 64, "networkPolicy": {"allowFrom": []}})
    key = serving(world, servingClassName="h100")
    pods = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]
    del world.api.objects[path("ServingClass", "", "h100")]
    world.watch()
    settle(world, key)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"] == pods
    assert (condition(world, "Admitted") or {})["reason"] == "ClassNotFound"
    assert resolved(world)["maxModelLen"] == "64 from ServingClass h100"
    # And where the user changes the spec: what is deployed stays, with all that goes with it.
    world.service(accelerator={}, servingClassName="h100", maxNumSeqs=8)
    settle(world, key)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == pods["template"]
    assert world.children("NetworkPolicy") == ["llama"]
    # It is repaired, too.
    del world.api.objects[path("Deployment", NAMESPACE, "llama")]
    world.watch()
    settle(world, key)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"] == pods


def test_an_empty_list_that_keeps_the_value_of_the_class_away_reaches_the_pods_and_goes_again() -> None:
    world = World()
    world.serving_class(**L4, defaults={"extraArgs": ["--max-logprobs=5"]})
    key = serving(world, servingClassName="h100")
    edits: list[tuple[dict[str, Any], bool]] = [({"extraArgs": []}, False), ({}, True)]
    for own, there in edits:
        world.service(accelerator={}, servingClassName="h100", **own)
        settle(world, key)
        assert ("--max-logprobs=5" in container(world)["args"]) is there
        assert condition(world, "Outdated") is None


def test_a_tightened_limit_keeps_the_pods_that_there_are_and_no_more_are_made() -> None:
    world = World()
    world.serving_class(**L4, limits={"maxReplicas": 4})
    key = serving(world, servingClassName="h100", replicas=2)
    world.serving_class(**L4, limits={"maxReplicas": 1})
    settle(world, key)
    assert replicas(world) == 2
    assert (condition(world, "Admitted") or {})["reason"] == "ClassLimitExceeded"
    assert (condition(world, "Ready") or {})["reason"] == "Starting", "its pods are what it asks for"
    world.service(accelerator={}, servingClassName="h100", replicas=3)
    settle(world, key)
    ready = condition(world, "Ready")
    assert ready
    assert (replicas(world), ready["reason"]) == (2, "ClassLimitExceeded")
    assert "no more pods are made: ServingClass h100 allows 1 replicas" in ready["message"]
    world.service(accelerator={}, servingClassName="h100", replicas=1)
    settle(world, key)
    assert (replicas(world), condition(world, "Admitted")) == (1, None)


def test_a_suspended_service_gets_its_pods_again_only_within_the_limits() -> None:
    world = World()
    world.serving_class(**L4)
    key = serving(world, servingClassName="h100", suspend=True)
    world.serving_class(**L4, limits={"allowed": {"dtype": ["auto"]}})
    world.service(accelerator={}, servingClassName="h100", suspend=False, dtype="bfloat16")
    settle(world, key)
    workload = condition(world, "WorkloadAvailable")
    assert workload
    assert (replicas(world), workload["reason"]) == (0, "Withheld")
    assert workload["message"].startswith("no pods are made: ServingClass h100 allows dtype auto")
    assert (condition(world, "Ready") or {})["reason"] == "ClassLimitExceeded"


def test_an_autoscaler_is_held_as_well() -> None:
    world = World()
    world.serving_class(**L4, limits={"maxReplicas": 4})
    key = serving(world, servingClassName="h100", autoscaling={"maxReplicas": 4})
    world.serving_class(**L4, limits={"maxReplicas": 2})
    settle(world, key)
    hpa = world.api.objects[path("HorizontalPodAutoscaler", NAMESPACE, "llama")]["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (1, 1), "the one pod that there is stays, and no other comes"


def test_a_namespaces_gpus_are_for_those_that_have_them_and_then_for_the_others() -> None:
    world = World()
    world.serving_class(**L4, limits={"gpusPerNamespace": 2})
    first, second = serving(world, "first", servingClassName="h100"), serving(world, "second", servingClassName="h100")
    third = serving(world, "third", servingClassName="h100")
    assert world.children("Deployment") == ["first", "second"]
    assert (condition(world, "Admitted", "third") or {})["reason"] == "ClassLimitExceeded"
    assert world.reconcile(third) == CLASS_SECONDS
    for key in (first, second):
        assert world.reconcile(key) is None
        assert condition(world, "Admitted", key.name) is None
    del world.api.objects[path("InferenceService", NAMESPACE, "first")]
    world.watch()
    settle(world, third)
    assert condition(world, "Admitted", "third") is None


@pytest.mark.parametrize(
    "accelerator", [{}, {"deviceClass": "gpu.example.com"}, {"rdma": {"resource": "rdma/hca", "count": 1}}]
)
def test_the_gpus_of_a_service_that_is_refused_later_are_not_given_twice(accelerator: dict[str, Any]) -> None:
    world = World(allowed_rdma_resources=["rdma/*"])
    world.served = frozenset({"ResourceClaimTemplate"})
    world.serving_class()
    first = serving(world, "first", servingClassName="h100", tensorParallelSize=4, accelerator=accelerator)
    template = world.api.objects[path("Deployment", NAMESPACE, "first")]["spec"]["template"]
    pod = world.api.objects[world.pod(service="first")]
    pod["spec"] = template["spec"]
    pod["metadata"]["annotations"] = template["metadata"]["annotations"]
    world.serving_class(limits={"gpusPerNamespace": 3})
    settle(world, first)
    serving(world, "second", servingClassName="h100", accelerator={"product": "NVIDIA-L4"})
    for name in ("first", "second"):
        assert (condition(world, "Admitted", name) or {})["reason"] == "ClassLimitExceeded", name


def test_a_namespace_that_may_not_use_the_class_is_told_so() -> None:
    world = World()
    world.serving_class(**L4, namespaces={"matchLabels": {"team": "a"}})
    key = serving(world, servingClassName="h100")
    assert (condition(world, "Ready") or {})["reason"] == "ClassUnreadable", "nothing is known of the namespace"
    labelled: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"team": "b"}},
    }
    world.api.put(path("Namespace", "", NAMESPACE), labelled)
    world.watch()
    settle(world, key)
    assert (condition(world, "Ready") or {})["reason"] == "ClassNotAllowed"
    labelled["metadata"]["labels"] = {"team": "a"}
    world.api.put(path("Namespace", "", NAMESPACE), labelled)
    world.watch()
    settle(world, key)
    assert world.children("Deployment") == ["llama"]


def test_without_rights_services_that_name_a_class_are_told_and_others_untouched() -> None:
    world = World()
    world.serving_class(**L4, default=True)

    def blind() -> None:
        for index in ("classes", "namespaces"):
            world.indices.pop(index)

    first, second = world.service("named", servingClassName="h100"), world.service("plain")
    for key in (first, second):
        for _ in range(3):
            blind()
            world.clock.now += FIRST_STATUS_SECONDS
            world.reconcile(key)
    named = condition(world, "Admitted", "named")
    assert named
    assert named["reason"] == "ClassUnreadable"
    assert "list and watch on servingclasses.vllm-operator.dev" in named["message"]
    assert condition(world, "Admitted", "plain") is None


def test_a_claim_that_is_there_keeps_its_class_and_its_size() -> None:
    world = World()
    world.serving_class(**L4, cache={"storage": "20Gi", "storageClassName": "slow", "accessMode": "ReadWriteOnce"})
    key = serving(world, servingClassName="h100")
    world.serving_class(**L4, cache={"storage": "10Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany"})
    world.service(accelerator={}, servingClassName="h100", **RESTARTED)
    settle(world, key)
    claim = world.api.objects[path("PersistentVolumeClaim", NAMESPACE, "llama-cache")]["spec"]
    assert (claim["storageClassName"], claim["accessModes"]) == ("slow", ["ReadWriteOnce"])
    assert claim["resources"]["requests"]["storage"] == "20Gi"


def test_an_autoscaler_gets_no_first_pod_past_the_limits() -> None:
    """Suspended it asks for nothing, and is rendered; resumed it is refused, and has no pods that could stay."""
    world = World()
    world.serving_class(**L4, limits={"gpusPerNamespace": 4, "gpusPerService": 2})
    asked: dict[str, Any] = {"servingClassName": "h100", "tensorParallelSize": 4, "autoscaling": {"maxReplicas": 1}}
    for name in ("first", "second"):
        serving(world, name, suspend=True, **asked)
    for name in ("first", "second"):
        settle(world, world.service(name, accelerator={}, suspend=False, **asked))
    for name in ("first", "second"):
        assert (condition(world, "Admitted", name) or {})["reason"] == "ClassLimitExceeded"
        assert replicas(world, name) == 0
    assert world.children("HorizontalPodAutoscaler") == []


def test_pods_that_finish_their_requests_hold_their_gpus() -> None:
    world = World()
    world.serving_class(**L4, limits={"gpusPerNamespace": 1})
    first = serving(world, "first", servingClassName="h100")
    template = world.api.objects[path("Deployment", NAMESPACE, "first")]["spec"]["template"]
    url = world.pod(service="first")
    world.api.objects[url]["spec"] = template["spec"]
    world.watch()
    world.service("first", accelerator={}, servingClassName="h100", suspend=True)
    world.api.objects[url]["metadata"]["deletionTimestamp"] = "2026-11-30T12:00:00Z"
    settle(world, first)
    second = serving(world, "second", servingClassName="h100")
    assert (condition(world, "Admitted", "second") or {})["reason"] == "ClassLimitExceeded"
    assert world.children("Deployment") == ["first"]
    del world.api.objects[url]
    world.watch()
    settle(world, second)
    assert condition(world, "Admitted", "second") is None
    assert world.children("Deployment") == ["first", "second"]

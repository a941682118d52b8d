"""The GPUs of a class that the services of a namespace have: who counts, and with what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.of_classes import condition, container, serving, settle
from support.world import NAMESPACE, World
from vllm_operator.api.limits import SPEC_BYTES
from vllm_operator.api.resource import Key
from vllm_operator.api.times import written
from vllm_operator.cluster import path
from vllm_operator.services.rules import CLASS_SECONDS

L4: dict[str, Any] = {"accelerator": {"product": "NVIDIA-L4"}}
OF_CLASS: dict[str, Any] = {"servingClassName": "h100", "accelerator": {}}


def limited(**limits: Any) -> World:
    """A class with limits, and another one without."""
    world = World()
    world.serving_class(**L4, limits=limits)
    world.serving_class("other", **L4)
    return world


def pod(world: World, service: str, name: str = "") -> str:
    """A pod of a service with the devices of the Deployment's template. Returns its URL path."""
    url = world.pod(name or f"{service}-1", service)
    template = world.api.objects[path("Deployment", NAMESPACE, service)]["spec"]["template"]
    world.api.objects[url]["spec"] = template["spec"]
    world.watch()
    return url


def is_admitted(world: World, key: Key) -> bool:
    settle(world, key)
    return condition(world, "Admitted", key.name) is None


@pytest.mark.parametrize(
    "edit",
    [
        {"servingClassName": "other", "dtype": "float16"},
        {"servingClassName": "none"},
        {"servingClassName": "h100", "tensorParallelSize": 0},
        {"servingClassName": "h100", "chatTemplate": {"inline": "x" * SPEC_BYTES}},
        {"servingClassName": "h100", "replicas": 9},
    ],
    ids=["another class", "no such class", "invalid", "too large", "refused"],
)
def test_what_runs_counts_whatever_its_spec_has_become(edit: dict[str, Any]) -> None:
    world = limited(gpusPerNamespace=2, maxReplicas=2)
    first = serving(world, "first", servingClassName="h100", replicas=2)
    urls = [pod(world, "first", f"first-{number}") for number in range(2)]
    world.service("first", **{"accelerator": {}, **edit})
    settle(world, first)
    second = serving(world, "second", servingClassName="h100")
    assert (condition(world, "Admitted", "second") or {})["reason"] == "ClassLimitExceeded"
    del world.api.objects[path("InferenceService", NAMESPACE, "first")]
    for url in urls:
        del world.api.objects[url]
    world.watch()
    assert is_admitted(world, second)


def test_a_service_in_another_class_counts_there_with_what_it_asks_for() -> None:
    world = limited()
    world.serving_class("other", **L4, limits={"gpusPerNamespace": 2})
    world.serving_class(**L4, limits={"gpusPerNamespace": 1})
    first = serving(world, "first", servingClassName="h100")
    url = pod(world, "first")
    of_other = {**OF_CLASS, "servingClassName": "other"}
    world.service("first", **of_other)
    assert is_admitted(world, first)
    assert not is_admitted(world, world.service("second", **OF_CLASS)), "the pod is still of the class"
    assert is_admitted(world, world.service("third", **of_other))
    assert not is_admitted(world, world.service("fourth", created="2026-11-24T12:00:00Z", **of_other))
    del world.api.objects[url]
    pod(world, "first")
    assert is_admitted(world, world.service("second", **OF_CLASS))


@pytest.mark.parametrize("made_again", [False, True])
def test_pods_that_finish_their_requests_hold_their_gpus_without_their_service(*, made_again: bool) -> None:
    world = limited(gpusPerNamespace=1)
    serving(world, "first", servingClassName="h100")
    url = pod(world, "first")
    world.api.objects[url]["metadata"]["deletionTimestamp"] = "2026-11-30T12:00:00Z"
    for kind, name in (("InferenceService", "first"), ("Deployment", "first"), ("ReplicaSet", "first-5d8")):
        del world.api.objects[path(kind, NAMESPACE, name)]
    world.watch()
    if made_again:
        world.api.objects[url]["metadata"]["labels"]["vllm-operator.dev/service-uid"] = "uid-of-before"
    second = world.service("first" if made_again else "second", **OF_CLASS)
    assert not is_admitted(world, second)
    del world.api.objects[url]
    world.watch()
    assert is_admitted(world, second)


@pytest.mark.parametrize("made_again", [False, True])
@pytest.mark.parametrize("pods", [0, 1, 2])
def test_what_a_service_leaves_behind_that_was_deleted_alone_counts(pods: int, *, made_again: bool) -> None:
    """As with `kubectl delete --cascade=orphan`: the Deployment stays, whatever it has of its pods now."""
    world = limited(gpusPerNamespace=2)
    serving(world, "first", servingClassName="h100", replicas=2)
    urls = [pod(world, "first", f"first-{number}") for number in range(pods)]
    del world.api.objects[path("InferenceService", NAMESPACE, "first")]
    for url in urls:
        world.api.objects[url]["metadata"]["labels"]["vllm-operator.dev/service-uid"] = "uid-of-before"
    deployment = path("Deployment", NAMESPACE, "first")
    world.api.objects[deployment]["metadata"]["ownerReferences"] = []
    if made_again:
        again = world.service("first", **OF_CLASS, suspend=True)
        world.api.objects[path("InferenceService", *again)]["metadata"]["uid"] = "uid-of-another"
    world.watch()
    second = world.service("second", **OF_CLASS)
    assert not is_admitted(world, second)
    gone(world, deployment)
    assert is_admitted(world, second) == (pods < 2), "the pods are orphans as well"
    for url in urls:
        gone(world, url)
    assert is_admitted(world, second)


LONG: dict[str, Any] = {**OF_CLASS, "rollout": {"drainTimeoutSeconds": 86400}}


def ends(world: World, url: str, seconds: float = 86400) -> None:
    """A pod finishes its requests, and its node is to have ended it in so many seconds."""
    by = written(datetime.now(UTC) + timedelta(seconds=seconds))
    world.api.objects[url]["metadata"]["deletionTimestamp"] = by
    world.watch()


def gone(world: World, url: str) -> None:
    del world.api.objects[url]
    world.watch()


def wanted(world: World, key: Key) -> tuple[int, str]:
    """Pods that the Deployment is to have, and the revision that they are of."""
    settle(world, key)
    spec = world.api.objects[path("Deployment", NAMESPACE, key.name)]["spec"]
    return spec.get("replicas", 1), spec["template"]["metadata"]["labels"]["vllm-operator.dev/revision"]


LIMITS: list[dict[str, int]] = [{"gpusPerNamespace": 2}, {"gpusPerService": 2}]


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("less", [{"suspend": True}, {"replicas": 0}])
def test_a_service_that_is_resumed_waits_until_its_earlier_pods_have_ended(
    limits: dict[str, int], less: dict[str, Any]
) -> None:
    world = limited(**limits)
    key = serving(world, servingClassName="h100", replicas=2, rollout=LONG["rollout"])
    urls = [pod(world, "llama", f"llama-{number}") for number in range(2)]
    world.service(**{**LONG, "replicas": 2, **less})
    assert wanted(world, key)[0] == 0
    for url in urls:
        ends(world, url)
    world.service(**LONG, replicas=2)
    assert wanted(world, key)[0] == 0
    told = condition(world, "Admitted") or {}
    assert told["reason"] == world.reason() == "EarlierPodsEnding"
    assert condition(world, "Stalled") is None, "time alone helps"
    assert (condition(world, "Reconciling") or {})["message"].startswith("no more pods are made: ")
    assert world.reconcile(key) == CLASS_SECONDS
    assert "leaves 2 GPUs to this service" in told["message"]
    assert "hold 2" in told["message"]
    for url in urls:
        assert wanted(world, key)[0] == 0
        gone(world, url)
    assert wanted(world, key)[0] == 2
    assert condition(world, "Admitted") is None


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("pruned", [False, True])
def test_pods_are_replaced_again_only_once_those_before_have_ended(limits: dict[str, int], *, pruned: bool) -> None:
    world = limited(**limits)
    key = serving(world, servingClassName="h100", replicas=2, rollout=LONG["rollout"])
    old = pod(world, "llama", "llama-0")
    first = wanted(world, key)
    world.service(**LONG, replicas=2, dtype="float16")
    second = wanted(world, key)
    assert second[1] != first[1], "the first rollout goes as it always did"
    ends(world, old)
    if pruned:  # Kubernetes keeps few ReplicaSets
        world.api.objects[old]["metadata"]["ownerReferences"][0]["uid"] = "uid-of-one-that-is-gone"
        world.watch()
    assert wanted(world, key) == second
    assert condition(world, "Admitted") is None, "a rollout that has begun goes on"
    world.service(**LONG, replicas=2, dtype="bfloat16")
    assert wanted(world, key) == second
    assert (condition(world, "Admitted") or {})["reason"] == "EarlierPodsEnding"
    assert condition(world, "Stalled") is None
    world.service(**LONG, replicas=1, dtype="bfloat16")
    assert wanted(world, key) == (1, second[1]), "fewer are fewer"
    world.service(**LONG, replicas=2, dtype="bfloat16")
    assert wanted(world, key) == (1, second[1])
    gone(world, old)
    replicas, third = wanted(world, key)
    assert replicas == 2
    assert third not in (first[1], second[1])


LOST: dict[str, Any] = {
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [{"name": "vllm", "ready": True, "state": {"running": {}}}],
}


@pytest.mark.parametrize(("seconds", "status"), [(86400, LOST), (-120, {})], ids=["its node is lost", "long overdue"])
def test_no_new_pods_wait_for_one_that_only_its_node_could_end(seconds: float, status: dict[str, Any]) -> None:
    world = limited(gpusPerService=2)
    key = serving(world, servingClassName="h100", replicas=2, rollout=LONG["rollout"])
    old = pod(world, "llama", "llama-0")
    world.api.objects[old]["status"] = status
    ends(world, old, seconds)
    first = wanted(world, key)
    world.service(**LONG, replicas=2, dtype="float16")
    assert wanted(world, key)[1] != first[1]
    world.service(**LONG, suspend=True)
    assert wanted(world, key)[0] == 0
    world.service(**LONG, replicas=2)
    assert wanted(world, key)[0] == 2
    assert condition(world, "Admitted") is None


def test_pods_whose_replica_set_was_pruned_count_for_others() -> None:
    world = limited(gpusPerNamespace=1)
    serving(world, "first", servingClassName="h100")
    url = pod(world, "first")
    world.api.objects[url]["metadata"]["ownerReferences"][0]["uid"] = "uid-of-one-that-is-gone"
    ends(world, url)
    settle(world, world.service("first", **LONG, suspend=True))
    second = world.service("second", **OF_CLASS)
    assert not is_admitted(world, second)
    gone(world, url)
    assert is_admitted(world, second)


def test_where_there_is_room_pods_are_replaced_while_others_end() -> None:
    world = limited(gpusPerNamespace=5)
    key = serving(world, servingClassName="h100", replicas=2, rollout=LONG["rollout"])
    ends(world, pod(world, "llama", "llama-0"))
    first = wanted(world, key)
    world.service(**LONG, replicas=2, dtype="float16")
    assert wanted(world, key)[1] != first[1]


def test_an_autoscaler_takes_back_what_it_has_let_go() -> None:
    world = limited(gpusPerService=2)
    scaled = {**LONG, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}}
    key = serving(world, **scaled)
    urls = [pod(world, "llama", f"llama-{number}") for number in range(3)]
    hpa = path("HorizontalPodAutoscaler", NAMESPACE, "llama")
    for url in urls[:2]:
        ends(world, url)
        settle(world, key)
        assert (condition(world, "Admitted"), world.api.objects[hpa]["spec"]["maxReplicas"]) == (None, 2)
    ends(world, urls[2])
    serves = pod(world, "llama", "llama-3")
    world.api.objects[serves]["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    world.watch()
    settle(world, key)
    assert (condition(world, "Admitted") or {})["reason"] == "EarlierPodsEnding"
    assert (world.reason(), condition(world, "Stalled"), condition(world, "Reconciling")) == ("Available", None, None)
    assert world.api.objects[hpa]["spec"]["maxReplicas"] == 1
    gone(world, urls[2])
    settle(world, key)
    assert (condition(world, "Admitted"), world.api.objects[hpa]["spec"]["maxReplicas"]) == (None, 2)


def test_an_edit_that_waits_for_pods_to_end_leaves_the_autoscaler_its_room() -> None:
    world = limited(gpusPerService=4)
    scaled = {**LONG, "autoscaling": {"minReplicas": 1, "maxReplicas": 4}}
    key = serving(world, **scaled)
    url = pod(world, "llama")
    first = wanted(world, key)
    ends(world, url)
    world.service(**scaled, dtype="float16")
    assert wanted(world, key) == first
    assert (condition(world, "Admitted") or {})["reason"] == world.reason() == "EarlierPodsEnding"
    assert condition(world, "Reconciling")
    assert deployed(world)[1] == 4
    world.service(**{**scaled, "autoscaling": {"minReplicas": 1, "maxReplicas": 3}}, dtype="float16")
    settle(world, key)
    assert deployed(world)[1] == 3, "fewer are fewer"
    gone(world, url)
    assert wanted(world, key)[1] != first[1]


TOO_LONG: dict[str, Any] = {**OF_CLASS, "maxModelLen": 4096}


def deployed(world: World) -> tuple[int, int, int]:
    """Replicas that there are to be, the most that the autoscaler may make of them, and the GPUs in the status."""
    hpa = world.api.objects.get(path("HorizontalPodAutoscaler", NAMESPACE, "llama"))
    most = hpa["spec"]["maxReplicas"] if hpa else 0
    return world.status()["wantedReplicas"], most, world.status()["gpus"]


@pytest.mark.parametrize(
    ("edit", "most"), [({"replicas": 4}, 0), ({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}, 1)]
)
def test_an_edit_that_is_withheld_gets_no_more_gpus_than_it_asks_for(edit: dict[str, Any], most: int) -> None:
    world = limited(gpusPerService=4, gpusPerNamespace=5)
    key = serving(world, servingClassName="h100", tensorParallelSize=4)
    world.service(**TOO_LONG, tensorParallelSize=1, **edit)
    settle(world, key)
    assert world.reason() == "MaxModelLenTooLong"
    assert deployed(world) == (1, most, 4)
    assert is_admitted(world, world.service("second", **OF_CLASS))
    world.service(**OF_CLASS, tensorParallelSize=1, **edit)
    settle(world, key)
    assert container(world)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert deployed(world) == ((1, 4, 1) if most else (4, 0, 4))


def test_what_an_edit_that_is_withheld_has_counts_for_others() -> None:
    world = limited(gpusPerNamespace=8)
    key = serving(world, servingClassName="h100", tensorParallelSize=4, replicas=2)
    second = world.service("second", created="2026-11-24T12:00:00Z", **OF_CLASS)
    world.service(**TOO_LONG, tensorParallelSize=1)
    settle(world, key)
    assert deployed(world) == (1, 0, 4), "fewer replicas are fewer"
    assert is_admitted(world, second)
    world.service(**TOO_LONG, tensorParallelSize=1, replicas=2)
    settle(world, key)
    assert deployed(world) == (1, 0, 4)
    assert is_admitted(world, world.service("third", **OF_CLASS, replicas=3))
    assert not is_admitted(world, world.service("fourth", created="2026-11-25T12:00:00Z", **OF_CLASS))


def test_an_edit_that_is_withheld_scales_what_is_deployed_where_that_takes_no_more() -> None:
    world = World()
    key = serving(world, accelerator={"product": "NVIDIA-L4"})
    world.service(maxModelLen=4096, replicas=3)
    settle(world, key)
    assert deployed(world) == (3, 0, 3)


def test_what_was_deleted_by_hand_comes_back_as_large_as_it_was() -> None:
    world = limited(gpusPerService=4)
    key = serving(world, servingClassName="h100", tensorParallelSize=4)
    world.service(**TOO_LONG, tensorParallelSize=1, replicas=4)
    settle(world, key)
    world.api.objects.pop(path("Deployment", NAMESPACE, "llama"))
    world.watch()
    settle(world, key)
    assert deployed(world) == (1, 0, 4)

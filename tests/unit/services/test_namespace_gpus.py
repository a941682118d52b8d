"""The GPUs of a class that the services of a namespace have: who counts, and with what."""

from typing import Any

import pytest

from support.world import NAMESPACE, World
from unit.services.test_classes import condition, serving, settle
from vllm_operator.api.limits import SPEC_BYTES
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path

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

"""A service on Ray Serve through the loop: KubeRay or the image missing, served by workers, replaced."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from support.kube import Object
from support.world import NAMESPACE, World
from unit.services.choices import EVICTED, OTHER_PODS, READY, settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS
from vllm_operator.settings import Settings
from vllm_operator.snapshots.ray import TAKEN_SECONDS

ON_RAY: dict[str, Any] = {"runtime": "RayServe", "image": "vllm/vllm-openai:v0.32.0"}

READY_CONDITION = [{"type": "Ready", "status": "True", "reason": "NonZeroServeEndpoints"}]


def told(state: str, message: str = "") -> Object:
    """The status of a RayService whose application was up, and is in a state now."""
    active = {"applicationStatuses": {"llm": {"status": state, "message": message}}}
    return {"conditions": READY_CONDITION, "activeServiceStatus": active}


UP = told("RUNNING")


def started(**spec: Any) -> tuple[World, Key]:
    """A service on Ray whose cluster is made, and that has a status."""
    world = World()
    world.served = frozenset({"RayService"})
    key = world.service(**{**ON_RAY, **spec})
    world.reconcile(key)
    world.inspected()
    world.reconcile(key)
    world.clock.now += FIRST_STATUS_SECONDS
    return world, key


def made(world: World) -> Object:
    (name,) = world.children("RayService")
    return world.api.objects[path("RayService", NAMESPACE, name)]


def pods(world: World, status: Object, of_service: Object | None = None) -> None:
    """Head and worker, of a RayCluster that KubeRay made, and what it says of it."""
    of = made(world)
    says(world, UP if of_service is None else of_service)
    template = of["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]
    labels = template["metadata"]["labels"]
    _object(world, "RayCluster", of["metadata"]["name"], of["metadata"]["uid"], {"labels": labels})
    for node in ("head", "worker"):
        name = f"{of['metadata']['name']}-{node}"
        whole = {"labels": {**labels, "ray.io/node-type": node}}
        _object(world, "Pod", name, f"uid-{of['metadata']['name']}", whole)
        pod = world.api.objects[path("Pod", NAMESPACE, name)]
        pod |= {"spec": {"containers": [{"name": "vllm", "image": "i"}], "nodeName": "n"}, "status": status}
    world.watch()


def says(world: World, status: Object) -> None:
    """What KubeRay says of the RayService as it is now."""
    of = made(world)
    of["status"] = {"observedGeneration": of["metadata"]["generation"], **status}
    world.watch()


def _object(world: World, kind: str, name: str, owner: str, meta: Object) -> None:
    whole = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", **meta}
    whole["ownerReferences"] = [{"uid": owner, "controller": True}]
    world.api.objects[path(kind, NAMESPACE, name)] = {"metadata": whole}


def serving() -> tuple[World, Key]:
    """A service on Ray whose worker answers."""
    world, key = started()
    pods(world, READY)
    world.reconcile(key)
    return world, key


def test_without_kuberay_nothing_is_made_and_it_is_said_what_to_install() -> None:
    world = World()
    world.reconcile(world.service(**ON_RAY))
    assert world.reason() == world.reason("Stalled") == "RayServicesUnserved"
    assert "install KubeRay" in world.message("Ready")
    assert (world.children("Deployment"), world.children("Service")) == ([], [])


def test_without_an_image_it_is_said_what_it_needs() -> None:
    world = World()
    world.served = frozenset({"RayService"})
    key = world.service(runtime="RayServe")
    settle(world, key)
    assert world.reason() == "RayImageMissing"
    assert "images/vllm-ray" in world.message("Ready")


def test_where_the_settings_name_one_it_needs_none() -> None:
    world = World()
    world.settings = Settings.model_validate({"images": {"ray": "mine/vllm-ray:0.32.0"}})
    world.begin()
    world.served = frozenset({"RayService"})
    world.reconcile(world.service(runtime="RayServe"))
    worker = made(world)["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    assert worker["image"] == "mine/vllm-ray:0.32.0"


def test_workers_are_the_replicas_and_the_head_is_none() -> None:
    world, _ = serving()
    assert (world.reason(), world.message("Ready")) == ("Available", "1 of 1 pods serve")
    status = world.status()
    assert (status["replicas"], status["readyReplicas"], status["gpus"]) == (1, 1, 1)


def test_a_worker_that_is_ready_before_the_application_serves_nobody() -> None:
    world, key = started()
    pods(world, READY, of_service={"pendingServiceStatus": {"applicationStatuses": {"llm": {"status": "DEPLOYING"}}}})
    world.reconcile(key)
    assert (world.reason(), world.status()["readyReplicas"]) == ("Starting", 0)


def test_where_kuberay_tells_serve_nothing_it_is_said_what_may_keep_it_away() -> None:
    world, key = started()
    pods(world, {**READY, "conditions": []}, of_service={"activeServiceStatus": {"rayClusterStatus": {}}})
    world.reconcile(key)
    assert world.reason() == "Starting"
    assert "the setting kuberayNamespaces has to name" in world.message("Ready")


def edited() -> tuple[World, Key]:
    """A service on Ray that serves, and whose engine gets another setting: KubeRay has not looked at it yet."""
    world, key = serving()
    before = made(world)["metadata"]["name"]
    world.service(**ON_RAY, maxModelLen=64)
    world.reconcile(key)
    world.reconcile(key)
    assert world.children("RayService") == [before]
    return world, key


def summary(world: World) -> tuple[str, str]:
    """The reason of Ready, and which of the conditions there is that GitOps tools look at."""
    found = [entry["type"] for entry in world.status()["conditions"]]
    return world.reason(), " ".join(kind for kind in found if kind in ("Reconciling", "Stalled"))


TAKES, SERVES, FAILS = ("RollingOut", "Reconciling"), ("Available", ""), ("RayApplicationFailed", "Stalled")


def test_other_settings_are_taken_in_place_and_served_once_serve_has_them() -> None:
    world, key = edited()
    assert summary(world) == TAKES
    says(world, UP)  # at the look at which it tells Serve, KubeRay says this of what was before
    again = world.reconcile(key)
    assert again is not None
    assert again <= TAKEN_SECONDS
    assert summary(world) == TAKES
    says(world, told("DEPLOYING"))
    world.reconcile(key)
    world.clock.now += 60.0  # other words alone may wait
    world.reconcile(key)
    assert summary(world) == TAKES
    assert "Ray Serve starts replicas anew with what has changed" in world.message("WorkloadAvailable")
    says(world, UP)
    world.reconcile(key)
    assert summary(world) == SERVES


def test_settings_for_which_serve_starts_nothing_anew_count_as_taken_after_some_seconds() -> None:
    world, key = edited()
    says(world, UP)
    world.reconcile(key)
    world.clock.now += TAKEN_SECONDS
    world.reconcile(key)
    assert summary(world) == SERVES


@pytest.mark.parametrize("deployments", [{}, {"LLMServer:llama": {"status": "HEALTHY"}}], ids=["gone", "of before"])
def test_settings_that_serve_cannot_take_are_told_though_those_of_before_serve(deployments: Object) -> None:
    world, key = edited()
    said = told("DEPLOY_FAILED", "Traceback\nValueError: Unknown engine argument: x")
    said["activeServiceStatus"]["applicationStatuses"]["llm"]["serveDeploymentStatuses"] = deployments
    for status in (told("DEPLOYING"), said):
        says(world, status)
        world.clock.now += FIRST_STATUS_SECONDS
        world.reconcile(key)
    assert summary(world) == FAILS
    assert "Unknown engine argument: x" in world.message("Ready")
    assert "rollout.maxSurge" not in world.message("Ready")  # which is about other pods
    assert ("with the settings of before" in world.message("Ready")) == bool(deployments)
    world.service(**ON_RAY, maxModelLen=128)
    for _ in range(2):
        world.reconcile(key)
        assert summary(world) == TAKES, "it is not said of settings that Serve has not looked at"
    says(world, said)
    world.reconcile(key)
    assert summary(world) == TAKES
    for status in (told("DEPLOYING"), UP):
        says(world, status)
        world.reconcile(key)
    assert summary(world) == SERVES


def test_replicas_that_start_anew_without_an_edit_are_no_rollout() -> None:
    world, key = serving()
    says(world, told("DEPLOYING"))
    world.clock.now += 60.0
    world.reconcile(key)
    assert summary(world) == SERVES


def test_a_head_that_came_anew_serves_once_the_model_is_there() -> None:
    world, key = serving()
    for state, ready in (("LOST", 0), ("DEPLOYING", 0), ("RUNNING", 1)):
        says(world, {**told(state), **({"conditions": []} if state == "LOST" else {})})
        world.clock.now += FIRST_STATUS_SECONDS
        world.reconcile(key)
        assert world.status()["readyReplicas"] == ready, state


def test_other_pods_come_after_the_cluster_that_is_there() -> None:
    world, key = started()
    pods(world, READY)
    before = made(world)["metadata"]["name"]
    world.service(**ON_RAY, **OTHER_PODS)
    world.reconcile(key)
    assert [write.partition(" ")[0] for write in world.writes() if "rayservices" in write] == ["delete", "patch"]
    assert made(world)["metadata"]["name"] != before


@pytest.mark.parametrize(
    "edit",
    [OTHER_PODS, {"replicas": 2}, {"autoscaling": {"maxReplicas": 3, "targets": {"runningRequests": 1}}}],
    ids=["other pods", "replicas", "bounds"],
)
def test_with_a_surge_it_serves_until_its_successor_does(edit: dict[str, Any]) -> None:
    world, key = started(rollout={"maxSurge": 1})
    pods(world, READY)
    (before,) = world.children("RayService")
    world.service(**ON_RAY, **edit, rollout={"maxSurge": 1})
    for _ in range(3):
        world.reconcile(key)
        assert len(world.children("RayService")) == 2, "its worker serves, and none of its successor's does"
    first = world.api.objects.pop(path("RayService", NAMESPACE, before))
    pods(world, READY)
    worker = f"{made(world)['metadata']['name']}-worker"
    if edit.get("replicas"):
        second = copy.deepcopy(world.api.objects[path("Pod", NAMESPACE, worker)])
        second["metadata"] |= {"name": f"{worker}-2", "uid": f"uid-{worker}-2"}
        world.api.objects[path("Pod", NAMESPACE, f"{worker}-2")] = second
    world.api.objects[path("RayService", NAMESPACE, before)] = first
    world.watch()
    world.reconcile(key)
    assert before not in world.children("RayService")


def test_a_spec_that_is_withheld_changes_nothing_of_what_serves() -> None:
    world, key = started()
    pods(world, READY)
    before = dict(made(world)["spec"])
    much: dict[str, Any] = {
        "tensorParallelSize": 2,
        "startupTimeoutSeconds": 600,
        "rollout": {"drainTimeoutSeconds": 9},
    }
    world.service(**ON_RAY, **much, maxQueuedRequests=7, maxModelLen=4096)
    world.reconcile(key)
    assert world.reason("Fits") == "MaxModelLenTooLong"
    assert made(world)["spec"] == before


def test_suspended_it_is_gone() -> None:
    world, key = started()
    pods(world, READY)
    world.service(**ON_RAY, suspend=True)
    world.reconcile(key)
    assert world.children("RayService") == []
    assert world.children("Service") != []


@pytest.mark.parametrize(("status", "replicas"), [(READY, 2), (EVICTED, 1)], ids=["serves", "record"])
def test_a_worker_that_rays_autoscaler_has_made_is_wanted_and_the_record_of_one_is_not(
    status: Object, replicas: int
) -> None:
    scaling = {"minReplicas": 1, "maxReplicas": 2, "targets": {"runningRequests": 1}}
    world, key = started(autoscaling=scaling)
    pods(world, READY)
    name = made(world)["metadata"]["name"]
    first = world.api.objects[path("Pod", NAMESPACE, f"{name}-worker")]
    second = {**first, "metadata": {**first["metadata"], "name": "second", "uid": "uid-second"}, "status": status}
    world.api.objects[path("Pod", NAMESPACE, "second")] = second
    world.watch()
    world.reconcile(key)
    assert world.message("WorkloadAvailable") == f"{replicas} of {replicas} pods serve"
    assert (world.status()["replicas"], world.status()["wantedReplicas"]) == (replicas, replicas)


SCALED: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 4, "targets": {"runningRequests": 1}}


def of_a_class(workers: int) -> tuple[World, Key]:
    """A service on Ray of a class that lets it have what it asks for. Ray's autoscaler has made so many workers."""
    world = World()
    world.served = frozenset({"RayService"})
    world.serving_class(limits={"maxReplicas": 4})
    key = world.service(**ON_RAY, servingClassName="h100", autoscaling=SCALED)
    world.reconcile(key)
    world.inspected()
    world.reconcile(key)
    pods(world, READY, scaled_to(workers))
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    return world, key


def scaled_to(workers: int) -> Object:
    """The status of a RayService that serves and whose autoscaler wants so many workers."""
    return {
        **UP,
        "activeServiceStatus": {**UP["activeServiceStatus"], "rayClusterStatus": {"desiredWorkerReplicas": workers}},
    }


def test_all_workers_but_one_stay_while_nodes_are_drained_however_many_there_are() -> None:
    world, key = of_a_class(3)
    url = path("PodDisruptionBudget", NAMESPACE, "llama")
    for workers in (3, 2, 1, 4):
        says(world, scaled_to(workers))
        world.reconcile(key)
        assert world.api.objects[url]["spec"]["minAvailable"] == workers - 1
        world.reconcile(key)
        assert world.writes() == []


def no_class(world: World) -> None:
    del world.api.objects[path("ServingClass", "", "h100")]
    world.watch()


def lower_limit(world: World) -> None:
    world.serving_class(limits={"maxReplicas": 2})


def full_namespace(world: World) -> None:
    world.serving_class(limits={"gpusPerNamespace": 1})


@pytest.mark.parametrize("refuse", [no_class, lower_limit, full_namespace])
@pytest.mark.parametrize("workers", [1, 3, 4])
def test_a_refusal_takes_no_cluster_away_however_rays_autoscaler_scales_meanwhile(
    refuse: Callable[[World], None], workers: int
) -> None:
    world, key = of_a_class(workers)
    before = made(world)
    cluster, told_to_serve = before["metadata"]["name"], before["spec"]
    refuse(world)
    for now in (workers, 2, 1, 3):
        says(world, scaled_to(now))
        world.reconcile(key)
        assert (made(world)["metadata"]["name"], made(world)["spec"]) == (cluster, told_to_serve)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    assert world.reason("Admitted") in ("ClassNotFound", "ClassLimitExceeded")


def test_a_service_that_is_refused_gets_no_wider_bounds_and_may_have_narrower_ones() -> None:
    world, key = of_a_class(3)
    before = made(world)
    no_class(world)
    for wider in ({"maxReplicas": 8}, {"minReplicas": 2}):
        world.service(**ON_RAY, servingClassName="h100", autoscaling={**SCALED, **wider})
        world.reconcile(key)
        assert made(world)["metadata"]["name"] == before["metadata"]["name"], wider
        assert made(world)["spec"] == before["spec"]
    world.service(**ON_RAY, servingClassName="h100", autoscaling={**SCALED, "maxReplicas": 2})
    world.reconcile(key)
    (group,) = made(world)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (1, 2)


def test_a_worker_without_a_replica_is_no_trouble_of_vllms() -> None:
    world, key = started(autoscaling={"minReplicas": 1, "maxReplicas": 2, "targets": {"runningRequests": 1}})
    idle = copy.deepcopy(READY)
    idle["startTime"] = "2026-11-28T08:00:00Z"
    idle["conditions"][0] |= {"status": "False", "lastTransitionTime": "2026-11-28T09:00:00Z"}
    idle["containerStatuses"][0]["state"]["running"]["startedAt"] = "2026-11-28T08:00:01Z"
    pods(world, idle)
    world.reconcile(key)
    assert "no longer answers" not in world.message("WorkloadAvailable")
    assert world.reason("WorkloadAvailable") == "Starting"

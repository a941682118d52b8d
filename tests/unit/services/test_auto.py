"""tensorParallelSize: auto, through the loop: chosen once for a spec, kept with the template, and told."""

from typing import Any

from support.nodes import H100
from support.world import LARGE, NAMESPACE, World
from unit.services.choices import add_node, chosen, settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS
from vllm_operator.services.view import NODES

L40S = "NVIDIA-L40S"


def serving(world: World, **spec: Any) -> Key:
    """A service that leaves its GPUs to the plan."""
    key = world.service(**{"accelerator": {}, "tensorParallelSize": "auto", **spec})
    settle(world, key)
    return key


def pod(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]["spec"]
    return found


def shape(world: World) -> tuple[str, str]:
    """GPUs of a pod, and their product."""
    found = pod(world)
    container = found["containers"][0]
    gpus = container["resources"]["limits"]["nvidia.com/gpu"]
    assert f"--tensor-parallel-size={gpus}" in container["args"]
    return str(gpus), str(found["nodeSelector"]["nvidia.com/gpu.product"])


def test_the_cheapest_shape_is_chosen_told_and_kept() -> None:
    world = World()
    add_node(world, "a", H100)
    key = serving(world)
    assert shape(world) == ("4", H100)
    assert {field: one["value"] for field, one in chosen(world).items()} == {
        "tensorParallelSize": "4", "accelerator.product": H100,
    }  # fmt: skip
    assert chosen(world)["tensorParallelSize"]["why"] == f"4 x {H100}: the only kind of GPU of this cluster that fits"
    assert world.status()["gpus"] == 4
    (kept,) = [name for name in world.children("ControllerRevision") if "model" not in name]
    data = world.api.objects[path("ControllerRevision", NAMESPACE, kept)]["data"]
    assert {one["field"]: one["value"] for one in data["resolved"] if one["from"] == "plan"} == {
        "tensorParallelSize": 4, "accelerator.product": H100,
    }  # fmt: skip
    world.reconcile(key)
    assert world.writes() == []


def test_a_choice_stands_whatever_becomes_of_the_cluster_until_the_user_says_so() -> None:
    world = World()
    add_node(world, "a", H100)
    key = serving(world)
    add_node(world, "b", L40S)
    world.begin()  # another operator, with nothing remembered
    settle(world, key)
    assert shape(world) == ("4", H100)
    assert "Outdated" not in {entry["type"] for entry in world.status()["conditions"]}
    more: dict[str, Any] = {"accelerator": {}, "tensorParallelSize": "auto"}
    world.service(**more, replicas=2)
    settle(world, key)
    assert shape(world) == ("4", H100)
    world.service(**more, replicas=2, rollout={"restartedAt": "2026-11-24T12:00:00Z"})
    settle(world, key)
    assert shape(world) == ("4", L40S)
    world.service(**more, replicas=2)
    settle(world, key)
    assert shape(world) == ("4", L40S)  # no word to choose again


def test_a_choice_survives_that_somebody_deletes_what_keeps_it() -> None:
    world = World()
    add_node(world, "a", H100)
    key = serving(world)
    add_node(world, "b", L40S)
    for name in world.children("ControllerRevision"):
        if "model" not in name:
            world.api.objects.pop(path("ControllerRevision", NAMESPACE, name))
    world.begin()
    settle(world, key)
    assert shape(world) == ("4", H100)
    assert set(chosen(world)) == {"tensorParallelSize", "accelerator.product"}


def test_where_nothing_fits_there_are_no_pods_and_the_condition_says_why() -> None:
    world = World()
    add_node(world, "a", H100, gpus=1)
    key = serving(world, planPolicy="Warn")
    assert world.children("Deployment") == []
    assert (world.reason("Fits"), world.reason("WorkloadAvailable")) == ("NothingFits", "Withheld")
    assert "finds no GPUs of this cluster that fit" in world.message("Fits")
    assert "planPolicy" not in world.message("WorkloadAvailable")
    assert world.status()["gpus"] == 0
    add_node(world, "b", L40S)
    settle(world, key)
    assert shape(world) == ("4", L40S)


def test_an_edit_for_which_nothing_fits_keeps_the_pods_that_there_are() -> None:
    world = World()
    add_node(world, "a", H100)
    key = serving(world)
    world.service(accelerator={}, tensorParallelSize="auto", model={"uri": "hf://a/large"})
    settle(world, key, LARGE)
    assert world.reason("Fits") == "NothingFits"
    assert shape(world) == ("4", H100)


def test_an_edit_whose_size_is_yet_to_be_chosen_leaves_the_autoscaler_its_bounds() -> None:
    world = World()
    add_node(world, "a", H100)
    asks: dict[str, Any] = {
        "accelerator": {},
        "tensorParallelSize": "auto",
        "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
    }
    key = serving(world, **asks)
    world.service(**asks, model={"uri": "hf://a/large"})
    for _ in range(2):
        world.reconcile(key)
        (url,) = (one for one in world.api.objects if "horizontalpodautoscalers" in one)
        assert world.api.objects[url]["spec"]["maxReplicas"] == 2


def test_without_a_right_to_see_nodes_it_is_refused_with_a_sentence() -> None:
    world = World()
    key = world.service(accelerator={}, tensorParallelSize="auto")
    world.indices.pop(NODES, None)
    world.reconcile(key)
    assert world.reason("SpecValid") == "NodesUnreadable"
    assert "the operator may not read nodes" in world.message("SpecValid")
    assert world.children("Deployment") == []


def test_what_was_chosen_once_needs_no_right_to_see_nodes() -> None:
    world = World()
    add_node(world, "a", H100)
    key = serving(world)
    world.indices.pop(NODES, None)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    assert world.reason("SpecValid") == "Valid"
    assert shape(world) == ("4", H100)


def test_a_class_may_leave_it_to_the_plan_and_bounds_it() -> None:
    world = World()
    add_node(world, "a", H100)
    add_node(world, "b", L40S)
    world.serving_class(defaults={"tensorParallelSize": "auto"}, limits={"gpusPerNamespace": 8, "gpusPerService": 4})
    first = world.service("llama", accelerator={}, servingClassName="h100")
    settle(world, first)
    assert shape(world) == ("4", L40S)
    assert chosen(world)["tensorParallelSize"]["value"] == "4"
    world.serving_class(defaults={"tensorParallelSize": 8}, limits={"gpusPerNamespace": 8, "gpusPerService": 8})
    settle(world, first)
    assert shape(world) == ("4", L40S)


def test_gpus_that_were_chosen_count_against_the_namespaces_limit() -> None:
    world = World()
    add_node(world, "a", H100)
    world.serving_class(limits={"gpusPerNamespace": 6})
    own: dict[str, Any] = {"accelerator": {}, "servingClassName": "h100", "tensorParallelSize": "auto"}
    settle(world, world.service("llama", **own))
    assert shape(world) == ("4", H100)
    settle(world, world.service("second", **own))
    assert world.children("Deployment") == ["llama"]
    told = {entry["type"]: entry for entry in world.status("second")["conditions"]}
    assert told["Fits"]["reason"] == "NothingFits"
    assert "limits.gpusPerNamespace" in told["Fits"]["message"]

"""Replicas over several nodes through the loop: LeaderWorkerSet missing, a rank lost, one form for the other."""

from typing import Any

import pytest

from support.kube import Object
from support.nodes import H100
from support.world import NAMESPACE, World
from unit.services.choices import EVICTED, OTHER_PODS, READY, add_node, chosen, settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS

OVER_TWO: dict[str, Any] = {"nodesPerReplica": 2, "tensorParallelSize": 2, "pipelineParallelSize": 1}
LOST: Object = {
    "conditions": [{"type": "PodScheduled", "status": "True"}],
    "containerStatuses": [
        {
            "name": "vllm",
            "restartCount": 0,
            "state": {
                "terminated": {
                    "reason": "Error",
                    "exitCode": 1,
                    "startedAt": "2026-11-28T08:00:00Z",
                    "finishedAt": "2026-11-28T08:01:00Z",
                    "message": "RuntimeError: NCCL error: unhandled cuda error",
                }
            },
        }
    ],
}


# A rank without a server has no probe: it is ready again at once. vLLM exits with 0 where its engine dies.
RESTARTED: Object = {
    **READY,
    "containerStatuses": [
        {
            "name": "vllm",
            "restartCount": 1,
            "state": {"running": {"startedAt": "2026-11-28T08:01:01Z"}},
            "lastState": {
                "terminated": {
                    "reason": "Completed",
                    "exitCode": 0,
                    "startedAt": "2026-11-28T08:00:00Z",
                    "finishedAt": "2026-11-28T08:01:00Z",
                }
            },
        }
    ],
}


def started(**spec: Any) -> tuple[World, Key]:
    """A service over two nodes whose group is made, and that has a status."""
    world = World()
    world.served = frozenset({"LeaderWorkerSet"})
    key = world.service(**{**OVER_TWO, **spec})
    world.reconcile(key)
    world.inspected()
    world.reconcile(key)
    world.clock.now += FIRST_STATUS_SECONDS
    return world, key


def group(world: World, leader: Object, worker: Object) -> None:
    """The pods of the first group, and what LeaderWorkerSet makes between them and the set."""
    made = world.api.objects[path("LeaderWorkerSet", NAMESPACE, "llama-g")]
    labels = made["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["metadata"]["labels"]
    _stateful_set(world, "llama-g", made["metadata"]["uid"])
    _pod(world, "llama-g-0", "uid-llama-g", leader, {**labels, **_index(0)})
    _stateful_set(world, "llama-g-0", "uid-llama-g-0")
    _pod(world, "llama-g-0-1", "uid-sts-llama-g-0", worker, {**labels, **_index(1)})
    world.watch()


def _index(rank: int) -> dict[str, str]:
    prefix = "leaderworkerset.sigs.k8s.io"
    return {f"{prefix}/name": "llama-g", f"{prefix}/group-index": "0", f"{prefix}/worker-index": str(rank)}


def _stateful_set(world: World, name: str, owner: str) -> None:
    uid = "uid-llama-g" if name == "llama-g" else f"uid-sts-{name}"
    meta: Object = {"name": name, "namespace": NAMESPACE, "uid": uid}
    meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    meta["labels"] = {"leaderworkerset.sigs.k8s.io/name": "llama-g"}
    world.api.objects[path("StatefulSet", NAMESPACE, name)] = {"metadata": meta}


def _pod(world: World, name: str, owner: str, status: Object, labels: dict[str, str]) -> None:
    meta: Object = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "labels": labels}
    meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    spec = {"containers": [{"name": "vllm", "image": "i"}], "nodeName": f"node-of-{name}"}
    world.api.objects[path("Pod", NAMESPACE, name)] = {"metadata": meta, "spec": spec, "status": status}


def test_without_its_api_nothing_is_made_and_it_is_said_what_to_install() -> None:
    world = World()
    key = world.service(**OVER_TWO)
    world.reconcile(key)
    assert world.reason() == world.reason("Stalled") == "LeaderWorkerSetsUnserved"
    assert "install LeaderWorkerSet" in world.message("Ready")
    assert (world.children("Deployment"), world.children("Service")) == ([], [])


def test_a_group_counts_as_one_and_serves_as_a_whole() -> None:
    world, key = started()
    group(world, READY, READY)
    world.reconcile(key)
    assert (world.reason(), world.message("Ready")) == ("Available", "1 of 1 groups serve")
    status = world.status()
    assert (status["replicas"], status["readyReplicas"], status["gpus"]) == (1, 1, 2)
    assert status["selector"].endswith(",leaderworkerset.sigs.k8s.io/worker-index=0")


def test_a_rank_that_is_lost_is_named_with_its_node() -> None:
    world, key = started()
    group(world, READY, LOST)
    world.reconcile(key)
    message = world.message("Ready")
    assert world.reason() == "GpuError"
    assert message.startswith("0 of 1 groups serve: vLLM in pod llama-g-0-1 ")
    assert "(rank 1 of group 0 on node node-of-llama-g-0-1)" in message


def test_a_rank_that_is_being_deleted_on_a_lost_node_is_what_its_group_waits_for() -> None:
    """Its leader is deleted in the foreground: it stays as long as its workers do."""
    world, key = started()
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-28T08:00:40Z"}
    running: Object = {"name": "vllm", "ready": True, "restartCount": 0}
    running["state"] = {"running": {"startedAt": "2026-11-28T07:00:00Z"}}
    scheduled = {"type": "PodScheduled", "status": "True"}
    group(world, LOST, {"conditions": [scheduled, unready], "containerStatuses": [running]})
    for name in ("llama-g-0", "llama-g-0-1"):
        world.api.objects[path("Pod", NAMESPACE, name)]["metadata"]["deletionTimestamp"] = "2026-11-28T08:05:40Z"
    world.watch()
    world.reconcile(key)
    assert world.reason() == "NodeLost"
    assert "nothing is heard of node node-of-llama-g-0-1, where pod llama-g-0-1 served" in world.message("Ready")


@pytest.mark.parametrize("worker", [LOST, RESTARTED], ids=["ended", "restarted"])
def test_what_brought_a_group_down_is_still_told_while_the_next_one_is_made(worker: Object) -> None:
    world, key = started()
    group(world, READY, worker)
    for name in ("llama-g-0", "llama-g-0-1"):  # within half a second, before anybody has looked
        world.api.objects[path("Pod", NAMESPACE, name)]["metadata"]["deletionTimestamp"] = "2026-11-28T08:01:02Z"
    world.watch()
    world.reconcile(key)
    for name in ("llama-g-0", "llama-g-0-1"):
        world.api.objects.pop(path("Pod", NAMESPACE, name))
    world.watch()
    world.clock.now += 60
    world.reconcile(key)
    assert "(rank 1 of group 0 on node node-of-llama-g-0-1)" in world.message("Ready")
    group(world, READY, READY)
    world.reconcile(key)
    assert world.reason() == "Available"


def test_the_record_of_an_ended_leader_of_before_is_no_group() -> None:
    world, key = started()
    group(world, EVICTED, EVICTED)
    ended = [world.api.objects.pop(path("Pod", NAMESPACE, name)) for name in ("llama-g-0", "llama-g-0-1")]
    world.service(**OVER_TWO, **OTHER_PODS)
    world.reconcile(key)
    group(world, READY, READY)
    for body in ended:
        world.api.objects[path("Pod", NAMESPACE, f"{body['metadata']['name']}-ended")] = body
    world.watch()
    world.clock.now += 60
    world.reconcile(key)
    assert world.reason() == "Available"
    assert (world.status()["replicas"], world.status()["readyReplicas"]) == (1, 1)
    assert not any(entry["type"] == "Reconciling" for entry in world.status()["conditions"])


def test_a_pod_that_only_looks_like_a_rank_is_nobodys() -> None:
    world, key = started()
    group(world, READY, READY)
    world.api.objects[path("StatefulSet", NAMESPACE, "llama-g-0")]["metadata"]["ownerReferences"][0]["uid"] = "other"
    world.watch()
    world.reconcile(key)
    assert world.status()["readyReplicas"] == 0


@pytest.mark.parametrize("first", [1, 2])
def test_one_form_goes_before_the_other_is_made(first: int) -> None:
    world, key = started(nodesPerReplica=first)
    kinds = {1: "Deployment", 2: "LeaderWorkerSet"}
    assert world.children(kinds[first])
    world.service(**{**OVER_TWO, "nodesPerReplica": 3 - first})
    world.reconcile(key)
    done = [one.split("/")[0] for one in world.writes() if one.split(" ")[1].split("/")[0] in _PLURALS]
    assert done == [f"delete {_PLURAL[kinds[first]]}", f"patch {_PLURAL[kinds[3 - first]]}"]
    assert (world.children(kinds[first]), len(world.children(kinds[3 - first]))) == ([], 1)


_PLURAL = {"Deployment": "deployments", "LeaderWorkerSet": "leaderworkersets"}
_PLURALS = set(_PLURAL.values())


def test_a_replica_that_is_too_large_for_a_node_becomes_a_group_and_stays_one() -> None:
    world = World()
    world.served = frozenset({"LeaderWorkerSet"})
    add_node(world, "a", H100)
    sizes: dict[str, Any] = {"accelerator": {}, "tensorParallelSize": 8, "pipelineParallelSize": 2}
    key = world.service(**sizes)
    settle(world, key)
    made = world.api.objects[path("LeaderWorkerSet", NAMESPACE, "llama-g")]
    assert made["spec"]["leaderWorkerTemplate"]["size"] == 2
    assert {field: one["value"] for field, one in chosen(world).items()} == {"nodesPerReplica": "2"}
    for name in world.children("ControllerRevision"):
        if "model" not in name:
            world.api.objects.pop(path("ControllerRevision", NAMESPACE, name))
    add_node(world, "b", H100, gpus=16)
    world.begin()  # another operator, with nothing remembered
    settle(world, key)
    assert world.children("LeaderWorkerSet") == ["llama-g"]
    assert set(chosen(world)) == {"nodesPerReplica"}
    world.service(**sizes, rollout={"restartedAt": "2026-11-24T12:00:00Z"})
    settle(world, key)
    assert (world.children("LeaderWorkerSet"), world.children("Deployment")) == ([], ["llama"])
    assert chosen(world) == {}


def test_pods_that_serve_are_never_made_a_group_by_a_change_of_the_nodes() -> None:
    world = World()
    world.served = frozenset({"LeaderWorkerSet"})
    add_node(world, "a", H100, gpus=16)
    key = world.service(accelerator={}, tensorParallelSize=8, pipelineParallelSize=2)
    settle(world, key)
    assert world.children("Deployment") == ["llama"]
    world.api.objects.pop(path("Node", "", "a"))
    add_node(world, "b", H100)
    settle(world, key)
    assert (world.reason("Fits"), world.children("Deployment")) == ("TooManyGPUs", ["llama"])
    assert world.children("LeaderWorkerSet") == []


def test_without_groups_it_is_said_what_would_do() -> None:
    world = World()
    add_node(world, "a", H100)
    key = world.service(accelerator={}, tensorParallelSize=8, pipelineParallelSize=2)
    settle(world, key)
    assert world.reason("Fits") == "TooManyGPUs"
    assert "nodesPerReplica: 2 spreads it over so many nodes" in world.message("Fits")
    world.served = frozenset({"LeaderWorkerSet"})
    settle(world, key)
    assert world.children("LeaderWorkerSet") == ["llama-g"]

"""Counts of GPUs, and who holds them: what a service that waits for some is told."""

from typing import Any

import pytest

from support.nodes import H100, L4, node
from support.pod_status import unscheduled
from support.snapshots import pod, spec
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import Key
from vllm_operator.assess.supply import NodeGpus, Supply, barred, held_by, supply
from vllm_operator.diagnosis import workload
from vllm_operator.snapshots.node import Node
from vllm_operator.snapshots.pod import Asked, PodSnapshot
from vllm_operator.snapshots.workload import ConditionSnapshot, DeploymentSnapshot

SHORT = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No preemption"


def holder(on: str, gpus: int, resource: str = "nvidia.com/gpu", **fields: Any) -> PodSnapshot:
    """A pod that holds GPUs of a node."""
    return pod(node=on, asked=Asked(resource, gpus), **fields)


def there(nodes: list[Node], *pods: tuple[Key, PodSnapshot], **fields: Any) -> Supply:
    asks = spec(**fields)
    equipped = [one for one in nodes if one.count(asks.accelerator.resource)]
    return supply("team-a", asks, [(one, barred(asks, one)) for one in equipped], held_by(pods))


def told(found: Supply, message: str = SHORT) -> tuple[Reason, str]:
    finding = workload(None, [unscheduled(message)], found)
    assert finding
    return finding


def test_what_pods_hold_is_counted_on_the_nodes_that_suit() -> None:
    nodes = [node("a"), node("b", 4), node("c", 8, L4), node("d", 8, taint="team=b:NoSchedule"), node("e", 0)]
    found = there(
        nodes,
        (Key("team-a", "x"), holder("a", 4)),
        (Key("team-b", "y"), holder("a", 2, terminating=True)),
        (Key("team-b", "y"), holder("b", 1)),
        (Key("team-b", "z"), holder("c", 8)),
        (Key("team-b", "gone"), holder("a", 2, failed=True)),
        (Key("team-b", "waits"), holder("", 2)),
        (Key("team-b", "cpu"), holder("a", 0, "")),
        accelerator={"product": H100},
    )
    assert found.nodes == (NodeGpus("b", 4, 3), NodeGpus("a", 8, 2))
    assert (found.holders, found.elsewhere) == (((Key("team-a", "x"), 4),), 3)
    assert found.taints == ("team=b:NoSchedule",)
    assert found.products == ((H100, 3), (L4, 1))
    assert found.in_namespace == ((Key("team-a", "x"), 4),)


@pytest.mark.parametrize(
    ("held", "reason", "words"),
    [
        (
            ((Key("team-a", "x"), holder("a", 8)), (Key("team-a", "y"), holder("b", 8))),
            Reason.INSUFFICIENT_GPUS,
            "0 of 16 nvidia.com/gpu are free (a 0 of 8, b 0 of 8); held by team-a/x (8), team-a/y (8): all 4 must be "
            "free on one",
        ),
        (
            ((Key("secret", "falcon"), holder("a", 8)), (Key("team-a", "y"), holder("b", 6))),
            Reason.INSUFFICIENT_GPUS,
            "; held by services of other namespaces (8), team-a/y (6): all 4 must be free on one",
        ),
        (
            ((Key("team-a", "x"), holder("a", 6)), (Key("team-a", "y"), holder("b", 5))),
            Reason.GPUS_FRAGMENTED,
            "5 of 16 nvidia.com/gpu are free (b 3 of 8, a 2 of 8); held by team-a/x (6), team-a/y (5): enough "
            "together, but a pod needs 4 on one node",
        ),
        (
            ((Key("team-a", "x"), holder("a", 8)),),
            Reason.INSUFFICIENT_GPUS,
            "at most 8 of 16 nvidia.com/gpu are free (b 8 of 8, a 0 of 8); held by team-a/x (8); pods that are no "
            "InferenceService's hold the rest: all 4",
        ),
    ],
)
def test_who_holds_the_gpus_is_named(held: tuple[tuple[Key, PodSnapshot], ...], reason: Reason, words: str) -> None:
    got, message = told(there([node("a"), node("b")], *held))
    assert (got, words in message) == (reason, True), message


def test_a_long_list_is_cut() -> None:
    nodes = [node(f"n{number}", 4) for number in range(99)]
    pods = [(Key("team-a", f"s{number}"), holder(f"n{number}", 4)) for number in range(99)]
    message = told(there(nodes, *pods))[1]
    assert "(n0 0 of 4, n1 0 of 4, n10 0 of 4, n11 0 of 4, n12 0 of 4 and 94 more)" in message
    assert len(message) < 800


def test_taints_and_products_are_named() -> None:
    tainted = "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) didn't match Pod's node affinity"
    found = there([node("a", taint="team=b:NoSchedule")])
    reason, message = told(found, f"{tainted}/selector.")
    assert reason == Reason.UNTOLERATED_TAINTS
    assert "add the nodes' taints (team=b:NoSchedule) to pod.tolerations" in message
    other = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    reason, message = told(there([node("a", 8, L4), node("b", 8, L4)], accelerator={"product": H100}), other)
    assert reason == Reason.NO_MATCHING_NODE
    assert message.endswith(f"against the nodes' labels (the cluster has {L4} on 2 nodes)")


def test_the_largest_node_is_named_where_none_is_large_enough() -> None:
    small = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: 1 Preemption"
    reason, message = told(there([node("a", 2)]), f"{small} is not helpful for scheduling.")
    assert reason == Reason.GPU_NODES_TOO_SMALL
    assert "even when empty (the largest, a, has 2 nvidia.com/gpu): lower tensorParallelSize" in message


def test_a_quota_names_who_uses_it_up() -> None:
    said = (
        'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, used: '
        "requests.nvidia.com/gpu=6, limited: requests.nvidia.com/gpu=8"
    )
    refused = DeploymentSnapshot(1, 1, 0, 1, (ConditionSnapshot("ReplicaFailure", "True", "FailedCreate", said),))
    found = there([node("a")], (Key("team-a", "x"), holder("a", 6)), (Key("team-b", "y"), holder("a", 2)))
    finding = workload(refused, [], found)
    assert finding
    assert "of requests.nvidia.com/gpu=8; held in this namespace by team-a/x (6); scale" in finding[1]

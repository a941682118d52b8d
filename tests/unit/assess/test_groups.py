"""Replicas over several nodes: what keeps the rules, what the plan says, and which kept templates are taken."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from support.model_reports import LLAMA_8B, LLAMA_70B, inspected
from support.nodes import H100
from support.snapshots import service, spec
from vllm_operator.api.reasons import Reason
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.consistency import broken
from vllm_operator.assess.fits import Assessment, Inspection, Outlook, assess, keeps_from_running
from vllm_operator.assess.kept import Today, bars
from vllm_operator.assess.limits import Bounds, most_gpus
from vllm_operator.assess.nodes import demand_of, devices, kind_of, labels_that_count
from vllm_operator.assess.spread import spread
from vllm_operator.inspection.report import InspectionError
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.privileges import digests
from vllm_operator.settings import Settings
from vllm_operator.snapshots.node import Node

OVER_TWO: dict[str, Any] = {"nodesPerReplica": 2, "tensorParallelSize": 8, "pipelineParallelSize": 2}


def node(count: int) -> Node:
    return Node("a", (("nvidia.com/gpu.product", H100),), (("nvidia.com/gpu", count),), ())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"nodesPerReplica": 2}, "a number that nodesPerReplica divides"),
        ({"nodesPerReplica": 3, "tensorParallelSize": 4}, "a number that nodesPerReplica divides"),
        ({"nodesPerReplica": 2, "tensorParallelSize": "auto"}, "auto chooses on one node only"),
        ({**OVER_TWO, "dataParallelSize": 2}, "dataParallelSize must be 1 with nodesPerReplica"),
        (
            {**OVER_TWO, "cache": {"claim": {"storage": "1Ti", "accessMode": "ReadWriteOnce"}}},
            "nodesPerReplica needs cache.claim.accessMode ReadWriteMany",
        ),
        (
            {"nodesPerReplica": 2, "tensorParallelSize": 2, "accelerator": {"resource": "cpu"}, "enforceEager": True},
            "enforceEager skips the warm-up",
        ),
    ],
)
def test_what_groups_cannot_have_is_refused(fields: dict[str, Any], says: str) -> None:
    assert says in (broken(spec(**fields)) or "")
    alone = {name: value for name, value in fields.items() if name != "nodesPerReplica"}
    assert says not in (broken(spec(**alone)) or "")


def test_what_they_can_is_not() -> None:
    assert broken(spec(**OVER_TWO)) is None


def test_all_gpus_of_all_pods_count() -> None:
    assert most_gpus(spec(**OVER_TWO, replicas=3)) == 48


def test_a_plan_is_of_each_pods_gpus() -> None:
    found = assess(service(**OVER_TWO), inspected(LLAMA_70B), [node(8)], "vllm/vllm-openai:v0.32.0")
    assert found.fits is True
    assert found.plan
    assert found.plan.gpus_per_replica == 16
    assert "layers are split over nodes" not in found.message


def test_a_pod_that_no_node_has_gpus_for_is_told_with_what_would_do() -> None:
    found = assess(service(**OVER_TWO), inspected(LLAMA_70B), [node(4)], "vllm/vllm-openai:v0.32.0")
    assert (found.fits, found.reason) == (False, Reason.GPUS_PER_NODE)
    assert "each of the 2 pods of a replica needs 8 GPUs on one node, and no node has more than 4" in found.message
    assert "nodesPerReplica: 4 spreads it over so many nodes" in found.message


def test_more_gpus_than_a_node_has_are_offered_over_nodes() -> None:
    found = assess(service(tensorParallelSize=8), inspected(LLAMA_8B), [node(4)], "vllm/vllm-openai:v0.32.0")
    assert "nodesPerReplica: 2 spreads it over so many nodes" in found.message


def test_layers_over_nodes_are_warned_of() -> None:
    fields = {"nodesPerReplica": 2, "tensorParallelSize": 8}
    found = assess(service(**fields), inspected(LLAMA_8B), [node(8)], "vllm/vllm-openai:v0.32.0")
    assert found.fits is True
    assert "layers are split over nodes" in found.message
    assert "tensorParallelSize 4 with pipelineParallelSize 2 keeps each layer on a node" in found.message


def test_a_kept_template_of_a_leader_is_taken_and_one_that_leads_elsewhere_is_not() -> None:
    owner = service(**OVER_TWO)
    template = pod_template(owner, Settings())
    assert bars(template, Today(owner.spec, Settings())) == ""
    many = copy.deepcopy(template)
    many["spec"]["containers"][0]["args"].append("--nnodes=999")
    assert "more pods than one may have" in bars(many, Today(owner.spec, Settings()))
    for flag, other in (("--master-addr", "attacker.example.com"), ("--distributed-executor-backend", "evil.Executor")):
        forged = copy.deepcopy(template)
        forged["spec"]["containers"][0]["args"].append(f"{flag}={other}")
        assert f"another {flag} than the operator's" in bars(forged, Today(owner.spec, Settings()))


def racked(name: str, rack: str | None) -> Node:
    labels = {"nvidia.com/gpu.product": H100, **({"rack": rack} if rack else {})}
    return Node(name, tuple(sorted(labels.items())), (("nvidia.com/gpu", 8),), ())


def planned(*nodes: Node, **fields: Any) -> str:
    owner = service(**fields, pod={"exclusiveTopology": "rack"})
    return assess(owner, inspected(LLAMA_70B), nodes, "vllm/vllm-openai:v0.32.0").message


def test_groups_that_find_no_domain_are_warned_of() -> None:
    said = "no node that the pods could be on has the label rack of pod.exclusiveTopology"
    assert said in planned(racked("a", None), racked("b", None), **OVER_TWO)
    assert said not in planned(racked("a", None), racked("b", "1"), **OVER_TWO)
    assert said not in planned(racked("a", None), tensorParallelSize=8)
    assert said not in planned(**OVER_TWO), "of nodes that nobody sees, nothing is said"


SHORT = "1 of the 2 pods of a replica, even when nothing else runs"
KEPT = "meanwhile a pod that finds some keeps them"


@pytest.mark.parametrize(
    ("nodes", "pod", "short"),
    [
        ([racked("a", None)], {}, f"the nodes have GPUs for {SHORT}"),
        ([racked("a", None), racked("b", None)], {}, ""),
        ([], {}, ""),
        ([racked("a", "1"), racked("b", "2")], {}, ""),
        (
            [racked("a", "1"), racked("b", "2"), racked("c", None)],
            {"exclusiveTopology": "rack"},
            f"no domain of rack has GPUs for more than {SHORT}",
        ),
        ([racked("a", "1"), racked("b", "1")], {"exclusiveTopology": "rack"}, ""),
        ([racked("a", None)], {"exclusiveTopology": "rack"}, "has the label rack of pod.exclusiveTopology"),
    ],
)
def test_nodes_that_are_too_few_for_a_group_are_told_of_and_refused_where_they_stay_so(
    nodes: list[Node], pod: dict[str, Any], short: str
) -> None:
    owner = service(**OVER_TWO, pod=pod)
    may_come, fixed = (
        assess(owner, inspected(LLAMA_70B), nodes, "vllm/vllm-openai:v0.32.0", Outlook(fixed_nodes=fixed))
        for fixed in (False, True)
    )
    assert short in may_come.message
    assert (KEPT in may_come.message) == ("of the 2 pods" in short)
    assert may_come.reason is not Reason.TOO_FEW_NODES
    if not short:
        assert fixed == may_come
        return
    assert (fixed.fits, fixed.reason) == (False, Reason.TOO_FEW_NODES)
    assert short in fixed.message
    assert KEPT not in fixed.message
    assert keeps_from_running(owner.spec, fixed)


def test_gpus_that_the_pods_are_kept_from_are_no_room() -> None:
    """Of nodes with GPUs of which only one kind fits."""
    small = Node("c", (("nvidia.com/gpu.product", "NVIDIA-L4"),), (("nvidia.com/gpu", 8),), ())
    fields = {"nodesPerReplica": 2, "tensorParallelSize": 2, "pipelineParallelSize": 2}
    found = assess(service(**fields), inspected(LLAMA_70B), [node(3), small], "vllm/vllm-openai:v0.32.0")
    assert found.products == (H100,)
    assert f"the nodes have GPUs for {SHORT}" in found.message


def test_a_number_of_nodes_is_chosen_that_there_are() -> None:
    """Sixteen GPUs: not on two nodes with eight each, but on four with four."""
    nodes = [node(8), *(replace(node(4), name=f"s{at}") for at in range(2))]
    owner = service(tensorParallelSize=4, pipelineParallelSize=4)

    def chosen(inspection: Inspection) -> Assessment:
        def verdict(spec: InferenceServiceSpec) -> Assessment:
            known = Outlook(fixed_nodes=True)
            return assess(replace(owner, spec=spec), inspection, nodes, "vllm/vllm-openai:v0.32.0", known)

        return spread(owner.spec, nodes, verdict, Bounds())

    found = chosen(inspected(LLAMA_70B))
    assert found.fits is True
    assert [one.value for one in found.chosen] == [4]
    unknown = chosen(Inspection("x", error=InspectionError(Reason.HUB_UNREACHABLE, "no answer")))
    assert unknown.fits is None
    assert [one.value for one in unknown.chosen] == [4]


def test_only_nodes_in_domains_are_planned_for() -> None:
    owner = spec(**OVER_TWO, pod={"exclusiveTopology": "rack"})
    small = Node("c", (("nvidia.com/gpu.product", H100), ("rack", "1")), (("nvidia.com/gpu", 4),), ())
    assert [one.most for one in devices(owner, [racked("a", None), small])] == [4]
    assert [one.most for one in devices(owner, [racked("a", None)])] == [8], "a plan is made all the same"
    # For the loop, such nodes are of another kind, and a label that comes is noticed.
    assert kind_of(owner, racked("a", None)) != kind_of(owner, racked("a", "1"))
    assert "rack" in labels_that_count(owner)
    assert demand_of(owner) != demand_of(spec(**OVER_TWO))


def test_a_kept_template_has_a_domain_only_where_the_platform_team_says_so() -> None:
    owner = service(**OVER_TWO, pod={"exclusiveTopology": "rack"})
    template = pod_template(owner, Settings())
    assert "pod.exclusiveTopology rack is not allowed" in bars(template, Today(owner.spec, Settings()))
    allowed = Settings.model_validate({"allowedExclusiveTopologies": ["rack"]})
    assert bars(template, Today(owner.spec, allowed)) == ""
    # What is deployed stays, also where Kueue's webhook has written into its template.
    deployed = copy.deepcopy(template)
    deployed["metadata"]["annotations"] |= {
        "kueue.x-k8s.io/pod-suspending-parent": "leaderworkerset.x-k8s.io/leaderworkerset",
        "kueue.x-k8s.io/pod-group-serving": "true",
    }
    assert bars(template, Today(owner.spec, Settings(), running=[digests(deployed)])) == ""

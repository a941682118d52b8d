"""Which nodes a plan counts: those that the scheduler could choose, whatever is free on them now."""

from typing import Any

import pytest

from support.nodes import H100, L4, node
from support.snapshots import spec
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.nodes import devices, enough
from vllm_operator.snapshots.node import Node


def products(service: InferenceServiceSpec, *nodes: Node) -> list[str]:
    return [found.product for found in devices(service, nodes)]


def required(**expression: Any) -> dict[str, Any]:
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def test_products_with_what_their_nodes_say() -> None:
    nodes = [node("a", 4), node("b", 8), node("c", 1, L4), node("d", 0)]
    first, second = devices(spec(), nodes)
    assert (first.product, first.most, first.memory_mib, first.capability) == (H100, 8, 81559, "9.0")
    assert (second.product, second.most, second.memory_mib, second.capability) == (L4, 1, 23034, "8.9")
    assert enough(spec(tensorParallelSize=8), first)
    assert not enough(spec(tensorParallelSize=2), second)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, [H100, L4]),
        ({"accelerator": {"product": L4}}, [L4]),
        ({"accelerator": {"resource": "amd.com/gpu"}}, []),
        ({"pod": {"nodeSelector": {"pool": "b"}}}, [L4]),
        ({"pod": {"affinity": required(key="pool", operator="In", values=["a"])}}, [H100]),
        ({"pod": {"affinity": required(key="pool", operator="NotIn", values=["a"])}}, [L4]),
        ({"pod": {"affinity": required(key="pool", operator="DoesNotExist")}}, []),
        ({"pod": {"affinity": required(key="pool", operator="Exists")}}, [H100, L4]),
        ({"pod": {"affinity": required(key="rank", operator="Gt", values=["3"])}}, [L4]),
        ({"pod": {"affinity": required(key="rank", operator="Lt", values=["3"])}}, [H100]),
        ({"pod": {"affinity": required(key="pool", operator="Gt", values=["3"])}}, []),
    ],
)
def test_selectors(fields: dict[str, Any], found: list[str]) -> None:
    nodes = node("a", pool="a", rank="1"), node("b", 8, L4, pool="b", rank="5")
    assert products(spec(**fields), *nodes) == found


@pytest.mark.parametrize(
    ("toleration", "suits"),
    [
        (None, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "value": "yes"}, True),
        ({"key": "nvidia.com/gpu", "value": "no"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
    ],
)
def test_taints(toleration: dict[str, str] | None, *, suits: bool) -> None:
    service = spec(pod={"tolerations": [toleration]}) if toleration else spec()
    assert bool(products(service, node("a", taint="nvidia.com/gpu=yes:NoSchedule"))) == suits

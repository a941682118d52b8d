"""Which nodes a plan counts: those that the scheduler could choose, whatever is free on them now."""

from typing import Any

import pytest

from support.nodes import H100, L4, node
from support.snapshots import spec
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.nodes import UNKNOWN_REPLICAS, devices, labels_that_count
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
        ({"key": "team", "operator": "Exists"}, True),
        ({"key": "team", "value": "yes"}, True),
        ({"key": "team", "value": "no"}, False),
        ({"key": "team", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
    ],
)
def test_taints(toleration: dict[str, str] | None, *, suits: bool) -> None:
    service = spec(pod={"tolerations": [toleration]}) if toleration else spec()
    assert bool(products(service, node("a", taint="team=yes:NoSchedule"))) == suits


def test_the_taint_of_gpus_keeps_no_pods_with_gpus_away() -> None:
    assert products(spec(), node("a", taint="nvidia.com/gpu=yes:NoSchedule"))


def sliced(resource: str, **labels: str) -> Node:
    """A node with four slices of the resource."""
    return Node("a", tuple(sorted(labels.items())), ((resource, 4),), ())


@pytest.mark.parametrize(
    ("labels", "replicas"),
    [
        ({}, 1),
        ({"gpu.replicas": "1"}, 1),
        ({"gpu.replicas": "4"}, 4),
        ({"gpu.replicas": "x"}, 1),
        ({"gpu.replicas": "4", "gpu.product": "NVIDIA-L4-SHARED"}, 4),
        ({"gpu.product": "NVIDIA-L4-SHARED"}, UNKNOWN_REPLICAS),
        ({"gpu.sharing-strategy": "mps"}, UNKNOWN_REPLICAS),
        ({"gpu.sharing-strategy": "none"}, 1),
    ],
)
def test_how_often_a_gpu_is_offered(labels: dict[str, str], replicas: int) -> None:
    own = {f"nvidia.com/{name}": value for name, value in {"gpu.product": "NVIDIA-L4", **labels}.items()}
    (found,) = devices(spec(), [sliced("nvidia.com/gpu", **own)])
    assert found.replicas == replicas


def test_the_smallest_share_of_nodes_with_one_product_counts() -> None:
    own = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    nodes = [sliced("nvidia.com/gpu", **own, **{"nvidia.com/gpu.replicas": count}) for count in ("2", "4", "1")]
    assert [one.replicas for one in devices(spec(), nodes)] == [4]
    unknown = sliced("nvidia.com/gpu", **own, **{"nvidia.com/gpu.sharing-strategy": "mps"})
    assert [one.replicas for one in devices(spec(), [*nodes, unknown])] == [UNKNOWN_REPLICAS]


def test_slices_of_several_sizes_have_labels_of_their_own() -> None:
    resource = "nvidia.com/mig-1g.10gb"
    labels = {
        f"{resource}.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
        f"{resource}.memory": "9984",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.memory": "81559",
    }
    wanted = spec(accelerator={"resource": resource})
    (found,) = devices(wanted, [sliced(resource, **labels)])
    assert (found.product, found.memory_mib, found.replicas) == ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", 9984, 1)
    assert f"{resource}.memory" in labels_that_count(wanted)


def test_amds_labeller_tells_memory_in_gib() -> None:
    labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}
    (found,) = devices(spec(accelerator={"resource": "amd.com/gpu"}), [sliced("amd.com/gpu", **labels)])
    assert (found.product, found.memory_mib) == ("AMD_Instinct_MI300X_OAM", 192 * 1024)

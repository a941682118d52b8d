"""tensorParallelSize: auto on a real API server: chosen from the nodes, kept with the template, and told."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_8B, LLAMA_70B
from support.operator_process import OperatorProcess, add_account
from support.services import args, reason, service

pytestmark = pytest.mark.control_plane
H100, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"
RESTARTED: Object = {"rollout": {"restartedAt": "2026-11-24T12:00:00Z"}}


@pytest.fixture(autouse=True, scope="module")
def inspecting(operator: OperatorProcess) -> Iterator[None]:
    """An operator that knows the image of its inspect Jobs."""
    operator.restart(images={"operator": "vllm-operator:test"})
    yield
    operator.restart()


@pytest.fixture
def cheaper(operator: OperatorProcess, kube: Kube) -> Iterator[list[str]]:
    """Makes nodes with cheaper GPUs, and takes them away again."""
    names: list[str] = []
    yield names
    for name in names:
        kube.run("delete", "node", name)


def left_open(model: str = LLAMA_70B, **spec: Any) -> Object:
    """A service that leaves its GPUs to the plan."""
    gpus: Object = {"accelerator": {"resource": "nvidia.com/gpu"}, "tensorParallelSize": "auto"}
    return service(**{"model": {"uri": f"hf://{model}"}, **gpus, **spec})


def chosen(kube: Kube) -> dict[str, str]:
    """What the status says that the plan chose."""
    found = (kube.get("vis", "llama") or {}).get("status", {}).get("resolved", [])
    return {one["field"]: one["value"] for one in found if one["from"] == "plan"}


def shape(kube: Kube) -> tuple[int, str]:
    """GPUs of a pod and their product, as the Deployment has them."""
    deployment = kube.get("deployment", "llama")
    if not deployment:
        return 0, ""
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return int(container["resources"]["limits"]["nvidia.com/gpu"]), pod["nodeSelector"]["nvidia.com/gpu.product"]


def test_it_is_chosen_from_the_nodes_and_stands_until_the_user_says_so(
    kube: Kube, operator: OperatorProcess, cheaper: list[str]
) -> None:
    kube.apply(left_open())
    kube.ready("llama", 60)
    assert shape(kube) == (4, H100)
    assert "--tensor-parallel-size=4" in args(kube)
    assert chosen(kube) == {"tensorParallelSize": "4", "accelerator.product": H100}
    found = (kube.get("vis", "llama") or {})["status"]
    why = next(one["why"] for one in found["resolved"] if one["field"] == "tensorParallelSize")
    assert why == f"4 x {H100}: the only kind of GPU of this cluster that fits"
    assert found["gpus"] == 4
    cheaper += operator.control_plane.add_kwok_nodes(1, product=A100)
    operator.restart(images={"operator": "vllm-operator:test"})
    kube.run("delete", "deployment", "llama")
    kube.wait("it is made again", 30, lambda: shape(kube) == (4, H100))
    kube.apply(left_open(replicas=2))
    kube.ready("llama", 60)
    assert shape(kube) == (4, H100)
    assert "Outdated" not in conditions(kube.get("vis", "llama") or {})
    kube.apply(left_open(replicas=1, **RESTARTED))
    kube.wait("it is chosen anew", 60, lambda: shape(kube) == (4, A100))
    kube.ready("llama", 60)
    assert chosen(kube)["accelerator.product"] == A100


def test_where_nothing_fits_there_are_no_pods_until_something_does(kube: Kube) -> None:
    kube.apply(left_open(kvCache={"memoryPerGPU": "70Gi"}))
    kube.wait("it says so", 60, lambda: reason(kube, "Fits") == "NothingFits")
    assert f"8 x {H100}: " in conditions(kube.get("vis", "llama") or {})["Fits"]["message"]
    assert reason(kube) == "NothingFits"
    assert not kube.get("deployment", "llama")
    kube.merge("vis", "llama", {"spec": {"kvCache": {"memoryPerGPU": "30Gi"}}})
    kube.ready("llama", 60)
    assert shape(kube) == (4, H100)


def test_a_model_that_cannot_be_inspected_gets_no_pods(kube: Kube) -> None:
    kube.apply(left_open("org/gone"))
    kube.wait("it says so", 60, lambda: reason(kube, "Fits") == "ModelNotFound")
    assert "set a number" in conditions(kube.get("vis", "llama") or {})["Fits"]["message"]
    assert not kube.get("deployment", "llama")
    kube.merge("vis", "llama", {"spec": {"model": {"uri": f"hf://{LLAMA_8B}"}}})
    kube.ready("llama", 60)
    assert shape(kube) == (1, H100)


def test_without_a_right_to_see_nodes_it_is_refused(kube: Kube, operator: OperatorProcess) -> None:
    account = add_account(operator.control_plane, "blind", f"--set=watchNamespaces[0]={kube.namespace}")
    operator.stop()
    blind = OperatorProcess(operator.control_plane, account, "blind")
    try:
        blind.start(images={"operator": "vllm-operator:test"}, watchNamespaces=[kube.namespace])
        kube.apply(left_open())
        kube.wait("it says so", 60, lambda: reason(kube, "SpecValid") == "NodesUnreadable")
        assert "set a number" in conditions(kube.get("vis", "llama") or {})["SpecValid"]["message"]
        assert not kube.get("deployment", "llama")
    finally:
        blind.stop()
        operator.start(images={"operator": "vllm-operator:test"})

"""What the plan says of the field's cases that need nodes or a model: shared GPUs, slices, and models of 2026."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.model_reports import LLAMA_8B, REPORTS, packed
from vllm_operator.api.reasons import Reason
from vllm_operator.assess.fits import Assessment, Inspection, assess
from vllm_operator.cli.render import service_of
from vllm_operator.inspection.report import Facts, decode, encode
from vllm_operator.manifests import inspection
from vllm_operator.settings import Images, Settings
from vllm_operator.snapshots.node import Node, snapshot

HERE = Path(__file__).parent
LLAMA = decode(REPORTS[f"--hub={LLAMA_8B}"]).config
MOE = json.loads((HERE / "moe-2026.config.json").read_text())
GB10 = {"nvidia.com/gpu.product": "NVIDIA-GB10-SHARED", "nvidia.com/gpu.replicas": "8"}
SLICED_L4 = {
    "nvidia.com/gpu.product": "NVIDIA-L4-SHARED",
    "nvidia.com/gpu.replicas": "4",
    "nvidia.com/gpu.memory": "23034",
}


def node(resource: str, count: int, labels: dict[str, str], taints: Sequence[dict[str, str]] = ()) -> Node:
    """A node as the device plugin and feature discovery have it."""
    body = {
        "metadata": {"name": "a", "labels": labels},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": "8", resource: str(count)}},
    }
    return snapshot(body)


def case(name: str, **changes: Any) -> dict[str, Any]:
    """The manifest of a case, with fields of its spec changed."""
    _, manifest = yaml.safe_load_all((HERE / "cases" / f"{name}.yaml").read_text())
    return {**manifest, "spec": {**manifest["spec"], **changes}}


def planned(manifest: dict[str, Any], nodes: list[Node], config: Any = None, weights: int | None = None) -> Assessment:
    """What is said of a case on these nodes, as soon as the Job has read a model of this config."""
    facts = decode(encode(Facts(config or LLAMA, weights_bytes=weights)))
    model = Inspection("key", packed(facts))
    return assess(service_of(manifest), model, nodes, "vllm/vllm-openai:v0.32.0")


def test_a_slice_of_a_gpu_is_no_whole_gpu() -> None:
    nodes = [node("nvidia.com/gpu", 4, {**SLICED_L4, "pool": "sliced"})]
    found = planned(case("time-sliced-default"), nodes)
    assert (found.fits, found.reason) == (False, Reason.SHARE_TOO_LARGE)
    assert "92 % of NVIDIA-L4-SHARED, of which the pod has 25 %" in found.message
    assert "set kvCache.gpuMemoryUtilizationPercent to at most 22, or raise accelerator.count" in found.message


def test_ranks_never_get_slices() -> None:
    nodes = [node("nvidia.com/gpu", 4, {**SLICED_L4, "pool": "sliced"})]
    found = planned(case("time-sliced-default", tensorParallelSize=4), nodes)
    assert (found.fits, found.reason) == (False, Reason.SLICES)
    assert "set tensorParallelSize and pipelineParallelSize to 1, or use whole GPUs" in found.message


def test_a_share_of_a_gpu_is_planned_against_one_gpu() -> None:
    nodes = [node("nvidia.com/gpu", 8, GB10)]
    found = planned(case("real-time-sliced-count"), nodes)
    assert found.fits is True
    assert found.plan
    assert found.plan.capacity
    assert found.plan.capacity.memory.total == 121 * 2**30
    assert found.plan.capacity.memory.requested <= 0.75 * 121 * 2**30
    assert "nothing keeps other pods to their share" in found.message
    more = planned(case("real-time-sliced-count", kvCache={"gpuMemoryUtilizationPercent": 76}), nodes)
    assert (more.fits, more.reason) == (False, Reason.SHARE_TOO_LARGE)


def test_a_share_without_a_node_that_tells_how_many_there_are_is_unknown() -> None:
    found = planned(case("real-time-sliced-count"), [])
    assert (found.fits, found.reason) == (None, Reason.GPU_UNKNOWN)
    assert "nvidia.com/gpu.replicas" in found.message


@pytest.mark.parametrize("taint", ["nvidia.com/gpu", "team"])
def test_the_taint_of_gpu_nodes_keeps_neither_the_job_nor_the_plan_away(taint: str) -> None:
    manifest, labels = case("tainted-gpu-pool"), {"pool": "gke", "nvidia.com/gpu.product": "NVIDIA-H200"}
    found = planned(manifest, [node("nvidia.com/gpu", 8, labels, [{"key": taint, "effect": "NoSchedule"}])])
    assert (found.product == "NVIDIA-H200") is (taint == "nvidia.com/gpu")
    job = inspection(service_of(manifest), Settings(images=Images(operator="vllm-operator:1")))
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gke"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def test_the_job_has_requests_and_limits_of_all_that_a_quota_counts() -> None:
    job = inspection(service_of(case("quota-limits-cpu")), Settings(images=Images(operator="vllm-operator:1")))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory", "ephemeral-storage"}


@pytest.mark.parametrize("weights", [None, 36_000_000_000])
def test_a_mixture_of_experts_of_36_gb_does_not_fit_22(weights: int | None) -> None:
    found = planned(case("moe-2026-on-l4"), [], MOE, weights)
    assert found.fits is False
    assert found.plan
    assert found.plan.capacity
    assert found.plan.capacity.memory.weights > 33e9


def test_a_word_of_quantization_for_each_layer_is_read() -> None:
    names = [f"layers.{layer}.experts.{expert}.{part}" for layer in range(40) for expert in range(256) for part in "ab"]
    words = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}
    config = {
        **LLAMA,
        "quantization_config": {**words, "quantized_layers": {n: {"quant_algo": "FP8"} for n in names}},
    }
    found = planned(case("modelopt-config-too-large", accelerator={"product": "NVIDIA-H200"}), [], config)
    assert found.reason not in (Reason.OVER_LIMIT, Reason.UNREADABLE)
    assert found.plan

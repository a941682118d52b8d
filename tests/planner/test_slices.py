"""What one pod has of a GPU that is shared, or of a slice, and what no settings mend."""

from math import ceil

import pytest

from support.model_reports import LLAMA_8B, REPORTS
from support.snapshots import spec
from vllm_operator.api.reasons import Reason
from vllm_operator.inspection.report import decode
from vllm_operator.planner.accelerators import GIB, Gpu, find
from vllm_operator.planner.alternatives import advice
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import Plan, plan
from vllm_operator.planner.slices import CONTEXT_BYTES, is_mig, mig, shared, whole

H100 = find("H100")
assert H100
MODEL = model_of(decode(REPORTS[f"--hub={LLAMA_8B}"]).config, None, None)


def planned(devices: int, replicas: int, **fields: object) -> Plan:
    """The plan of an 8B model for some of the slices of one H100."""
    assert H100
    return plan(spec(maxModelLen=8192, **fields), MODEL, shared(H100, "NVIDIA-H100-SHARED", devices, replicas))


@pytest.mark.parametrize(
    ("product", "gib", "capability"),
    [
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", 9.75, (9, 0)),
        ("NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", 19.5, (8, 0)),
        ("NVIDIA-H200-MIG-1g.18gb", 16.0, (9, 0)),
        ("nvidia.com/mig-1g.10gb", 9.75, (0, 0)),
    ],
)
def test_the_name_of_a_slice_tells_its_memory(product: str, gib: float, capability: tuple[int, int]) -> None:
    gpu = mig(product)
    assert gpu
    assert gpu.capability == capability
    assert abs(gpu.total_bytes - gib * GIB) <= gpu.margin * gpu.total_bytes + GIB / 100


def test_other_products_are_no_slices() -> None:
    for product in ("NVIDIA-H100-80GB-HBM3", "NVIDIA-L4-SHARED", "nvidia.com/gpu", "X-MIG-9g.10gb", "X-MIG-1g"):
        assert mig(product) is None
        assert not is_mig(product)
        assert whole(product) is None


def test_a_share_is_a_part_of_the_whole_gpu() -> None:
    assert planned(1, 4).reason is Reason.SHARE_TOO_LARGE
    assert planned(1, 4, kvCache={"gpuMemoryUtilizationPercent": 24}).reason is not Reason.SHARE_TOO_LARGE
    assert planned(1, 3, kvCache={"gpuMemoryUtilizationPercent": 32}).fits is True
    assert planned(3, 4, kvCache={"gpuMemoryUtilizationPercent": 74}).fits is True
    assert planned(4, 4).fits is True
    assert "nothing keeps other pods to their share of NVIDIA-H100-SHARED" in planned(3, 4).approximate


def started(gpu: Gpu, pods: int, percent: int) -> int:
    """How many pods start one after the other on a GPU, if vLLM takes so much in each."""
    free, running = gpu.total_bytes, 0
    while running < pods:
        free -= CONTEXT_BYTES
        if free < (asked := ceil(gpu.total_bytes * percent / 100)):  # v1/worker/utils.py, `request_memory`
            break
        free, running = free - asked, running + 1
    return running


@pytest.mark.parametrize("cache", [{}, {"memoryPerGPU": "1Gi"}])
@pytest.mark.parametrize("replicas", [2, 3, 4, 8])
@pytest.mark.parametrize("name", ["H100", "H200", "L4", "T4"])
def test_all_pods_of_a_gpu_start_with_the_percentage_that_is_suggested(
    name: str, replicas: int, cache: dict[str, str]
) -> None:
    gpu = find(name)
    assert gpu
    part = shared(gpu, f"{name}-SHARED", 1, replicas)

    def said(**fields: object) -> Plan:
        return plan(spec(maxModelLen=1024, kvCache={**cache, **fields}), MODEL, part)

    assert said().reason is Reason.SHARE_TOO_LARGE
    assert ("whatever kvCache.memoryPerGPU says" in said().message) is bool(cache)
    percent = int(said().message.partition("Percent to at most ")[2].partition(",")[0])
    assert said(gpuMemoryUtilizationPercent=percent).reason is not Reason.SHARE_TOO_LARGE
    assert started(gpu, replicas, percent) == replicas
    whole = 100 // replicas  # mostly leaves too little for CUDA
    taken = said(gpuMemoryUtilizationPercent=whole).reason is not Reason.SHARE_TOO_LARGE
    assert taken is (started(gpu, replicas, whole) == replicas)


def test_a_kv_cache_of_a_size_must_fit_the_share_with_the_rest() -> None:
    half, quarter = {"gpuMemoryUtilizationPercent": 49}, {"gpuMemoryUtilizationPercent": 24}
    assert planned(2, 4, kvCache={"memoryPerGPU": "10Gi", **half}).fits is True
    assert planned(1, 4, kvCache={"memoryPerGPU": "10Gi", **quarter}).reason is Reason.WEIGHTS_TOO_LARGE
    assert planned(2, 4, kvCache={"memoryPerGPU": "30Gi", **half}).fits is False


def test_a_kv_cache_of_a_size_does_not_keep_vllm_from_asking_for_its_percentage() -> None:
    found = planned(2, 4, kvCache={"memoryPerGPU": "10Gi"})
    assert (found.fits, found.reason) == (False, Reason.SHARE_TOO_LARGE)


@pytest.mark.parametrize(
    ("devices", "replicas", "fields", "told"),
    [
        (1, 4, {"tensorParallelSize": 2}, "2 ranks cannot work together on slices"),
        (5, 4, {}, "accelerator.count takes 1.25 times what one NVIDIA-H100-SHARED is offered as"),
        (2, 1, {}, "accelerator.count takes 2 times"),
        (1, 0, {}, "no label of its nodes tells how many"),
    ],
)
def test_what_slices_cannot_do(devices: int, replicas: int, fields: dict[str, object], told: str) -> None:
    found = planned(devices, replicas, **fields)
    assert (found.fits, found.reason) == (False, Reason.SLICES)
    assert told in found.message


def test_slices_of_mig_are_no_ranks_of_one_model() -> None:
    gpu = mig("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb")
    assert gpu
    assert plan(spec(maxModelLen=8192), MODEL, gpu).fits is True
    assert plan(spec(maxModelLen=8192, tensorParallelSize=2), MODEL, gpu).reason is Reason.SLICES


def test_whole_gpus_in_the_place_of_a_slice_are_another_resource() -> None:
    gpu = mig("nvidia.com/mig-1g.10gb")
    assert gpu
    found = advice(spec(maxModelLen=8192, accelerator={"resource": "nvidia.com/mig-1g.10gb"}), MODEL, gpu)
    assert found.alternatives
    for one in found.alternatives:
        assert one.patch["accelerator"]["resource"] == "nvidia.com/gpu"
        assert "accelerator.resource: nvidia.com/gpu" in one.change

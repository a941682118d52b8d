"""The catalogue: GPUs are found by the names that people and node labels use, and none is found for another."""

import pytest

from planner.models import LLAMA_8B, spec_of
from support.real_vllm.source import code_of
from vllm_operator.planner import accelerators
from vllm_operator.planner.accelerators import CATALOGUE, GIB
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.effective import engine_of


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("H100", "H100-80GB"),
        ("h100-80gb", "H100-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB"),
        ("NVIDIA-H100-PCIe", "H100-80GB"),
        ("H100-NVL", "H100-NVL"),
        ("A100", "A100-80GB"),
        ("A800", "A800-80GB"),
        ("NVIDIA A800-SXM4-80GB", "A800-80GB"),
        ("NVIDIA-A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA-GeForce-RTX-4090", "RTX-4090"),
        ("Tesla-T4", "T4"),
        ("nvidia-l4", "L4"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
    ],
)
def test_is_found_by_names_that_are_used(name: str, found: str) -> None:
    gpu = accelerators.find(name)
    assert gpu
    assert gpu.name == found


@pytest.mark.parametrize("name", ["", "NVIDIA", "H", "H100-81GB", "A100-64GB", "V100", "GeForce", "80GB"])
def test_others_are_not_found(name: str) -> None:
    assert accelerators.find(name) is None


def test_every_entry_is_found_by_all_its_names_and_no_other_has_them() -> None:
    for gpu in CATALOGUE:
        for name in (gpu.name, *gpu.products):
            assert accelerators.find(name) == gpu, name
    assert len({gpu.cost for gpu in CATALOGUE}) == len(CATALOGUE)
    assert accelerators.names()[0] == "T4"


def test_a_label_promises_more_than_a_program_gets() -> None:
    # GPU feature discovery says 81,559 MiB of an H100, and 143,771 of an H200.
    for name, label in (("H100", 81_559), ("H200", 143_771)):
        known, guessed = accelerators.find(name), accelerators.of_label("NVIDIA-New", label, (9, 0))
        assert known
        low, high = (guessed.total_bytes * (1 + sign * guessed.margin) for sign in (-1, 1))
        assert low <= known.total_bytes <= high
        assert guessed.total_bytes < label << 20


def test_all_entries_are_plausible() -> None:
    for gpu in CATALOGUE:
        assert 10 * GIB < gpu.total_bytes < 300 * GIB
        assert gpu.vendor == "amd" or (7, 0) <= gpu.capability <= (12, 1)
        assert 0 < gpu.margin < 0.05
        assert gpu.products


def test_every_product_has_the_batch_that_vllm_takes_by_the_name_of_the_device() -> None:
    """vLLM knows nothing but the device's name and memory (engine/arg_utils.py, `get_batch_defaults`)."""
    source, model = code_of("vllm/engine/arg_utils.py"), model_of(LLAMA_8B)
    assert "device_memory >= 160 * GiB_bytes" in source
    assert "device_memory >= 70 * GiB_bytes and 'a100' not in device_name" in source
    for gpu in CATALOGUE:
        for product in gpu.products:
            large = gpu.total_bytes >= 70 * GIB and "a100" not in product.lower()
            batch = (1024, 16384) if gpu.total_bytes >= 160 * GIB else (1024, 8192) if large else (256, 2048)
            resource = {"accelerator": {"resource": "amd.com/gpu"}} if gpu.vendor == "amd" else {}
            engine = engine_of(spec_of(**resource), model, gpu)
            assert (engine.max_num_seqs, engine.max_num_batched_tokens) == batch, product

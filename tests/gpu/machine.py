"""The GPUs of this machine, asked of nvidia-smi. It starts nothing and changes no setting."""

import os
import subprocess
from importlib import metadata
from typing import Any

# What turns NVLink multicast off in NCCL, NVSHMEM and PyTorch. A machine whose NVSwitch belongs to others too sets it.
_NO_MULTICAST = {"NCCL_NVLS_ENABLE": "0", "NVSHMEM_DISABLE_NVLS": "1", "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1"}
# FlashInfer knows none of these, and vLLM 0.32 lets it sum up over GPUs, by multicast first.
_NO_FLASHINFER = {"VLLM_ALLREDUCE_USE_FLASHINFER": "0", "VLLM_ALLREDUCE_USE_SYMM_MEM": "0"}
_NO_FUSION = {"pass_config": {"fuse_allreduce_rms": False}}


def _ask(fields: str, gpu: str | None = None) -> list[list[str]]:
    """One list of values per GPU. Raises SystemExit with a sentence where there is no NVIDIA GPU."""
    which = [] if gpu is None else ["-i", gpu]
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", *which],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemExit(f"nvidia-smi does not answer: this needs a machine with NVIDIA GPUs ({error})") from error
    return [[value.strip() for value in line.split(",")] for line in answer.splitlines()]


def gpu_count() -> int:
    """How many GPUs there are."""
    return len(_ask("index"))


def name() -> str:
    """The first GPU's name, as nvidia-smi says it."""
    return _ask("name")[0][0]


def memory(gpu: str) -> int:
    """Bytes of a GPU's memory that programs can have: without what the driver keeps for itself."""
    ((free, used),) = _ask("memory.free,memory.used", gpu)
    return sum(int(value.removesuffix(" MiB")) for value in (free, used)) << 20


def processes() -> list[tuple[str, str]]:
    """What computes on the GPUs: each process's id, and the UUID of its GPU."""
    asked = ["nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    return [(pid.strip(), gpu.strip()) for pid, _, gpu in (line.partition(",") for line in said.splitlines() if line)]


def describe() -> str:
    """The GPUs, the driver and the vLLM that figures are from, on one line."""
    gpus = _ask("name,memory.total,driver_version")
    try:
        vllm = metadata.version("vllm")
    except metadata.PackageNotFoundError:
        raise SystemExit("vLLM is not installed here: install it, or run this with the Python that has it") from None
    name, memory, driver = gpus[0]
    return f"{len(gpus)} x {name}, {memory}, driver {driver}, vLLM {vllm}, torch {metadata.version('torch')}"


def without_multicast() -> tuple[dict[str, str], dict[str, Any]]:
    """What vLLM gets on several GPUs where this machine's environment turns multicast off.

    That is environment, and arguments of the engine; both are empty elsewhere: there vLLM runs as it would anyhow.
    """
    if not any(os.environ.get(name) == value for name, value in _NO_MULTICAST.items()):
        return {}, {}
    return {**_NO_MULTICAST, **_NO_FLASHINFER}, {"compilation_config": _NO_FUSION}

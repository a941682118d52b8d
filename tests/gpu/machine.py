"""The GPUs of this machine, asked of nvidia-smi. It starts nothing and changes no setting."""

import subprocess
from importlib import metadata


def _ask(fields: str) -> list[list[str]]:
    """One list of values per GPU. Raises SystemExit with a sentence where there is no NVIDIA GPU."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"],
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

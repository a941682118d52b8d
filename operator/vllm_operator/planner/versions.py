"""What a plan depends on that changes from one vLLM to the next: a row for each release whose engines were measured.

A row is chosen here, and how far another release may be from it; what the numbers mean is decided in `overhead.py`,
`activations.py` and `graphs.py`. `python -m bench.constants` makes the numbers from measured engines
(tests/planner/calibration.json) and says where one differs from what is written here.
"""

import re
from dataclasses import dataclass

from ..api.vocabulary import VLLM_VERSION
from .accelerators import MIB

_TAG = re.compile(r":v?(\d+\.\d+\.\d+)")
MINOR_MARGIN, MINOR_MARGIN_BYTES = 0.1, 100 * MIB
"""By how much the overhead may differ with each minor release: from 0.26 to 0.32 it did by half of this in the median,
and by all of it at worst."""
MOST_MINORS = 8
UNNAMED_MINORS = 1
"""An image whose tag tells no version is taken for a neighbour of the one that is shipped."""


@dataclass(frozen=True, slots=True)
class Release:
    """One measured release of vLLM."""

    version: str
    runner_for_all: bool
    """Whether the second model runner serves all models, or only dense ones and few others."""
    free_memory_counts: bool
    """Whether all counts that the GPU has less free than before (v1/worker/gpu_worker.py), so that the sampler's state
    and buffers of collective operations do, too; otherwise only weights, torch's peak and what torch does not hold."""
    libraries: int
    """Bytes that CUDA's kernels and libraries take beside torch's memory once the model has run."""
    first_runner_libraries: int
    """The same with the first model runner."""
    joined_libraries: int
    """The same with several GPUs: NCCL has loaded most of them before vLLM looks how much is free."""
    expert_libraries: int
    """What NCCL has besides for the group of ranks that share experts out."""
    piece_bytes: int
    """Of a graph of the piecewise kind for one layer and batch size, as the second runner's estimate counts it."""


RELEASES: tuple[Release, ...] = (
    Release(
        "0.26.0", runner_for_all=False, free_memory_counts=False, libraries=230 * MIB,
        first_runner_libraries=232 * MIB, joined_libraries=230 * MIB, expert_libraries=0, piece_bytes=0,
    ),
    Release(
        "0.32.0", runner_for_all=True, free_memory_counts=True, libraries=256 * MIB,
        first_runner_libraries=256 * MIB, joined_libraries=80 * MIB, expert_libraries=347 * MIB, piece_bytes=146_000,
    ),
)  # fmt: skip
"""Oldest first."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Which row a plan uses, and how far it is from the vLLM that will run."""

    release: Release
    minors: int
    """Minor releases between the two; 0: the row was measured on it."""
    version: str | None
    """The vLLM that will run; None: the image's tag does not tell it."""


def version_of(image: str | None) -> str | None:
    """The vLLM that an image's tag names; None: it names none, or there is no image."""
    tag = _TAG.search(image) if image else None
    return tag[1] if tag else None


def planned_for(image: str | None) -> Planned:
    """The row for an image. Without one the shipped vLLM is planned for."""
    version = version_of(image) if image else VLLM_VERSION
    wanted = minor(version or VLLM_VERSION)
    nearest = min(RELEASES, key=lambda row: (_distance(minor(row.version), wanted), -minor(row.version)[1]))
    minors = _distance(minor(nearest.version), wanted) if version else UNNAMED_MINORS
    return Planned(nearest, min(minors, MOST_MINORS), version)


def minor(version: str) -> tuple[int, int]:
    """The release that a version is of, without its patches."""
    first, second = version.split(".")[:2]
    return int(first), int(second)


def is_since(version: str | None, release: tuple[int, int]) -> bool:
    """Whether the vLLM is of that release or a newer one. One that nothing names counts as the shipped one."""
    return minor(version or VLLM_VERSION) >= release


def _distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    return abs(one[1] - other[1]) if one[0] == other[0] else MOST_MINORS

"""What vLLM takes of a GPU besides weights and KV cache: activations at their peak, CUDA graphs, libraries and kernels.

Each term is derived from what it is; the few constants are measured (tests/planner/calibration.json names the engines).
"""

from dataclasses import dataclass

from .accelerators import MIB
from .engine import Engine
from .quantization import DTYPE_BYTES
from .shapes import Model

LIBRARIES_BYTES = 565 * MIB
"""Kernels and workspaces that CUDA's libraries load once vLLM computes."""
LIBRARIES_EAGER_BYTES = 331 * MIB
CPU_PROCESS_BYTES = 565 * MIB
"""Resident memory of vLLM's engine on the CPU without weights: Python, torch and what both import (vLLM 0.32)."""
STARTED_BYTES = 256 * MIB
"""Less than what CUDA's context takes of any GPU before vLLM looks how much is free."""
CPU_STARTED_BYTES = 850 * MIB
"""The same on the CPU: vLLM's processes before they load anything (0.32)."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes on one GPU."""

    activation: int
    graphs: int
    other: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.activation + self.graphs + self.other


def overhead(model: Model, engine: Engine) -> Overhead:
    """The overhead of one rank."""
    if engine.on_cpu:
        return Overhead(activation_bytes(model, engine), 0, CPU_PROCESS_BYTES)
    other = LIBRARIES_EAGER_BYTES if engine.eager else LIBRARIES_BYTES
    return Overhead(activation_bytes(model, engine), 0, other)


def activation_bytes(model: Model, engine: Engine) -> int:
    """Peak of the pass over a full batch: hidden states, residual, and the widest matrix's inputs and outputs."""
    size, tokens = DTYPE_BYTES[engine.dtype], engine.max_num_batched_tokens
    width = model.intermediate // engine.ranks.tensor
    forward = tokens * size * (2 * model.hidden + 3 * width)
    logits = engine.max_num_seqs * model.vocabulary * (size + 4) + tokens * model.hidden * size
    return max(forward, logits)

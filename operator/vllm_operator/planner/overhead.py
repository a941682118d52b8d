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
    other = LIBRARIES_EAGER_BYTES if engine.eager else LIBRARIES_BYTES
    return Overhead(activation_bytes(model, engine), 0, other)


def activation_bytes(model: Model, engine: Engine) -> int:
    """Peak of the pass over a full batch: hidden states, residual, and the widest matrix's inputs and outputs."""
    size, tokens = DTYPE_BYTES[engine.dtype], engine.max_num_batched_tokens
    width = model.intermediate // engine.ranks.tensor
    forward = tokens * size * (2 * model.hidden + 3 * width)
    logits = engine.max_num_seqs * model.vocabulary * (size + 4) + tokens * model.hidden * size
    return max(forward, logits)

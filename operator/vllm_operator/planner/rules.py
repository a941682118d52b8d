"""What a refusal is made of: the names of the rules, the question that a rule answers, and the answer.

The rules themselves are in `refusals.py`, `methods.py` (quantizations) and `splits.py` (parallel sizes).
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..api import InferenceServiceSpec
from ..api.reasons import Reason
from .accelerators import Gpu
from .engine import Engine
from .quantization import Scheme
from .shapes import Model

Rule = Reason
"""What a rule refuses is a reason of the condition `Fits`."""
SPLITS = frozenset({
    Rule.ATTENTION_HEADS, Rule.KV_HEADS, Rule.INTERMEDIATE, Rule.EXPERT_WIDTH, Rule.VOCABULARY, Rule.STATE_HEADS,
    Rule.QUANTIZATION_GROUP, Rule.FP8_BLOCK,
})  # fmt: skip
"""Rules on parallel sizes: where one is broken, there are no bytes per rank to speak of."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why vLLM would not start, and what to do."""

    rule: Rule
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """All that a rule may look at."""

    spec: InferenceServiceSpec
    model: Model
    engine: Engine
    gpu: Gpu
    scheme: Scheme | None
    """How the weights are stored; None: not known."""
    gpus_per_node: int | None = None
    """GPUs of the largest node that the service may run on; None: not known."""

    @property
    def capability(self) -> tuple[int, int] | None:
        """CUDA's compute capability; None where there is none, or it is not known."""
        known = self.gpu.vendor == "nvidia" and self.gpu.capability > (0, 0)
        return self.gpu.capability if known else None

    @property
    def capability_words(self) -> str:
        """The GPU and its capability, for a message."""
        major, minor = self.gpu.capability
        return f"{self.gpu.name} has {major}.{minor}"


Check = Callable[[Question], Refusal | None]

"""What a refusal is made of: the names of the rules, the question that a rule answers, and the answer.

The rules themselves are in `refusals.py`, `methods.py` and `unserved.py` (quantizations), `splits.py` (parallel sizes)
and `backends.py` (types of the KV cache).
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..api import InferenceServiceSpec
from ..api.reasons import Reason
from ..api.vocabulary import VLLM_VERSION
from .accelerators import Gpu
from .effective import EngineSettings
from .quantization import Scheme
from .shapes import ModelShape
from .versions import is_since, minor

SPLITS = frozenset({
    Reason.ATTENTION_HEADS, Reason.KV_HEADS, Reason.INTERMEDIATE, Reason.EXPERT_WIDTH, Reason.VOCABULARY,
    Reason.STATE_HEADS, Reason.QUANTIZATION_GROUP, Reason.FP8_BLOCK,
})  # fmt: skip
"""Rules on parallel sizes: where one is broken, there are no bytes per rank to speak of."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why vLLM would not start, and what to do."""

    rule: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """All that a rule may look at."""

    spec: InferenceServiceSpec
    model: ModelShape
    engine: EngineSettings
    gpu: Gpu
    scheme: Scheme | None
    """How the weights are stored; None: not known."""
    gpus_per_node: int | None = None
    """GPUs of the largest node that the service may run on; None: not known."""

    @property
    def as_shipped(self) -> bool:
        """Whether it is about the vLLM of the project's own images, as far as the image's tag tells."""
        return self.engine.version is None or self.engine.version.split(".")[:2] == VLLM_VERSION.split(".")[:2]

    @property
    def is_newer(self) -> bool:
        """Whether the image's vLLM is newer than the project's own, and may do what that one does not yet."""
        return self.engine.version is not None and minor(self.engine.version) > minor(VLLM_VERSION)

    @property
    def is_older(self) -> bool:
        """Whether the image's vLLM is older than the project's own, and may do what that one no longer does."""
        return not is_since(self.engine.version, minor(VLLM_VERSION))

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

"""How far the memory that is left for the KV cache may be off, and why: one list for the verdict and for what is said.

Little where every term was measured (one Hopper GPU, a model that generates): 4 % of the overhead and 100 MiB are more
than the largest error there. Each thing that was not measured adds its share of what it could change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .accelerators import GIB, MIB, Gpu
from .effective import EngineSettings
from .headers import Weighed
from .overhead import Overhead
from .shapes import Cached, ModelShape
from .tower_pass import tower_bytes
from .versions import MINOR_MARGIN, MINOR_MARGIN_BYTES, Planned

MEASURED = (9, 0)
"""The GPUs on which engines were measured, by their compute capability."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a plan's numbers rest on."""

    model: ModelShape
    engine: EngineSettings
    gpu: Gpu
    weighed: Weighed
    overhead: Overhead
    needed: int
    """Bytes of KV cache that one sequence takes."""


class Doubt(NamedTuple):
    """One thing that the plan does not know."""

    size: float
    """Bytes that it could change."""
    why: str = ""
    """As a clause for people; "" where it is no more than the spread of what was measured."""
    only_more: bool = False
    """Whether it can only take memory, and give none."""


def margin_bytes(case: Case) -> int:
    """All doubts together."""
    return int(sum(doubt.size for doubt in _doubts(case)))


def two_sided_bytes(case: Case) -> int:
    """All doubts that may also give memory: where more than this is missing, it does not fit for sure."""
    return int(sum(doubt.size for doubt in _doubts(case) if not doubt.only_more))


def reasons(case: Case) -> tuple[str, ...]:
    """Why the numbers are approximate, as clauses; none where all was measured."""
    return tuple(dict.fromkeys(doubt.why for doubt in _doubts(case) if doubt.why))


def _doubts(case: Case) -> Iterator[Doubt]:
    yield Doubt(100 * MIB + 0.04 * case.overhead.total)
    yield from _of_weights(case)
    yield from _of_gpu(case)
    yield from _of_model(case)
    if not case.engine.on_cpu and case.engine.planned.minors:
        # Kernels, their workspaces and what is profiled change between releases.
        each = MINOR_MARGIN * case.overhead.total + MINOR_MARGIN_BYTES
        yield Doubt(case.engine.planned.minors * each, of_version(case.engine.planned))


def of_version(planned: Planned) -> str:
    """What is not known of a vLLM that was not measured."""
    nearest = planned.release.version
    if planned.version is None:
        return f"the image's tag names no version of vLLM, and {nearest} is taken"
    return f"vLLM {planned.version} was not measured, and {nearest} is the nearest"


def _of_weights(case: Case) -> Iterator[Doubt]:
    yield Doubt(case.weighed.margin, case.weighed.why)
    if offloaded := case.weighed.weights.offloaded:
        yield Doubt(0.05 * offloaded, "what weights in the host's memory take of the GPU was not measured")
    if case.model.approximate:  # neither activations nor the KV cache are known
        yield Doubt(0.5 * (case.overhead.total + case.needed), case.model.approximate)


def _of_gpu(case: Case) -> Iterator[Doubt]:
    gpu = case.gpu
    yield Doubt(gpu.margin * gpu.total_bytes, gpu.doubt)
    if gpu.share < 1:
        yield Doubt(0, f"nothing keeps other pods to their share of {gpu.name}")
    if gpu.vendor == "nvidia" and gpu.capability == (0, 0):
        yield Doubt(0, f"the compute capability of {gpu.name} is not known, so {UNCHECKED}")
    if gpu.capability != MEASURED:
        yield Doubt(0.15 * case.overhead.total, f"{WHAT} was not measured on {gpu.name}")
    ranks = case.engine.ranks
    if ranks.data > 1 and case.model.experts:
        yield Doubt(GIB + 0.15 * case.overhead.total, "what engines of a pod exchange was not measured")
    if ranks.engine_gpus > 1:
        # Buffers of collective operations, which depend on how the GPUs are connected.
        yield Doubt(256 * MIB)


WHAT = "what vLLM itself takes"
UNCHECKED = "rules on what the GPU can compute were not checked"


def _of_model(case: Case) -> Iterator[Doubt]:
    model, engine = case.model, case.engine
    drafts = engine.speculative_tokens and engine.speculative_method != "ngram"
    if model.pooling or drafts:
        what = "models that do not generate" if model.pooling else "a draft model"
        yield Doubt(0.15 * case.overhead.total, f"{WHAT} was not measured with {what}")
    if drafts:
        yield _of_draft(case)
    if any(layer.cache and layer.cache.kind is Cached.LATENT for layer in model.layers):
        # Which tensors of MLA leave room for attention's parts was seen for two models.
        yield Doubt(0.3 * case.overhead.graphs)
    if engine.lora and model.experts:
        yield Doubt(0.15 * case.overhead.activation, f"{WHAT} was not measured with adapters of experts")
    if engine.tuned:
        # Other graphs, other kernels: each has a workspace of its own.
        yield Doubt(0.15 * case.overhead.total + case.overhead.graphs, f"{WHAT} was not measured with {engine.tuned}")
    if model.multimodal and model.sight is None:
        yield Doubt(GIB, "the pass through the vision tower was not measured")
    if model.sight:
        size = 0.1 * tower_bytes(model, engine)
        yield Doubt(
            size, "" if model.sight.measured else "how large images may be is not known of the model's processor"
        )


def _of_draft(case: Case) -> Doubt:
    """A draft model is no larger than the one that it guesses for, nor is its KV cache; heads are a tenth of it."""
    engine, weights = case.engine, case.weighed.weights.total
    own = engine.speculative_method == "draft_model"
    whole = engine.ranks.tensor if engine.draft_ranks == 1 else 1  # not split, it is larger beside each rank's share
    cache = 0 if engine.auto else case.needed  # sequences are shortened to what is left
    most = weights + cache if own else 0.1 * weights
    return Doubt(whole * most, "the size of the draft model is not known", own)

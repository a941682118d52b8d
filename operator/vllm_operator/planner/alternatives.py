"""What else would fit: other parallel sizes, a smaller KV cache type, fp8 weights, a shorter context, another GPU.

Each alternative is a change of the spec that was planned like the spec itself. Nothing here is estimated apart.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Any

from ..api import InferenceServiceSpec
from .accelerators import CATALOGUE, Gpu
from .asked import as_asked
from .effective import engine_of
from .extras import value_of
from .plan import Plan, plan
from .quantization import method_of
from .shapes import ModelShape
from .slices import is_mig
from .survey import GPUS_PER_NODE, PerNode, Shape, known, sizes_of, survey

FEWEST_TOKENS = 2048
"""A shorter context is not worth a suggestion."""
_STEP = 1024
MOST_SERVER_GPUS, MOST_CARDS = 4, 2
"""Other GPUs that are offered: of those of servers, and of those for consumers and workstations."""
_FP8_GPU = (8, 9)

Patch = Mapping[str, Any]


class Loss(IntFlag):
    """What is given up. A set within another is less, and a lower number too."""

    NONE = 0
    KV_CACHE_PRECISION = 1
    WEIGHT_PRECISION = 2
    CONTEXT = 4


@dataclass(frozen=True, slots=True)
class Alternative:
    """A change of the service with which it fits."""

    change: str
    """What to write, or which GPU to take."""
    patch: Patch
    """The same as a merge patch (RFC 7386) of the spec."""
    plan: Plan
    loss: Loss

    @property
    def price(self) -> float:
        """Price rank of one replica, in no unit; infinite where the GPU's is not known."""
        return self.plan.gpu.cost * self.plan.gpus_per_replica

    @property
    def order(self) -> tuple[float, int, int]:
        """Cheapest first; of equal price fewer GPUs, then less loss."""
        return self.price, self.plan.gpus_per_replica, int(self.loss)


@dataclass(frozen=True, slots=True)
class Advice:
    """What else there is for a service."""

    alternatives: tuple[Alternative, ...]
    none: str = ""
    """Why there is no alternative, as a sentence; "" where there is one, or the service fits as it is."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What stays the same in all alternatives."""

    spec: InferenceServiceSpec
    model: ModelShape
    gpu: Gpu
    per_node: PerNode

    @property
    def most_gpus(self) -> int | None:
        """GPUs of the largest node, where that is known."""
        return known(self.per_node, self.gpu)

    def planned(self, patch: Patch) -> Plan:
        """The plan with the spec changed."""
        return plan(patched(self.spec, patch), self.model, self.gpu, self.most_gpus)


def advice(
    spec: InferenceServiceSpec,
    model: ModelShape,
    gpu: Gpu,
    gpus_per_node: PerNode = None,
    catalogue: Iterable[Gpu] = CATALOGUE,
) -> Advice:
    """Changes with which the service fits, cheapest first. For one that fits: only those that are cheaper.

    None loses what another with as many GPUs keeps. `catalogue`: GPUs that may be taken instead, those of the cluster
    for example, each with its price. Takes some tens of milliseconds.
    """
    case = _Case(spec, model, gpu, gpus_per_node)
    own = plan(spec, model, gpu, case.most_gpus)
    found: list[Alternative] = []
    for tensor in sizes_of(spec, model, gpu, case.most_gpus or GPUS_PER_NODE):
        most = Loss.NONE if own.fits else Loss(sum(Loss))
        found += _of_tensor_size(case, tensor, most)
    shapes = survey(spec, model, _others(case, catalogue), gpus_per_node)
    found += _cheapest([_taken(case, shape) for shape in shapes if shape.plan.fits])
    if own.fits:
        now = (gpu.cost * own.gpus_per_replica, own.gpus_per_replica)
        found = [other for other in found if other.order[:2] < now]
    kept = [other for other in found if other.patch and not any(_is_better(one, other) for one in found)]
    offered = tuple(sorted(kept, key=lambda other: other.order))
    return Advice(offered, "" if offered or own.fits else _why_none(own, shapes))


def patched(spec: InferenceServiceSpec, patch: Patch) -> InferenceServiceSpec:
    """The spec with a merge patch applied (RFC 7386, without null)."""
    return InferenceServiceSpec.model_validate(_merged(spec.to_manifest(), patch)) if patch else spec


def hints(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, gpus_per_node: int | None = None) -> tuple[str, ...]:
    """What no patch is offered for: requests without videos, and checkpoints with which the spec fits as it is."""
    return (*_without_videos(spec, model, gpu, gpus_per_node), *_checkpoints(spec, model, gpu, gpus_per_node))


def _without_videos(
    spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, gpus_per_node: int | None
) -> Iterator[str]:
    seen = as_asked(spec, model).sight
    if seen is None or len(seen.items) < 2 or value_of(spec, "limit-mm-per-prompt"):
        return
    flag = '--limit-mm-per-prompt={"video":0}'
    if plan(patched(spec, {"extraArgs": [*(spec.extra_args or ()), flag]}), model, gpu, gpus_per_node).fits:
        yield f"where no request has videos, it fits with extraArgs: ['{flag}']"


def _checkpoints(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, gpus_per_node: int | None) -> tuple[str, ...]:
    if method_of(model) or spec.quantization or not model.known:
        return ()
    kinds: dict[str, dict[str, Any]] = {
        "an fp8 checkpoint (8 bits per weight)": {"quant_method": "fp8"},
        "an AWQ checkpoint (4 bits per weight)": {"quant_method": "awq", "bits": 4, "group_size": 128},
    }
    for words, quantization in kinds.items():
        other = plan(spec, replace(model, quantization=quantization, header_bytes=None), gpu, gpus_per_node)
        if other.fits:
            return (f"{words} of the model would fit as the spec stands, if there is one",)
    return ()


def _is_better(one: Alternative, other: Alternative) -> bool:
    """Whether `one`, on the same GPU, takes no more GPUs and gives up less, of the same things."""
    if one is other or one.plan.gpu != other.plan.gpu or one.plan.gpus_per_replica > other.plan.gpus_per_replica:
        return False
    fewer = one.plan.gpus_per_replica < other.plan.gpus_per_replica
    return one.loss == Loss(one.loss & other.loss) and (fewer or one.loss != other.loss)


def _merged(base: Mapping[str, Any], patch: Patch) -> dict[str, Any]:
    result = dict(base)
    for key, value in patch.items():
        below = result.get(key)
        result[key] = (
            _merged(below if isinstance(below, Mapping) else {}, value) if isinstance(value, Mapping) else value
        )
    return result


def _of_tensor_size(case: _Case, tensor: int, most: Loss) -> Iterator[Alternative]:
    """Changes that fit with this tensor parallel size, least loss first, none that loses more than another of them."""
    start: dict[str, Any] = {} if tensor == case.spec.tensor_size else {"tensorParallelSize": tensor}
    found: list[Loss] = []
    for loss, patch in _savings(case, start):
        if loss & ~most or _holds_any(loss, found):
            continue
        tried = Alternative(_change(patch), patch, case.planned(patch), loss)
        if not tried.plan.fits and Loss.CONTEXT & most and not _holds_any(loss | Loss.CONTEXT, found):
            tried = _with_shorter_context(case, tried)
        if tried.plan.fits:
            found.append(tried.loss)
            yield tried


def _holds_any(loss: Loss, others: list[Loss]) -> bool:
    """Whether a loss has another within it, so that the other is better."""
    return any(loss & other == other for other in others)


def _with_shorter_context(case: _Case, tried: Alternative) -> Alternative:
    """The same with a length that surely fits; unchanged where there is none that is worth it."""
    capacity = tried.plan.capacity
    if capacity is None:
        return tried
    lengths = [capacity.safe_max_model_len // _STEP * _STEP]
    if case.model.sight and lengths[0] < FEWEST_TOKENS:  # the longest video that vLLM measures with is shorter, too
        lengths = [2**power for power in range(capacity.max_model_len.bit_length() - 1, 0, -1)]
    for length in lengths:
        if FEWEST_TOKENS <= length < capacity.max_model_len:
            patch = {**tried.patch, "maxModelLen": length}
            shorter = Alternative(_change(patch), patch, case.planned(patch), tried.loss | Loss.CONTEXT)
            if shorter.plan.fits or len(lengths) == 1:
                return shorter
    return tried


def _savings(case: _Case, start: dict[str, Any]) -> Iterator[tuple[Loss, dict[str, Any]]]:
    """Ways to take less memory without a shorter context, least loss first."""
    yield Loss.NONE, start
    cache = {"kvCache": {"dtype": "fp8"}} if _can_halve_cache(case) else None
    weights = {"quantization": "fp8_per_tensor"} if _can_halve_weights(case) else None
    if cache:
        yield Loss.KV_CACHE_PRECISION, {**start, **cache}
    if weights:
        yield Loss.WEIGHT_PRECISION, {**start, **weights}
    if cache and weights:
        yield Loss.KV_CACHE_PRECISION | Loss.WEIGHT_PRECISION, {**start, **cache, **weights}


def _can_halve_cache(case: _Case) -> bool:
    kv_dtype = engine_of(case.spec, case.model, case.gpu).kv_dtype
    cached = any(layer.cache for layer in case.model.layers)
    return cached and kv_dtype in {"auto", "bfloat16", "float16"} and case.gpu.capability >= _FP8_GPU


def _can_halve_weights(case: _Case) -> bool:
    plain = not method_of(case.model) and not case.spec.quantization and case.model.known
    return plain and case.gpu.capability >= _FP8_GPU


def _others(case: _Case, catalogue: Iterable[Gpu]) -> list[Gpu]:
    """GPUs that could be taken instead, cheapest first."""
    others = (gpu for gpu in catalogue if gpu.vendor == case.gpu.vendor != "cpu" and gpu.name != case.gpu.name)
    return sorted((gpu for gpu in others if gpu.products), key=lambda gpu: gpu.cost)


def _taken(case: _Case, shape: Shape) -> Alternative:
    """That so many of another GPU are taken."""
    patch: dict[str, Any] = {"accelerator": {"product": shape.plan.gpu.products[0]}}
    if is_mig(case.spec.accelerator.resource) and not shape.plan.gpu.is_slice:
        patch["accelerator"]["resource"] = "nvidia.com/gpu"
    if shape.tensor != case.spec.tensor_size:
        patch["tensorParallelSize"] = shape.tensor
    return Alternative(_change(patch), patch, shape.plan, Loss.NONE)


def _cheapest(found: list[Alternative]) -> list[Alternative]:
    """Those that are worth naming: of servers' the cheapest few, and the cheapest of each number of GPUs; few others.

    Which of them somebody may have is not known here, so neither kind hides the other.
    """
    found = sorted(found, key=lambda other: other.order)
    cards = [other for other in found if not other.plan.gpu.of_servers][:MOST_CARDS]
    servers = [other for other in found if other.plan.gpu.of_servers]
    counts = {other.plan.gpus_per_replica: other for other in reversed(servers)}
    shown = {id(other) for other in (*cards, *servers[:MOST_SERVER_GPUS], *counts.values())}
    return [other for other in found if id(other) in shown]


def _why_none(own: Plan, shapes: Iterable[Shape]) -> str:
    """Why nothing else would fit: what the roomiest of all comes to."""
    tried = [shape.plan for shape in shapes]
    best = max([own, *tried], key=lambda one: (one.capacity is not None, one.gpus_per_replica * one.gpu.total_bytes))
    kinds = f"none of {len(tried)} other GPUs fits either" if tried else "there is no other GPU to try"
    count = best.gpus_per_replica
    shape = f"{count} x {best.gpu.name}" if count > 1 else best.gpu.name
    tells = "" if best is own else f"; the roomiest, {shape}: {best.message}"
    return f"no change that was tried makes it fit, and {kinds}{tells}"


def _change(patch: Patch) -> str:
    return ", ".join(_assignments(patch))


def _assignments(patch: Patch, prefix: str = "") -> Iterator[str]:
    for key, value in patch.items():
        if isinstance(value, Mapping):
            yield from _assignments(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {value}"

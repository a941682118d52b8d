"""What else would fit: other parallel sizes, a smaller KV cache type, fp8 weights, a shorter context, another GPU.

Each alternative is a change of the spec that was planned like the spec itself. Nothing here is estimated apart.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Any

from ..api import InferenceServiceSpec
from .accelerators import CATALOGUE, Gpu
from .effective import engine_of
from .plan import Plan, plan
from .quantization import method_of, scheme_of
from .rules import Question
from .shapes import ModelShape
from .splits import tensor_sizes

GPUS_PER_NODE = 8
"""GPUs of a node, where it is not known."""
FEWEST_TOKENS = 2048
"""A shorter context is not worth a suggestion."""
_STEP = 1024
MOST_OTHER_GPUS = 4
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
    def order(self) -> tuple[int, int, int]:
        """Cheapest first: fewer GPUs, then less loss, then the GPU's price."""
        return self.plan.gpus_per_replica, int(self.loss), self.plan.gpu.cost


@dataclass(frozen=True, slots=True)
class _Case:
    """What stays the same in all alternatives."""

    spec: InferenceServiceSpec
    model: ModelShape
    gpu: Gpu
    gpus_per_node: int | None

    @property
    def most_gpus(self) -> int:
        """GPUs that one replica may take."""
        return self.gpus_per_node or GPUS_PER_NODE

    def planned(self, patch: Patch, gpu: Gpu) -> Plan:
        """The plan with the spec changed."""
        return plan(patched(self.spec, patch), self.model, gpu, self.gpus_per_node)


def alternatives(
    spec: InferenceServiceSpec,
    model: ModelShape,
    gpu: Gpu,
    gpus_per_node: int | None = None,
    catalogue: Iterable[Gpu] = CATALOGUE,
) -> tuple[Alternative, ...]:
    """Changes with which the service fits, best first. For one that fits: only those that take fewer or cheaper GPUs.

    None loses what another with as many GPUs keeps. `catalogue`: GPUs that may be taken instead, those of the cluster
    for example. Takes some tens of milliseconds.
    """
    case = _Case(spec, model, gpu, gpus_per_node)
    own = plan(spec, model, gpu, gpus_per_node)
    found: list[Alternative] = []
    for tensor in _tensor_sizes(case):
        most = Loss.NONE if own.fits else Loss(sum(Loss))
        found += _of_tensor_size(case, tensor, most)
    found += _other_gpus(case, catalogue)
    if own.fits:
        now = (own.gpus_per_replica, gpu.cost)
        found = [other for other in found if (other.plan.gpus_per_replica, other.plan.gpu.cost) < now]
    kept = [other for other in found if other.patch and not any(_is_better(one, other) for one in found)]
    return tuple(sorted(kept, key=lambda other: other.order))


def patched(spec: InferenceServiceSpec, patch: Patch) -> InferenceServiceSpec:
    """The spec with a merge patch applied (RFC 7386, without null)."""
    return InferenceServiceSpec.model_validate(_merged(spec.to_manifest(), patch)) if patch else spec


def hints(spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, gpus_per_node: int | None = None) -> tuple[str, ...]:
    """Checkpoints of the model with which the spec fits as it is: they have another name, so no patch can say it."""
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


def _tensor_sizes(case: _Case) -> list[int]:
    """Tensor parallel sizes that the model can be split by and a node has GPUs for; the spec's own first."""
    engine = engine_of(case.spec, case.model, case.gpu)
    scheme = scheme_of(case.model, case.spec.quantization)
    question = Question(case.spec, case.model, engine, case.gpu, scheme, case.gpus_per_node)
    return tensor_sizes(question, case.most_gpus // engine.ranks.pipeline)


def _of_tensor_size(case: _Case, tensor: int, most: Loss) -> Iterator[Alternative]:
    """Changes that fit with this tensor parallel size, least loss first, none that loses more than another of them."""
    start: dict[str, Any] = {} if tensor == (case.spec.tensor_parallel_size or 1) else {"tensorParallelSize": tensor}
    found: list[Loss] = []
    for loss, patch in _savings(case, start):
        if loss & ~most or _holds_any(loss, found):
            continue
        tried = Alternative(_change(patch), patch, case.planned(patch, case.gpu), loss)
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
    if capacity is None or not FEWEST_TOKENS <= capacity.safe_max_model_len < capacity.max_model_len:
        return tried
    patch = {**tried.patch, "maxModelLen": capacity.safe_max_model_len // _STEP * _STEP}
    return Alternative(_change(patch), patch, case.planned(patch, case.gpu), tried.loss | Loss.CONTEXT)


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


def _other_gpus(case: _Case, catalogue: Iterable[Gpu]) -> list[Alternative]:
    """Other GPUs that take the spec as it is, or with a smaller parallel size: the cheapest few."""
    if case.gpu.vendor != "nvidia":
        return []
    found: list[Alternative] = []
    sizes = [size for size in _tensor_sizes(case) if size <= (case.spec.tensor_parallel_size or 1)]
    for gpu in sorted(catalogue, key=lambda gpu: gpu.cost):
        if gpu.vendor != case.gpu.vendor or gpu.name == case.gpu.name or not gpu.products:
            continue
        for tensor in sizes:
            patch: dict[str, Any] = {"accelerator": {"product": gpu.products[0]}}
            if tensor != (case.spec.tensor_parallel_size or 1):
                patch["tensorParallelSize"] = tensor
            result = case.planned(patch, gpu)
            if result.fits:
                found.append(Alternative(_change(patch), patch, result, Loss.NONE))
                break
    return sorted(found, key=lambda other: other.order)[:MOST_OTHER_GPUS]


def _change(patch: Patch) -> str:
    return ", ".join(_assignments(patch))


def _assignments(patch: Patch, prefix: str = "") -> Iterator[str]:
    for key, value in patch.items():
        if isinstance(value, Mapping):
            yield from _assignments(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {value}"

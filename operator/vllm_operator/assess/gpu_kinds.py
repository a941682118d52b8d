"""What is known of a kind of device: from the catalogue, else its nodes' labels, else what the spec says. Pure."""

from collections.abc import Sequence

from ..api.base import bytes_of
from ..api.reasons import Reason
from ..api.spec import InferenceServiceSpec
from ..planner.accelerators import Gpu, find, of_label
from ..planner.slices import SHARED_SUFFIX, is_mig, mig, shared, whole
from .nodes import Devices

UNKNOWN_CAPABILITY = (0, 0)
"""The compute capability of a GPU where nothing tells it; no rule about GPUs refuses anything for it."""


class UnknownGpuError(Exception):
    """There is nothing to plan with: the reason and a sentence for people."""


def known_gpu(spec: InferenceServiceSpec, product: str, found: Sequence[Devices]) -> Gpu | None:
    """A product on these nodes, as pods of the spec get it; None: nothing tells its memory."""
    gpu = _whole(product, found) or _said(spec, product)
    return _as_shared(spec, gpu, product, found) if gpu else None


def gpu_of(spec: InferenceServiceSpec, product: str, found: Sequence[Devices]) -> Gpu:
    """As `known_gpu`. Raises UnknownGpuError where nothing tells its memory, or how many pods share it."""
    own = spec.accelerator
    if not found and (own.count or product.endswith(SHARED_SUFFIX) or own.resource.endswith(".shared")):
        raise UnknownGpuError(
            Reason.GPU_UNKNOWN,
            f"{product} is shared by pods, and no node that these could be on tells how many share one "
            "(label nvidia.com/gpu.replicas)",
        )
    if gpu := known_gpu(spec, product, found):
        return gpu
    raise UnknownGpuError(
        Reason.GPU_UNKNOWN, f"neither the catalogue nor a node's label tells {product}'s memory: set accelerator.memory"
    )


def _whole(product: str, found: Sequence[Devices]) -> Gpu | None:
    """The GPU, or the MIG slice, whoever shares it."""
    if known := find(product.removesuffix(SHARED_SUFFIX)):
        return known
    for one in found:
        if one.memory_mib:
            return of_label(product, one.memory_mib, _capability(product, one), is_slice=is_mig(product))
    return mig(product)


def _said(spec: InferenceServiceSpec, product: str) -> Gpu | None:
    """The GPU as the spec says."""
    memory = spec.accelerator.memory
    return Gpu(product, bytes_of(memory), UNKNOWN_CAPABILITY) if memory else None


def _capability(product: str, one: Devices) -> tuple[int, int]:
    major, _, minor = (one.capability or "").partition(".")
    if major:
        return int(major), int(minor or 0)
    of = whole(product)
    return of.capability if of else UNKNOWN_CAPABILITY


def _as_shared(spec: InferenceServiceSpec, gpu: Gpu, product: str, found: Sequence[Devices]) -> Gpu:
    replicas = next((one.replicas for one in found if one.product == product), 1)
    count = spec.accelerator.count or 1
    return gpu if replicas == 1 and count == 1 else shared(gpu, product, count, replicas)

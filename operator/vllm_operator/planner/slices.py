"""GPUs that several pods share, and slices of GPUs: what one pod has of them. Pure.

Time slicing (and MPS) offers each GPU several times, and keeps no memory apart: a pod may take what its devices are of
the whole, and only its own settings see to that. A MIG slice has memory of its own. Neither can be one rank of several:
two devices may be of one GPU, and slices do not reach each other.
"""

from dataclasses import replace
from re import compile as pattern

from ..api.reasons import Reason
from .accelerators import GIB, Gpu, find
from .effective import EngineSettings
from .overhead import STARTED_BYTES
from .rules import Question, Refusal

SHARED_SUFFIX = "-SHARED"
CONTEXT_BYTES = 2 * STARTED_BYTES
"""About what CUDA's context takes of a GPU for each process, beside what vLLM takes."""
_MIG = pattern(r"(?:(?P<whole>.+)-MIG-|nvidia\.com/mig-)(?P<profile>[1-7]g\.(?P<size>[0-9]{1,3})gb(?:[.+]me)?)")
# The memory of slices, against the gigabytes in their names: from 16 GiB for 18 (H200) to 9.75 for 10 (H100).
# Source: https://docs.nvidia.com/datacenter/tesla/mig-user-guide/
_LEAST, _MOST = 0.88, 0.985


def is_mig(product: str) -> bool:
    """Whether a product label, or a resource, is of MIG slices: NVIDIA-H100-80GB-HBM3-MIG-1g.10gb."""
    return _MIG.fullmatch(product) is not None


def whole(product: str) -> Gpu | None:
    """The GPU of which a MIG slice is, by its product label; None where that is not known."""
    found = _MIG.fullmatch(product)
    return find(found["whole"]) if found and found["whole"] else None


def mig(product: str) -> Gpu | None:
    """A MIG slice as its name tells; None for any other product."""
    found = _MIG.fullmatch(product)
    if found is None:
        return None
    of, size = whole(product), int(found["size"]) * GIB
    total = int(size * (_LEAST + _MOST) / 2)
    doubt = f"the memory of a slice {found['profile']} is taken from its name"
    capability = of.capability if of else (0, 0)
    return Gpu(product, total, capability, (_MOST - _LEAST) / 2, (product,), doubt=doubt, is_slice=True)


def shared(gpu: Gpu, product: str, devices: int, replicas: int) -> Gpu:
    """A GPU that is offered `replicas` times, for a pod that takes `devices` of these.

    With 0 replicas it is shared, and nothing tells how often.
    """
    share = devices / replicas if replicas else 0.0
    return replace(gpu, name=product, products=(product,), share=share, cost=gpu.cost * share)


def check(question: Question) -> Refusal | None:
    """What no settings of memory mend; None: nothing."""
    gpu, ranks = question.gpu, question.engine.ranks.gpus
    if gpu.share == 0:
        return Refusal(
            Reason.SLICES,
            f"{gpu.name} is shared by pods, and no label of its nodes tells how many (nvidia.com/gpu.replicas), so the "
            "memory of one is not known: use GPUs that are not shared",
        )
    if ranks > 1 and gpu.is_partial:
        return Refusal(
            Reason.SLICES,
            f"{ranks} ranks cannot work together on slices of {gpu.name}, which may be of one GPU: set "
            "tensorParallelSize and pipelineParallelSize to 1, or use whole GPUs",
        )
    if gpu.share > 1:
        return Refusal(
            Reason.SLICES,
            f"accelerator.count takes {gpu.share:g} times what one {gpu.name} is offered as, and vLLM runs on one: "
            "lower it, or remove it",
        )
    return None


def room(gpu: Gpu) -> int:
    """Bytes of a GPU that vLLM may take: where pods share it, the pod's without what CUDA takes for a process."""
    return gpu.own_bytes - (CONTEXT_BYTES if gpu.share < 1 else 0)


def over_share(engine: EngineSettings, gpu: Gpu, requested: int) -> str:
    """Why a pod would take more of a shared GPU than it has of it; "" where it does not.

    What CUDA takes of each process is no part of what vLLM takes, and must be within the pod's share as well: the last
    pod that starts finds no more than that (v1/worker/utils.py, `request_memory`, also with a KV cache of a set size).
    """
    if gpu.share >= 1 or requested <= room(gpu):
        return ""
    percent, most = int(100 * gpu.share), int(100 * room(gpu) / gpu.total_bytes)
    takes = "wants to find free, whatever kvCache.memoryPerGPU says," if engine.kv_cache_bytes else "is to take"
    return (
        f"vLLM {takes} {100 * engine.utilization:.0f} % of {gpu.name}, of which the pod has {percent} % less what CUDA "
        "takes of it, and time slicing keeps no memory apart: set kvCache.gpuMemoryUtilizationPercent to at most "
        f"{max(1, most)}, or raise accelerator.count"
    )

"""Amounts in the children that others calculate with too: memory, pods of a rollout, the steps of a start-up time."""

from ..api.base import bytes_of
from ..api.spec import InferenceServiceSpec
from ..vllm.argv import engines, ranks

GiB = 2**30
# What a start-up time is rounded up to, so that noise changes no autoscaler. The last is the API's longest period.
STARTUP_STEPS = (15, 30, 60, 120, 300, 600, 900, 1200, 1800)
# How long a pod may take to start where the spec says nothing.
STARTUP_TIMEOUT_SECONDS = 1800
# Beyond the drain: what is still in flight, and stopping the engine.
STOP_SECONDS = 30
# Old renderings kept, so that a spec that is put back finds its running pods' template unchanged.
KEPT_REVISIONS = 3


def surge(spec: InferenceServiceSpec) -> int:
    """Pods more than asked for during a rollout. GPUs are scarce: on a full cluster one more would wait without end."""
    return (spec.rollout.max_surge if spec.rollout else None) or 0


def shared_memory_bytes(spec: InferenceServiceSpec) -> int:
    """Size of /dev/shm in bytes. Ranks exchange tensors there, and Kubernetes' default of 64 MiB breaks NCCL."""
    count = ranks(spec)
    return GiB if count == 1 else 2 * GiB * count


def offloaded_weights_bytes(spec: InferenceServiceSpec) -> int:
    """Host memory of the weights that no GPU holds, all ranks together, in bytes.

    They are pinned, and torch takes pinned memory in powers of two (ATen/core/CachingHostAllocator.h): the matrices of
    usual models take a seventh to a third more than they have.
    """
    each = spec.weights_cpu_offload_per_gpu
    return bytes_of(each) * ranks(spec) * 3 // 2 if each else 0


def memory_beside_bytes(spec: InferenceServiceSpec) -> int:
    """What lives in the container's memory beside the process, in bytes: /dev/shm, and what GPUs keep in the host's."""
    offload = spec.kv_cache.cpu_offload if spec.kv_cache else None
    blocks = bytes_of(offload) * engines(spec) if offload else 0
    return shared_memory_bytes(spec) + blocks + offloaded_weights_bytes(spec)


def memory_limit_bytes(spec: InferenceServiceSpec) -> int | None:
    """The container's limit in bytes, with what lives in memory beside it; None where the spec sets none."""
    limit = spec.resources.limits.memory if spec.resources and spec.resources.limits else None
    return bytes_of(limit) + memory_beside_bytes(spec) if limit else None

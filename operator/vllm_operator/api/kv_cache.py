"""The KV cache of a service: how much memory it gets, how it is stored, and what others learn of it."""

from .base import ApiModel, Bytes, optional, rule, with_rules
from .fields import Flag
from .vocabulary import BlockSize, KvCacheDtype


class KvCache(ApiModel):
    """The KV cache: how much memory it gets, and how it is stored."""

    model_config = with_rules(
        rule(
            "!(has(self.gpuMemoryUtilizationPercent) && has(self.memoryPerGPU))",
            "set gpuMemoryUtilizationPercent or memoryPerGPU, not both: memoryPerGPU makes vLLM ignore the other",
        )
    )

    dtype: KvCacheDtype | None = optional(
        "Type of the stored keys and values. fp8 halves the memory per token of bfloat16.",
        "fp8",
        flag="kv-cache-dtype",
    )
    gpu_memory_utilization_percent: int | None = optional(
        "Percent of each GPU's memory that vLLM may use for everything (vLLM's default: 92).",
        90,
        flag=Flag("gpu-memory-utilization", "fraction"),
        ge=1,
        le=100,
    )
    memory_per_gpu: Bytes | None = optional(
        "Size of the KV cache on each GPU, in bytes (on the CPU: of each rank), instead of a percentage.",
        "20Gi",
        alias="memoryPerGPU",
        flag=Flag("kv-cache-memory-bytes", "bytes"),
    )
    block_size: BlockSize | None = optional("Tokens per KV cache block.", 16, flag="block-size")
    prefix_caching: bool | None = optional(
        "Whether requests that start alike share their KV cache (vLLM's default: yes).",
        True,
        flag="enable-prefix-caching",
    )
    cpu_offload: Bytes | None = optional(
        "Host memory for KV cache blocks that leave the GPU, over all ranks; added to the pod's memory request.",
        "32Gi",
        flag=Flag("kv-offloading-size", "GiB"),
    )

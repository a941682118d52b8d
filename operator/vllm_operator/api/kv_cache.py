"""The KV cache of a service: how much memory it gets, how it is stored, and what others learn of it."""

from typing import Annotated

from .base import ApiModel, Bytes, Form, Limits, more_than_zero, optional, rule, with_rules
from .fields import Flag
from .vocabulary import BlockSize, KvCacheDtype

EVENTS_PORT = 5557
"""vLLM's own, where the spec says none."""
_OFFLOAD_BACKEND = (
    "must be native: with lmcache, vLLM wants an LMCache server on the pod's node that shares its IPC namespace and "
    "GPUs, which a pod of the operator does not do"
)
# What stands for a pod's own address and name is no secret; any other reference could be.
Topic = Annotated[
    str,
    Limits(max_length=253),
    Form(
        r"([A-Za-z0-9@:._/-]|[$][(]POD_(IP|NAME)[)])+",
        "must be letters, digits and @:._/-, with $(POD_IP) or $(POD_NAME) for the pod's own",
    ),
]


class KvEvents(ApiModel):
    """Which blocks of the KV cache come and go, for a router that knows prefixes: a ZeroMQ publisher in each pod."""

    model_config = with_rules(
        rule(
            "[has(self.port) ? self.port : 5557, has(self.replayPort) ? self.replayPort : 2000]"
            ".all(p, p > 8000 || p < 7936)",
            "kvCache.events: a port from 7936 to 8000 is vLLM's own or would lead to it: choose another",
        ),
        rule(
            "!has(self.replayPort) || self.replayPort - (has(self.port) ? self.port : 5557) >= 64"
            " || (has(self.port) ? self.port : 5557) - self.replayPort >= 64",
            "kvCache.events.replayPort must be 64 or more away from port: each data parallel rank has the next one",
        ),
    )

    port: int | None = optional(
        f"Port of the pod that events are published on (vLLM's default: {EVENTS_PORT}); each data parallel rank has "
        "the next one.",
        5556,
        ge=1024,
        le=32000,
    )
    replay_port: int | None = optional(
        "Port of the pod that repeats events which a subscriber missed; omitted: none.", 6556, ge=1024, le=32000
    )
    topic: Topic | None = optional(
        "Topic of the events; $(POD_IP) and $(POD_NAME) stand for the pod's own.", "kv@$(POD_IP):8000@llama"
    )


class KvCache(ApiModel):
    """The KV cache: how much memory it gets, and how it is stored."""

    dtype: KvCacheDtype | None = optional(
        "Type of the stored keys and values. fp8 halves the memory per token of bfloat16.",
        "fp8",
        flag="kv-cache-dtype",
    )
    gpu_memory_utilization_percent: int | None = optional(
        "Percent of each GPU's memory that vLLM may use for everything, and finds free when it starts (vLLM's default: "
        "92).",
        90,
        flag=Flag("gpu-memory-utilization", "fraction"),
        ge=1,
        le=100,
    )
    memory_per_gpu: Bytes | None = optional(
        "Size of the KV cache on each GPU, in bytes (on the CPU: of each rank), whatever the percentage leaves for it; "
        "the percentage still has to be free when vLLM starts.",
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
        "Host memory for KV cache blocks that leave the GPU, over all ranks of an engine (one for each data parallel "
        "rank); added to the pod's memory request.",
        "32Gi",
        flag=Flag("kv-offloading-size", "GiB"),
        # vLLM takes 0 for a size that nobody gave, after it has set up to offload (v1/kv_offload/cpu/spec.py).
        rules=[more_than_zero("kvCache.cpuOffload", "leave it out to keep all blocks on the GPU")],
    )
    offload_backend: str | None = optional(
        "What moves blocks to host memory, with cpuOffload (vLLM's default: native).",
        "native",
        flag="kv-offloading-backend",
        max_length=32,
        rules=[rule("self == 'native'", _OFFLOAD_BACKEND)],
    )
    events: KvEvents | None = optional(
        "Events of blocks that come and go, for routers that know prefixes. They tell the tokens of prompts to whoever "
        "reaches their port, and ask for no key: set networkPolicy.",
        {"port": 5556, "topic": "kv@$(POD_IP):8000@llama"},
        flag=Flag("kv-events-config", "JSON"),
    )

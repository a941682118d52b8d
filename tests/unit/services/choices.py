"""What tests of services share: nodes that join, a pod that serves or has ended, and what a status says was chosen."""

from typing import Any

from support.kube import Object
from support.world import World
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS
from vllm_operator.services.reconcile import NODES_CHANGED

SEVENTY: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 8192,
    "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "vocab_size": 128256, "max_position_embeddings": 32768,
}  # fmt: skip

READY: Object = {
    "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
    "containerStatuses": [{"name": "vllm", "restartCount": 0, "state": {"running": {}}}],
}


# The record that stays of a pod that a node gave up.
EVICTED: Object = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": "The node was low on resource: ephemeral-storage.",
    "conditions": [{"type": "PodScheduled", "status": "True"}],
}
# A change of a spec that other pods follow from.
OTHER_PODS: dict[str, Any] = {"env": [{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}]}


def add_node(world: World, name: str, product: str, gpus: int = 8) -> None:
    """A node joins."""
    labels = {"nvidia.com/gpu.product": product}
    status = {"allocatable": {"nvidia.com/gpu": str(gpus)}}
    world.api.put(path("Node", "", name), {"metadata": {"name": name, "labels": labels}, "status": status})
    world.watch()
    world.reconcile(NODES_CHANGED)


def settle(world: World, key: Key, config: dict[str, Any] = SEVENTY) -> None:
    """Until all children are there and the status is written."""
    world.reconcile(key)
    if world.children("Job"):
        world.inspected(key.name, config)
    for _ in range(3):
        world.clock.now += FIRST_STATUS_SECONDS
        world.reconcile(key)


def chosen(world: World) -> dict[str, dict[str, str]]:
    """By field, what the status says that the plan chose."""
    return {one["field"]: one for one in world.status()["resolved"] if one["from"] == "plan"}

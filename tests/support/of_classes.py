"""Services with a ServingClass, in the loop in memory."""

from typing import Any

from support.world import NAMESPACE, World
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS


def settle(world: World, key: Key) -> None:
    """Until all children are there and the status is written."""
    world.reconcile(key)
    if world.children("Job"):
        world.inspected(key.name)
    for _ in range(3):
        world.clock.now += FIRST_STATUS_SECONDS
        world.reconcile(key)


def serving(world: World, name: str = "llama", **spec: Any) -> Key:
    """A service of what its user writes, as far as it comes."""
    key = world.service(name, **{"accelerator": {}, **spec})
    settle(world, key)
    return key


def container(world: World, name: str = "llama") -> dict[str, Any]:
    """vLLM's container in the Deployment of a service."""
    found: dict[str, Any] = world.api.objects[path("Deployment", NAMESPACE, name)]["spec"]["template"]["spec"]
    return dict(found["containers"][0])


def condition(world: World, kind: str, name: str = "llama") -> dict[str, Any] | None:
    """A condition of a service; None while it has none of this type."""
    return next((entry for entry in world.status(name)["conditions"] if entry["type"] == kind), None)

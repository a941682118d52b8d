"""How long an event waits, and what waits for no other object."""

import asyncio
from typing import Any

import kopf

from vllm_operator.manifests.names import INSTANCE_LABEL
from vllm_operator.resources import RESOURCES
from vllm_operator.services.kind import CHILD_EVENT_DELAY_SECONDS, SOURCES
from vllm_operator.watch.registration import register
from vllm_operator.watch.sources import URGENT_SECONDS
from vllm_operator.watch.watches import Watches


def queued(plural: str, status: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """What an event of an object with this status queues: the name of the service, the delay, whether it is urgent."""
    found: list[tuple[str, float, bool]] = []

    def queue(item: Any, delay: float, *, urgent: bool = False) -> None:
        found.append((item.key.name, delay, urgent))

    registry = kopf.OperatorRegistry()
    register(registry, Watches(lambda: None), [one for one in SOURCES if one.resource.plural == plural], queue)
    labels = {INSTANCE_LABEL: "llama"}
    body = {"metadata": {"name": "llama-0", "namespace": "team", "labels": labels}, "status": status}
    for handler in registry._watching.get_all_handlers():
        handle: Any = handler.fn
        asyncio.run(handle(body=body))
    return found


def test_that_a_pod_serves_is_told_before_all_else() -> None:
    plural = RESOURCES["Pod"].plural
    serves = {"conditions": [{"type": "Ready", "status": "True"}]}
    starts = {"conditions": [{"type": "Ready", "status": "False"}]}
    assert queued(plural, serves) == [("llama", URGENT_SECONDS, True)]
    assert queued(plural, starts) == queued(plural, {}) == [("llama", CHILD_EVENT_DELAY_SECONDS, False)]

"""How long an event waits, and what waits for no other object."""

import asyncio
from typing import Any

import kopf
import pytest

from vllm_operator.api import KIND
from vllm_operator.manifests.names import DOWNLOAD_LABEL, INSPECTION_LABEL, INSTANCE_LABEL
from vllm_operator.resources import RESOURCES
from vllm_operator.services.kind import CHILD_EVENT_DELAY_SECONDS, EDITED, SERVES, SOURCES
from vllm_operator.watch.registration import register
from vllm_operator.watch.sources import URGENT_SECONDS
from vllm_operator.watch.watches import Watches


def queued(
    status: dict[str, Any], *, plural: str = RESOURCES["Pod"].plural, job: str = "", kind: str | None = "MODIFIED"
) -> list[tuple[str, float, int]]:
    """What an event of an object with this status queues: the name of the service, the delay, and how urgent it is."""
    found: list[tuple[str, float, int]] = []

    def queue(item: Any, delay: float, urgency: int = 0) -> None:
        found.append((item.key.name, delay, urgency))

    registry, watches = kopf.OperatorRegistry(), Watches(lambda: None)
    watches.lists.complete = True
    register(registry, watches, [one for one in SOURCES if one.resource.plural == plural], queue)
    labels = {INSTANCE_LABEL: "llama"} | ({job: "llama"} if job else {})
    body = {
        "metadata": {"name": "llama-0", "uid": "1", "namespace": "team", "labels": labels, "generation": 2},
        "status": status,
    }
    for handler in registry._watching.get_all_handlers():
        handle: Any = handler.fn
        asyncio.run(handle(event={"type": kind, "object": body}))
    return found


def test_that_a_pod_serves_is_told_before_all_else() -> None:
    serves = {"conditions": [{"type": "Ready", "status": "True"}]}
    starts = {"conditions": [{"type": "Ready", "status": "False"}]}
    assert queued(serves) == [("llama", URGENT_SECONDS, SERVES)]
    assert queued(starts) == queued({}) == [("llama", CHILD_EVENT_DELAY_SECONDS, 0)]
    assert queued(serves, kind="DELETED") == [("llama", CHILD_EVENT_DELAY_SECONDS, 0)]
    assert queued(serves, kind=None) == [("llama", CHILD_EVENT_DELAY_SECONDS, 0)]
    assert queued(serves, plural="deployments") == [("llama", CHILD_EVENT_DELAY_SECONDS, 0)]


@pytest.mark.parametrize("job", [INSPECTION_LABEL, DOWNLOAD_LABEL])
def test_so_is_that_a_job_has_ended_for_which_the_pods_of_a_service_wait(job: str) -> None:
    for phase in ("Succeeded", "Failed"):
        assert queued({"phase": phase}, job=job) == [("llama", URGENT_SECONDS, SERVES)]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    assert queued(ready, job=job) == [("llama", CHILD_EVENT_DELAY_SECONDS, 0)]


def test_an_edit_comes_before_what_only_tells_how_it_goes() -> None:
    plural = RESOURCES[KIND].plural
    for kind in (None, "MODIFIED"):
        assert queued({"observedGeneration": 1}, plural=plural, kind=kind) == [("llama-0", 0.0, EDITED)]
        assert queued({"observedGeneration": 2}, plural=plural, kind=kind) == [("llama-0", 0.0, 0)]
        assert queued({}, plural=plural, kind=kind) == [("llama-0", 0.0, 0)]
    assert EDITED < SERVES

"""How long an event waits, and what waits for no other object."""

import asyncio
from dataclasses import replace
from typing import Any

import kopf
import pytest

from vllm_operator.api import KIND
from vllm_operator.kinds import KINDS
from vllm_operator.manifests.names import DOWNLOAD_LABEL, INSPECTION_LABEL, INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from vllm_operator.resources import RESOURCES
from vllm_operator.services.kind import CHILD_EVENT_DELAY_SECONDS, EDITED, SERVES, SOURCES
from vllm_operator.settings import Settings
from vllm_operator.watch.registration import kopf_settings, register
from vllm_operator.watch.sources import URGENT_SECONDS, Source
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


ALL = [source for kind in KINDS for source in kind.sources]
PODS = Source(RESOURCES["Pod"], {"mine": lambda body: {}}, lambda *_: [], "Mine", labelled=True)
NODES = replace(PODS, resource=RESOURCES["Node"], labelled=False)


def registered(*more: Source) -> set[str]:
    return set(register(kopf.OperatorRegistry(), Watches(lambda: None), [*ALL, *more], lambda *_, **__: None))


def test_sources_keep_what_they_have_apart() -> None:
    assert registered(PODS) == registered() | {"mine"} == registered(PODS, NODES)  # of one kind, by other uids


@pytest.mark.parametrize(
    "clash",
    [
        [replace(PODS, indices={"pods": lambda body: {}})],  # another kind's, of the same pods
        [replace(PODS, indices={"children": lambda body: {}})],  # another kind's, of other resources
        [replace(PODS, indices={"deleted children": lambda body: {}})],
        [PODS, PODS],
        [PODS, replace(PODS, owner="Other")],
        [PODS, replace(NODES, owner="Other")],
        [replace(PODS, deleted="mine")],
        [replace(PODS, deleted="gone"), replace(NODES, deleted="mine")],
    ],
)
def test_two_that_would_keep_theirs_in_one_index_are_refused(clash: list[Source]) -> None:
    with pytest.raises(ValueError, match="rename one"):
        registered(*clash)


def selectors(*more: Source) -> dict[str, str]:
    found = kopf_settings(Settings(), Watches(lambda: None), [*ALL, *more]).watching.label_selectors
    return {str(getattr(selector, "any_name", selector)): str(label) for selector, label in found.items()}


def test_a_resource_is_watched_with_one_selector() -> None:
    assert selectors(PODS, NODES) == selectors()
    assert selectors()["pods"] == f"{MANAGED_BY_LABEL}={MANAGED_BY}"
    assert "nodes" not in selectors()


@pytest.mark.parametrize(
    "other", [replace(PODS, labelled=False), replace(PODS, labelled=False, label="app"), replace(NODES, labelled=True)]
)
def test_sources_of_a_resource_that_want_other_labels_are_refused(other: Source) -> None:
    with pytest.raises(ValueError, match="differ in the label"):
        selectors(other)

"""Records of pods that a node has ended, or never took: they stay, and count as nothing but an explanation."""

import pytest

from support.kube import Object
from support.world import NAMESPACE, World, serving
from unit.services.choices import EVICTED, OTHER_PODS, READY
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.loop.write import PROGRESS_SECONDS

RECORDS: dict[str, Object] = {
    "evicted": EVICTED,
    "shut down": {"phase": "Failed", "reason": "Terminated", "message": "Pod was terminated as its node shuts down."},
    "refused": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no healthy devices present"},
    "succeeded": {"phase": "Succeeded"},
}


def types(world: World) -> set[str]:
    """The conditions that are there."""
    return {entry["type"] for entry in world.status()["conditions"]}


def looked_at(world: World, key: Key) -> None:
    """The status is written, however little has changed."""
    for _ in range(2):
        world.clock.now += PROGRESS_SECONDS
        world.reconcile(key)


def rolled(record: Object) -> tuple[World, Key]:
    """A service that was edited since, and whose new pod serves."""
    world, key = serving()
    world.pod("llama-old", status=record)
    world.service(**OTHER_PODS)
    world.reconcile(key)
    world.pod("llama-new", status={**READY, "podIP": "10.0.0.1"})
    return world, key


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
def test_one_of_an_earlier_rendering_is_no_pod(record: Object) -> None:
    world, key = rolled(record)
    looked_at(world, key)
    assert world.reason() == "Available"
    assert not {"Reconciling", "Stalled"} & types(world)
    assert (world.status()["replicas"], world.status()["readyReplicas"]) == (1, 1)


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
def test_one_of_the_current_rendering_is_no_replica(record: Object) -> None:
    world, key = serving()
    world.pod("llama-ended", status=record)
    world.pod("llama-new", status={**READY, "podIP": "10.0.0.1"})
    looked_at(world, key)
    assert (world.status()["replicas"], world.status()["readyReplicas"]) == (1, 1)
    assert not {"Reconciling", "Stalled"} & types(world)


def test_it_is_still_told_why_a_pod_was_given_up() -> None:
    world, key = serving()
    world.pod("llama-ended", status=EVICTED)
    looked_at(world, key)
    assert (world.reason(), world.status()["replicas"]) == ("Evicted", 0)
    assert "low on resource: ephemeral-storage" in world.message("Ready")


def test_what_the_pods_of_an_earlier_rendering_had_goes_all_the_same() -> None:
    world, key = rolled(EVICTED)
    world.served = frozenset({"ResourceClaimTemplate"})
    name = "llama-stale"
    owner = [{"uid": f"uid-{key.name}", "controller": True}]
    labels = {"app.kubernetes.io/instance": key.name, "app.kubernetes.io/managed-by": "vllm-operator"}
    meta = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": owner}
    world.api.put(path("ResourceClaimTemplate", NAMESPACE, name), {"kind": "ResourceClaimTemplate", "metadata": meta})
    world.watch()
    world.reconcile(key)
    assert world.children("ResourceClaimTemplate") == []

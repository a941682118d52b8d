"""The cache's claim that goes with its service, through the loop: it stays as long as pods are made that mount it."""

from typing import Any

import pytest

from support.world import NAMESPACE, World
from unit.services.choices import READY
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS

CLAIM = {"claim": {"storage": "10Gi", "retain": False}}
TOO_LONG: dict[str, Any] = {"maxModelLen": 4096}
# Edits after which the running pods are of an earlier spec, with what keeps those of the new one from being made.
EDITS: dict[str, dict[str, Any]] = {
    "withheld without a cache": TOO_LONG,
    "withheld with another claim": {**TOO_LONG, "cache": {"existingClaim": "shared"}},
    "downloads into another claim": {"cache": {"existingClaim": "shared"}},
}


def serving() -> tuple[World, Key]:
    """A service whose pod mounts the claim that was made for it."""
    world = World()
    key = world.service(cache=CLAIM)
    world.reconcile(key)
    world.inspected(commit="1" * 40)
    world.reconcile(key)
    world.downloads({"phase": "Succeeded"})
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    world.pods_of_jobs_go()
    world.pod(status=READY)
    world.reconcile(key)
    assert mounted(world) == ["llama-cache"]
    return world, key


def mounted(world: World) -> list[str]:
    """The claims that the Deployment's pods mount."""
    pod = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]["spec"]
    claims = (volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"])
    return [claim for claim in claims if claim]


def is_lost(world: World, pod: str) -> None:
    """A node is drained, and the pod has not been made again yet."""
    world.api.objects.pop(pod)
    world.watch()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("evicted", [False, True])
def test_it_stays_where_the_pods_of_an_edit_are_not_made(edit: dict[str, Any], *, evicted: bool) -> None:
    world, key = serving()
    world.service(**edit)
    if evicted:
        is_lost(world, path("Pod", NAMESPACE, "llama-1"))
    for _ in range(3):
        world.reconcile(key)
    assert mounted(world) == ["llama-cache"]
    assert world.children("PersistentVolumeClaim") == ["llama-cache"]


def test_it_stays_while_an_edit_rolls_out_and_goes_with_the_last_pod_that_mounts_it() -> None:
    world, key = serving()
    world.service()
    world.reconcile(key)
    assert mounted(world) == []
    world.pod("llama-2", status=READY)
    world.reconcile(key)
    assert world.children("PersistentVolumeClaim") == ["llama-cache"]
    is_lost(world, path("Pod", NAMESPACE, "llama-1"))
    world.reconcile(key)
    assert world.children("PersistentVolumeClaim") == []


@pytest.mark.parametrize("pruned", [False, True])
def test_a_pod_that_finishes_its_requests_holds_it_for_the_case_that_the_cache_is_put_back(*, pruned: bool) -> None:
    world, key = serving()
    world.service()
    pod = world.api.objects[path("Pod", NAMESPACE, "llama-1")]["metadata"]
    pod["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    if pruned:  # Kubernetes keeps few ReplicaSets, and its workload may have another form now
        del world.api.objects[path("ReplicaSet", NAMESPACE, "llama-5d8")]
    world.watch()
    world.reconcile(key)
    assert mounted(world) == []
    assert world.children("PersistentVolumeClaim") == ["llama-cache"]
    world.service(cache=CLAIM)
    world.reconcile(key)
    assert mounted(world) == world.children("PersistentVolumeClaim") == ["llama-cache"]


def test_a_pod_that_has_ended_for_good_does_not_hold_it() -> None:
    world, key = serving()
    world.service()
    world.api.objects[path("Pod", NAMESPACE, "llama-1")]["status"] = {"phase": "Failed", "reason": "Evicted"}
    world.watch()
    world.reconcile(key)
    assert world.children("PersistentVolumeClaim") == []


def test_it_stays_where_it_is_named_as_one_that_exists() -> None:
    world, key = serving()
    world.service(cache={"existingClaim": "llama-cache"})
    world.reconcile(key)
    assert mounted(world) == world.children("PersistentVolumeClaim") == ["llama-cache"]


def test_a_service_that_is_suspended_while_its_edit_is_withheld_keeps_its_weights() -> None:
    world, key = serving()
    is_lost(world, path("Pod", NAMESPACE, "llama-1"))
    world.service(**TOO_LONG, suspend=True)
    world.reconcile(key)
    assert world.children("PersistentVolumeClaim") == ["llama-cache"]

"""Renderings that are kept, through the loop: what runs is found again, however specs came, went and were put back."""

from typing import Any

import pytest

from support.kube import Object
from support.world import NAMESPACE, World, serving
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.manifests.amounts import KEPT_REVISIONS
from vllm_operator.manifests.names import REVISION_LABEL

# Specs by letter: each has a rendering of its own.
SPECS: dict[str, dict[str, Any]] = {
    "A": {"maxModelLen": 16}, "B": {"maxModelLen": 32}, "C": {"maxModelLen": 64}, "D": {"maxModelLen": 128},
}  # fmt: skip
WITHHELD: dict[str, Any] = {"maxModelLen": 4096}
DEPLOYMENT = path("Deployment", NAMESPACE, "llama")


def went(specs: str) -> tuple[World, Key]:
    """A service whose spec was each of these, one after the other."""
    world, key = serving(**SPECS[specs[0]])
    for spec in specs[1:]:
        goes_on(world, key, spec)
    return world, key


def goes_on(world: World, key: Key, spec: str) -> None:
    world.service(**SPECS[spec])
    world.reconcile(key)


def template(world: World) -> Object:
    found: Object = world.api.objects[DEPLOYMENT]["spec"]["template"]
    return found


def numbers(world: World) -> dict[str, int]:
    """The numbers of the kept renderings, by their revisions."""
    kept = [one for one in world.api.objects.values() if "template" in one.get("data", ())]
    return {one["metadata"]["labels"][REVISION_LABEL]: int(one["revision"]) for one in kept}


def newest(world: World) -> str:
    """The revision of the newest rendering."""
    found = numbers(world)
    return max(found, key=lambda revision: found[revision])


def kept_now(world: World) -> list[str]:
    """What the last reconcile wrote of renderings."""
    return [write for write in world.writes() if "controllerrevisions/" in write]


def rendering(revision: str) -> str:
    """The URL path of what keeps a rendering."""
    return path("ControllerRevision", NAMESPACE, f"llama-{revision}")


@pytest.mark.parametrize("specs", ["A", "AB", "ABA", "ABAB", "ABCA", "ABCBA", "ABCDA", "ABACAD"])
def test_what_is_deployed_is_the_newest_rendering_and_is_written_once(specs: str) -> None:
    world, key = went(specs)
    assert newest(world) == template(world)["metadata"]["labels"][REVISION_LABEL]
    world.reconcile(key)
    assert kept_now(world) == []
    before = numbers(world)
    world.begin()
    world.reconcile(key)
    assert numbers(world) == before, "a restart is no reason for another number"


def test_the_watch_that_lags_numbers_nothing_twice() -> None:
    world, key = went("AB")
    world.service(**SPECS["A"])
    world.reconcile(key, watched=False)
    assert len(kept_now(world)) == 1
    world.reconcile(key, watched=False)
    assert kept_now(world) == []


@pytest.mark.parametrize("before", ["ABCA", "ABACA"])
def test_what_ran_before_an_edit_is_found_as_it_was_rendered(before: str) -> None:
    world, key = went(before)
    runs = template(world)
    world.begin(image="vllm/vllm-openai:v0.99.0")
    goes_on(world, key, "D")
    assert template(world) != runs
    goes_on(world, key, "A")
    assert template(world) == runs


def test_what_has_the_oldest_number_and_is_deployed_is_not_thrown_away() -> None:
    world, key = went("ABCA")
    runs = template(world)
    url = rendering(newest(world))
    world.api.put(url, {**world.api.objects[url], "revision": 1})  # as earlier operators left it
    world.service(**SPECS["D"])
    world.begin(image="vllm/vllm-openai:v0.99.0")
    world.reconcile(key)
    goes_on(world, key, "A")
    assert template(world) == runs


def test_what_runs_while_one_edit_after_the_other_never_comes_up_is_not_thrown_away() -> None:
    world, key = went("A")
    runs = template(world)
    world.pod()
    world.begin(image="vllm/vllm-openai:v0.99.0")
    for spec in "BCDA":
        goes_on(world, key, spec)
        assert len(numbers(world)) <= KEPT_REVISIONS
    assert template(world) == runs


def test_a_deployment_that_is_deleted_while_an_edit_is_withheld_comes_back_with_what_ran() -> None:
    world, key = went("ABA")
    runs = template(world)
    world.service(**WITHHELD)
    world.reconcile(key)
    world.api.objects.pop(DEPLOYMENT)
    world.watch()
    world.reconcile(key)
    assert world.reason("Fits") == "MaxModelLenTooLong"
    assert template(world) == runs


def test_a_number_that_the_api_cannot_count_beyond_is_not_counted_beyond() -> None:
    world, key = went("AB")
    url = rendering(newest(world))
    world.api.put(url, {**world.api.objects[url], "revision": 2**63 - 1})
    for spec in "CA":
        goes_on(world, key, spec)
        assert max(numbers(world).values()) == 2**63 - 1
        world.reconcile(key)
        assert kept_now(world) == []

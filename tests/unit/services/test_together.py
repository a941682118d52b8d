"""Services of a namespace that ask the same of the same model share one inspect Job, and lose nothing by it."""

from typing import Any

from support.world import LARGE, NAMESPACE, World
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.readers.inspection import PATIENCE_SECONDS
from vllm_operator.readers.together import FRESH_SECONDS, JOBLESS_SECONDS


def look(world: World, *keys: Key) -> None:
    """At each service, and at those that came back meanwhile."""
    for key in keys:
        world.reconcile(key)
    while world.requeued:
        world.reconcile(world.requeued.pop())


def three(**spec: Any) -> tuple[World, list[Key]]:
    world = World()
    keys = [world.service(f"s{number}", **spec) for number in range(3)]
    look(world, *keys)
    return world, keys


def half_a_minute_after_one() -> World:
    """A service that was created at noon has inspected its model, and time has passed."""
    world = World()
    look(world, world.service("s0", created="2026-11-28T12:00:00Z"))
    world.inspected("s0")
    look(world, Key(NAMESPACE, "s0"))
    world.clock.now += 30
    return world


def remove(world: World, name: str) -> None:
    """A user deletes a service, and the garbage collector what it owns."""
    for url in [url for url, body in world.api.objects.items() if _owned(body, name)]:
        del world.api.objects[url]
    del world.api.objects[path("InferenceService", NAMESPACE, name)]
    world.pods_of_jobs_go()


def _owned(body: dict[str, object], name: str) -> bool:
    meta = body["metadata"]
    assert isinstance(meta, dict)
    return any(owner["uid"] == f"uid-{name}" for owner in meta.get("ownerReferences", ()))


def models(world: World) -> list[str]:
    """The services of which the model is kept."""
    return sorted(name.split("-model-")[0] for name in world.children("ControllerRevision") if "-model-" in name)


def jobs(world: World) -> list[str]:
    return sorted(name.split("-inspect-")[0] for name in world.children("Job"))


def test_one_job_tells_all_services_of_a_model() -> None:
    world, _ = three()
    assert jobs(world) == ["s0"]
    world.inspected("s0")
    look(world, Key(NAMESPACE, "s0"))
    assert models(world) == ["s0", "s1", "s2"]
    assert sorted(world.children("Deployment")) == ["s0", "s1", "s2"]
    assert jobs(world) == []


def test_what_differs_in_the_model_the_token_or_the_place_has_a_job_of_its_own() -> None:
    world, _ = three()
    look(
        world,
        world.service("other", model={"uri": "hf://a/c"}),
        world.service("revision", model={"uri": "hf://a/b", "revision": "v1"}),
        world.service("token", model={"uri": "hf://a/b", "tokenSecretRef": {"name": "hub", "key": "token"}}),
        world.service("place", pod={"nodeSelector": {"zone": "a"}}),
        world.service("anew", rollout={"restartedAt": "2026-11-24T12:00:00Z"}),
    )
    assert jobs(world) == ["anew", "other", "place", "revision", "s0", "token"]


def test_when_the_one_with_the_job_is_deleted_another_one_inspects() -> None:
    world, _ = three()
    remove(world, "s0")
    assert jobs(world) == []
    look(world, Key(NAMESPACE, "s0"))
    assert len(jobs(world)) == 1
    world.inspected(jobs(world)[0])
    look(world, Key(NAMESPACE, jobs(world)[0]))
    assert models(world) == ["s1", "s2"]


def test_when_the_one_with_the_job_names_another_model_another_one_inspects() -> None:
    world, _ = three()
    look(world, world.service("s0", model={"uri": "hf://a/c"}))
    assert sorted(jobs(world))[0] == "s0"
    assert len(jobs(world)) == 2


def test_one_that_cannot_have_a_job_is_waited_for_only_some_seconds() -> None:
    world = World()
    keys = [world.service(f"s{number}") for number in range(2)]
    world.reconcile(keys[0])
    for url in [url for url in world.api.objects if "/jobs/" in url]:
        del world.api.objects[url]  # as if it had been kept from making it
    world.watch()
    again = world.reconcile(keys[1])
    assert again is not None
    assert jobs(world) == []
    world.clock.now += JOBLESS_SECONDS + 1
    assert again <= JOBLESS_SECONDS + 1
    look(world, keys[1])
    assert jobs(world) == ["s1"]


def test_a_failure_is_told_to_all_and_a_service_that_comes_later_tries_anew() -> None:
    world, keys = three()
    world.clock.now += PATIENCE_SECONDS + 1
    look(world, *keys)
    world.clock.now += 10
    look(world, *keys)
    for name in ("s0", "s1", "s2"):
        fits = next(one for one in world.status(name)["conditions"] if one["type"] == "Fits")
        assert fits["reason"] == "NotInspected", name
    assert jobs(world) == ["s0"]
    look(world, world.service("s3"))
    assert jobs(world) == ["s0", "s3"]
    world.inspected("s3")
    look(world, Key(NAMESPACE, "s3"))
    assert models(world) == ["s0", "s1", "s2", "s3"]


def test_what_was_found_does_not_count_for_one_that_comes_later() -> None:
    world, _ = three()
    world.inspected("s0")
    look(world, Key(NAMESPACE, "s0"))
    look(world, world.service("soon"))
    assert jobs(world) == []
    assert "soon" in models(world)
    world.clock.now += FRESH_SECONDS + 1
    look(world, world.service("late"))
    assert jobs(world) == ["late"]
    world.inspected("late", LARGE)
    look(world, Key(NAMESPACE, "late"))
    assert "late" in models(world)


def test_services_that_were_created_together_share_a_job_however_late_they_are_looked_at() -> None:
    """A thousand at once: the last is looked at for the first time after half a minute."""
    world = half_a_minute_after_one()
    look(world, world.service("same", created="2026-11-28T12:00:08Z"))
    assert jobs(world) == []
    assert models(world) == ["s0", "same"]
    look(world, world.service("later", created="2026-11-28T12:00:11Z"))
    assert jobs(world) == ["later"], "the model may be another by then"


def test_one_that_was_edited_since_it_was_created_is_not_one_of_those() -> None:
    world = half_a_minute_after_one()
    world.service("edited", created="2026-11-28T12:00:08Z", model={"uri": "hf://c/d"})
    look(world, world.service("edited", created="2026-11-28T12:00:08Z"))
    assert jobs(world) == ["edited"]


def test_what_is_kept_and_deleted_by_hand_is_inspected_anew_at_once() -> None:
    world, keys = three()
    world.inspected("s0")
    look(world, *keys)
    kept = next(name for name in world.children("ControllerRevision") if name.startswith("s1-model-"))
    del world.api.objects[path("ControllerRevision", NAMESPACE, kept)]
    world.watch()
    look(world, keys[1])
    assert jobs(world) == ["s1"]


def test_nothing_is_remembered_of_services_that_are_gone() -> None:
    world, keys = three()
    for name in ("s0", "s1", "s2"):
        remove(world, name)
    look(world, *keys)
    together = world.reconciler._shared.together
    assert not together._groups
    assert not together._asked

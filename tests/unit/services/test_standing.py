"""What stands where a spec changes and asks for no other pods: restarts that are taken back, and equal specs."""

from contextlib import suppress
from typing import Any

import pytest

from support.fake_api import refusal
from support.kube import Object
from support.world import NAMESPACE, World, serving
from vllm_operator.api import resource
from vllm_operator.api.resource import Key
from vllm_operator.api.revision import former_revision_of
from vllm_operator.cluster import UnavailableError, path
from vllm_operator.manifests.names import REVISION_LABEL
from vllm_operator.manifests.pod import RESTARTED_ANNOTATION

FIRST, SECOND = ({"restartedAt": f"2026-11-2{day}T12:00:00Z"} for day in (4, 5))


def deployed(world: World) -> Object:
    template: Object = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    return template


def image(world: World) -> str:
    return str(deployed(world)["spec"]["containers"][0]["image"])


def edit(world: World, key: Key, **spec: Any) -> None:
    """A user edits the service, and its model is inspected where that is asked for."""
    jobs = world.children("Job")
    world.service(**spec)
    world.reconcile(key)
    if world.children("Job") != jobs:
        world.inspected()
    for _ in range(3):
        world.reconcile(key)


def restarted(world: World, key: Key, image: str, rollout: Object) -> None:
    """An operator with another default image begins, and a user has the pods rendered anew."""
    world.begin(image)
    edit(world, key, rollout=rollout)


@pytest.mark.parametrize("left", [{}, {"rollout": {}}, {"rollout": {"maxSurge": 1}}])
def test_a_restart_that_is_taken_out_of_the_spec_again_rolls_nothing(left: dict[str, Any]) -> None:
    world, key = serving()
    restarted(world, key, "vllm/vllm-openai:v8", FIRST)
    template = deployed(world)
    edit(world, key, **left)
    assert image(world) == "vllm/vllm-openai:v8"
    assert deployed(world) == template
    assert world.children("Job") == []
    world.begin("vllm/vllm-openai:v9")
    world.reconcile(key)
    assert deployed(world) == template
    edit(world, key, rollout=FIRST)
    assert deployed(world) == template, "the time that is in force"
    edit(world, key, rollout=SECOND)
    assert image(world) == "vllm/vllm-openai:v9"


def test_an_earlier_time_that_is_put_back_renders_the_pods_anew() -> None:
    world, key = serving()
    restarted(world, key, "vllm/vllm-openai:v7", FIRST)
    restarted(world, key, "vllm/vllm-openai:v8", SECOND)
    restarted(world, key, "vllm/vllm-openai:v9", FIRST)
    assert image(world) == "vllm/vllm-openai:v9"
    assert deployed(world)["metadata"]["annotations"][RESTARTED_ANNOTATION] == FIRST["restartedAt"]
    template = deployed(world)
    world.begin("vllm/vllm-openai:v10")
    world.reconcile(key)
    assert deployed(world) == template


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("refused", [False, True], ids=["put back", "not allowed"])
def test_a_kept_template_that_could_not_be_deleted_is_deleted_once_that_goes(status: int, *, refused: bool) -> None:
    world, key = serving(rollout=FIRST)
    first = path("ControllerRevision", NAMESPACE, f"llama-{deployed(world)['metadata']['labels'][REVISION_LABEL]}")
    edit(world, key, **({"maxModelLen": 64} if refused else {"rollout": SECOND}))
    if refused:  # it asks for what nobody may have
        world.api.objects[first]["data"]["template"]["spec"]["hostNetwork"] = True
    world.begin("vllm/vllm-openai:v9")
    world.api.objects[first]["mark"] = "the first one"  # which an apply over it would leave
    world.api.refuse["delete", first] = refusal(status, "not now")
    world.service(rollout=FIRST)
    world.reconcile(key)
    world.inspected()
    for _ in range(2):
        with suppress(UnavailableError):
            world.reconcile(key)
        assert f"delete {first.split(NAMESPACE + '/')[1]}" in world.writes()
        assert f"patch {first.split(NAMESPACE + '/')[1]}" not in world.writes(), "what it keeps is immutable"
    world.api.refuse.clear()
    world.reconcile(key)
    assert deployed(world)["metadata"]["annotations"][RESTARTED_ANNOTATION] == FIRST["restartedAt"]
    assert "mark" not in world.api.objects[first]
    world.reconcile(key)
    assert world.writes() == []


@pytest.mark.parametrize("back", [{}, {"rollout": FIRST}])
def test_a_restart_that_is_taken_back_on_its_way_rolls_no_pods_from_before(back: dict[str, Any]) -> None:
    world, key = serving()
    edit(world, key, **back)
    template = deployed(world)
    world.pod()
    restarted(world, key, "vllm/vllm-openai:broken", SECOND)
    assert image(world) == "vllm/vllm-openai:broken"
    edit(world, key, **back)
    assert deployed(world) == template


def test_what_was_rendered_last_is_found_again_also_from_another_spec() -> None:
    world, key = serving()
    restarted(world, key, "vllm/vllm-openai:v8", FIRST)
    edit(world, key)
    template = deployed(world)
    edit(world, key, maxModelLen=64)
    edit(world, key)
    assert deployed(world) == template
    assert image(world) == "vllm/vllm-openai:v8"


@pytest.mark.parametrize("empty", ["rollout", "kvCache", "pod", "resources", "tuning"])
def test_what_is_left_of_a_field_rolls_no_pods(empty: str) -> None:
    world, key = serving(**({"rollout": {"maxSurge": 1}} if empty == "rollout" else {}))
    template = deployed(world)
    world.begin("vllm/vllm-openai:v9")
    edit(world, key, **{empty: {}})
    assert deployed(world) == template


def test_a_revision_of_an_earlier_operator_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(resource, "revision_of", former_revision_of)
        world, key = serving(rollout={}, env=[])
    template = deployed(world)
    world.begin("vllm/vllm-openai:v9")
    world.reconcile(key)
    assert deployed(world) == template
    edit(world, key, replicas=2, rollout={}, env=[])
    assert deployed(world) == template
    edit(world, key, maxModelLen=64, rollout={}, env=[])
    assert deployed(world) != template
    edit(world, key, rollout={}, env=[])
    assert deployed(world) == template, "what is kept under that name is found again"

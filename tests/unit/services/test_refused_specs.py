"""A service whose spec is refused, and which runs: it keeps its pods, and gives up those that it is to have no more."""

from typing import Any

import pytest

from support.fake_api import refusal
from support.kube import Object
from support.world import CONFIG, NAMESPACE, World
from unit.services.choices import settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.services.rules import REFUSED_RETRY_SECONDS

IMAGE = "mine/vllm:v0.31.0"
DEPLOYMENT = path("Deployment", NAMESPACE, "llama")
GROUPS = path("LeaderWorkerSet", NAMESPACE, "llama-g")
FORMS: dict[str, Object] = {
    DEPLOYMENT: {"image": IMAGE},
    GROUPS: {"image": IMAGE, "nodesPerReplica": 2, "tensorParallelSize": 2, "pipelineParallelSize": 1},
}
each_form = pytest.mark.parametrize("url", FORMS, ids=["Deployment", "LeaderWorkerSet"])


def narrow(world: World, **settings: Any) -> None:
    """Another operator begins, with narrower settings."""
    world.settings = world.settings.model_copy(update=settings)
    world.begin()


def refused(**spec: Any) -> tuple[World, Key]:
    """A service that runs on an image which is not allowed any more."""
    world = World(allowed_images=("mine/*",), allowed_triggers=("cron",))
    world.served = frozenset({"LeaderWorkerSet", "RayService", "ScaledObject"})
    key = world.service(**spec)
    settle(world, key, CONFIG)
    narrow(world, allowed_images=("other/vllm*",), allowed_triggers=())
    settle(world, key, CONFIG)
    assert world.reason() == world.reason("SpecValid") == "ImageNotAllowed"
    return world, key


def edit(world: World, key: Key, **spec: Any) -> list[str]:
    """The user edits the spec. Returns what is asked for then."""
    world.service(**spec)
    world.reconcile(key)
    return [write for write in world.writes() if "events" not in write and "status" not in write]


def replicas(world: World, url: str) -> int:
    return int(world.api.objects[url]["spec"]["replicas"])


@each_form
def test_fewer_replicas_are_honoured_and_no_more_are_made(url: str) -> None:
    spec = FORMS[url]
    world, key = refused(replicas=2, **spec)
    before = world.api.objects[url]["spec"]
    assert edit(world, key, replicas=3, **spec) == []
    assert edit(world, key, replicas=1, **spec) == [f"patch {url.split(NAMESPACE + '/')[1]}"]
    assert replicas(world, url) == 1
    assert edit(world, key, replicas=2, **spec) == []
    assert world.reason() == world.reason("Stalled") == "ImageNotAllowed"
    after = world.api.objects[url]["spec"]
    parts = ("template", "leaderWorkerTemplate")
    assert [after.get(part) for part in parts] == [before.get(part) for part in parts]


@each_form
def test_a_suspension_is_honoured_and_does_not_end(url: str) -> None:
    spec = FORMS[url]
    world, key = refused(replicas=2, **spec)
    assert edit(world, key, replicas=2, suspend=True, **spec) == [f"patch {url.split(NAMESPACE + '/')[1]}"]
    assert (replicas(world, url), world.status()["wantedReplicas"], world.status()["gpus"]) == (0, 0, 0)
    world.begin()
    assert edit(world, key, replicas=2, **spec) == []
    assert replicas(world, url) == 0


def test_an_edit_that_is_refused_takes_replicas_away_all_the_same() -> None:
    world = World()
    key = world.service(replicas=3)
    settle(world, key, CONFIG)
    before = world.api.objects[DEPLOYMENT]["spec"]["template"]
    edit(world, key, replicas=1, image="elsewhere/vllm:1", maxModelLen=64, networkPolicy={"allowFrom": []})
    assert world.reason() == "ImageNotAllowed"
    assert (replicas(world, DEPLOYMENT), world.api.objects[DEPLOYMENT]["spec"]["template"]) == (1, before)
    assert world.children("NetworkPolicy") == [], "nothing else of such a spec is acted on"


def test_a_claim_that_is_not_allowed_any_more_holds_no_gpus() -> None:
    world = World(inspects=False)
    claim: Object = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": NAMESPACE, "labels": {}},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadOnlyMany"]},
    }
    world.api.put(path("PersistentVolumeClaim", NAMESPACE, "models"), claim)
    spec: Object = {"model": {"uri": "pvc://models/one"}, "replicas": 2}
    key = world.service(**spec)
    world.reconcile(key)
    narrow(world, allowed_claims={"llm": "yes"})
    edit(world, key, **spec, suspend=True)
    assert world.reason() == "ClaimNotAllowed"
    assert replicas(world, DEPLOYMENT) == 0


SCALING: Object = {"maxReplicas": 3}
KEDA: Object = {"provider": "KEDA", "triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}], **SCALING}


@pytest.mark.parametrize(("scaling", "kind"), [(SCALING, "HorizontalPodAutoscaler"), (KEDA, "ScaledObject")])
def test_an_autoscaler_goes_with_the_pods_and_none_is_made(scaling: Object, kind: str) -> None:
    world, key = refused(image=IMAGE, autoscaling=scaling)
    assert world.children(kind)
    assert edit(world, key, image=IMAGE, autoscaling={**scaling, "maxReplicas": 2}) == [], "it decides the number"
    done = edit(world, key, image=IMAGE, autoscaling=scaling, suspend=True)
    assert [one.split("/")[0] for one in done] == [f"delete {kind.lower()}s", "patch deployments"]
    assert (replicas(world, DEPLOYMENT), world.children(kind)) == (0, [])
    edit(world, key, image=IMAGE, autoscaling=scaling)
    assert world.children(kind) == []


def test_of_a_ray_cluster_none_is_made_with_fewer_workers_and_a_suspension_ends_it() -> None:
    spec: Object = {"runtime": "RayServe", "image": IMAGE}
    world, key = refused(replicas=2, **spec)
    before = world.children("RayService")
    assert len(before) == 1
    assert edit(world, key, replicas=1, **spec) == []
    assert edit(world, key, replicas=2, suspend=True, **spec) == [f"delete rayservices/{before[0]}"]


def test_what_is_not_there_is_not_made() -> None:
    world, key = refused(image=IMAGE, replicas=2)
    world.api.objects.pop(DEPLOYMENT)
    world.watch()
    assert edit(world, key, image=IMAGE, replicas=1) == []


def test_an_edited_deployment_is_left_alone_and_that_is_told_where_pods_are_to_go() -> None:
    world, key = refused(image=IMAGE, replicas=2)
    world.api.objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]["image"] = "other/vllm:1"
    world.api.edit(DEPLOYMENT)
    world.watch()
    assert edit(world, key, image=IMAGE, replicas=2, maxModelLen=64) == []
    assert "cannot be made less" not in world.message("Ready")
    assert edit(world, key, image=IMAGE, replicas=1) == []
    assert "what runs cannot be made less either: the pod template that " in world.message("Ready")


def test_what_the_api_server_refuses_is_told_and_tried_again() -> None:
    world, key = refused(image=IMAGE, replicas=2)
    world.api.refuse["patch", DEPLOYMENT] = refusal(403, "a policy is against it")
    world.service(image=IMAGE, replicas=1)
    assert world.reconcile(key) == REFUSED_RETRY_SECONDS
    assert "a policy is against it" in world.message("Ready")
    world.api.refuse.clear()
    world.reconcile(key)
    assert replicas(world, DEPLOYMENT) == 1


@pytest.mark.parametrize("suspend", [True, False])
def test_a_spec_that_cannot_be_read_says_nothing_of_replicas(*, suspend: bool) -> None:
    world = World()
    key = world.service(replicas=2)
    settle(world, key, CONFIG)
    world.service(replicas=1, suspend=suspend, env=[{"name": "Https_proxy", "value": "http://mine"}])
    world.reconcile(key)
    assert (world.reason(), replicas(world, DEPLOYMENT)) == ("Invalid", 2)

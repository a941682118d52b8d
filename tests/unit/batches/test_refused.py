"""A batch that has begun, and could not begin any more: it goes on to its end, and its GPUs are freed as it asks."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from support.batch_world import MERGED, BatchWorld
from support.kube import Object
from support.world import NAMESPACE
from vllm_operator.api import API_VERSION
from vllm_operator.batches.reconcile import LOOK_SECONDS
from vllm_operator.cluster import path
from vllm_operator.loop.write import PROGRESS_SECONDS
from vllm_operator.manifests import batch as manifests
from vllm_operator.manifests.image_volume import IMAGE_VOLUMES
from vllm_operator.services.view import NODES

IMAGE = "vllm/vllm-openai:v0.32.1"
ENGINE: Object = {
    "model": {"uri": "hf://a/b"},
    "accelerator": {"product": "NVIDIA-L4"},
    "image": IMAGE,
    "pod": {"fsGroup": 7, "nodeSelector": {"pool": "a"}},
    "tensorParallelSize": 2,
}
OF_SERVICE: Object = {"template": None, "serviceRef": {"name": "llama"}}
OF_CLASS: Object = {"template": ENGINE, "servingClassName": "h100"}
OF_IMAGE: Object = {"template": {**ENGINE, "model": {"uri": "oci://registry.example.com/llama:1"}}}
OWN: Object = {"template": ENGINE}
SERVICE, CLASS = path("InferenceService", NAMESPACE, "llama"), path("ServingClass", "", "h100")


@dataclass(frozen=True)
class Cause:
    """Why a batch of this spec could not begin any more, and the condition and the reason that say so."""

    spec: Object
    comes: Callable[[BatchWorld], object]
    condition: str
    reason: str
    edited: Object = field(default_factory=dict)
    """What its user has changed in the spec."""


def narrowed(world: BatchWorld) -> None:
    world.settings = world.settings.model_copy(update={"allowed_images": ("other/vllm*",)})


def downgraded(world: BatchWorld) -> None:
    world.served = frozenset()


CAUSES = {
    "service": Cause(OF_SERVICE, lambda world: world.api.objects.pop(SERVICE), "SpecValid", "ServiceNotFound"),
    "class": Cause(OF_CLASS, lambda world: world.api.objects.pop(CLASS), "Admitted", "ClassNotFound"),
    "setting": Cause(OWN, narrowed, "SpecValid", "ImageNotAllowed"),
    "cluster": Cause(OF_IMAGE, downgraded, "SpecValid", "ImageVolumesMissing"),
    "edit": Cause(
        OWN,
        lambda _: None,
        "SpecValid",
        "Invalid",
        {"template": {**ENGINE, "env": [{"name": "Https_proxy", "value": "http://mine"}]}},
    ),
}
each_cause = pytest.mark.parametrize("cause", CAUSES.values(), ids=list(CAUSES))


def put_service(world: BatchWorld, **spec: object) -> None:
    meta = {"name": "llama", "namespace": NAMESPACE, "uid": "uid-llama"}
    body: Object = {"apiVersion": API_VERSION, "kind": "InferenceService", "metadata": meta}
    world.api.put(SERVICE, {**body, "spec": {**ENGINE, **spec}})
    world.watch()


def made() -> BatchWorld:
    """With a service and a class, on a Kubernetes that mounts images."""
    world = BatchWorld()
    world.served = frozenset({IMAGE_VOLUMES})
    put_service(world)
    meta = {"name": "h100", "uid": "uid-h100", "creationTimestamp": "2026-11-24T12:00:00Z"}
    world.api.put(CLASS, {"apiVersion": API_VERSION, "metadata": meta, "spec": {}})
    return world


def running(spec: Object, **more: object) -> BatchWorld:
    """A batch whose run Job is there."""
    world = made()
    world.runs(**spec, **more)
    assert "run" in world.steps()
    world.reconcile()
    return world


def refuse(world: BatchWorld, cause: Cause, ago: int = 0, **more: object) -> None:
    """The cause comes, and with it an operator that remembers nothing."""
    cause.comes(world)
    world.batch(ago, **{**cause.spec, **cause.edited, **more})
    world.begin()
    world.reconcile(2)


def pod_of(world: BatchWorld, step: str) -> Object:
    """What the pods of a step are made of."""
    found: Object = world.job(step)["spec"]["template"]["spec"]
    return found


@each_cause
def test_what_runs_goes_on_and_is_merged(cause: Cause) -> None:
    world = running(cause.spec)
    of_run = pod_of(world, "run")
    refuse(world, cause)
    assert "run" in world.steps()
    assert world.condition(cause.condition) == ("False", cause.reason)
    assert "its pods go on as they were made" in world.message(cause.condition)
    assert world.condition("Ready") == world.condition("Running") == ("False", "Starting")
    assert world.condition("Stalled") == ("", "")
    assert (world.status()["gpus"], world.status()["total"], world.status()["image"]) == (2, 10, IMAGE)
    world.ends("run", {"done": 10, "failed": 0, "promptTokens": 100, "outputTokens": 50})
    world.begin()
    world.reconcile()
    of_merge = pod_of(world, "merge")
    for part in ("nodeSelector", "securityContext", "volumes"):
        assert of_merge[part] == of_run[part]
    assert of_merge["containers"][0]["image"] == of_run["containers"][0]["image"] == IMAGE
    world.ends("merge", MERGED)
    world.reconcile()
    assert world.condition("Ready") == world.condition("Complete") == ("True", "Merged")
    assert world.status()["done"] == 10
    world.reconcile(2)
    assert world.steps() == []


@each_cause
def test_a_suspension_frees_the_gpus_and_it_may_not_begin_again(cause: Cause) -> None:
    world = running(cause.spec)
    refuse(world, cause, suspend=True)
    assert world.steps() == []
    assert world.condition(cause.condition) == world.condition("Ready") == ("False", cause.reason)
    assert "what was answered is kept, and it goes on when that is mended" in world.message()
    assert (world.status()["gpus"], world.status()["total"]) == (0, 10)
    assert world.condition("InputValid") == ("True", "InputChecked")
    world.batch(**{**cause.spec, **cause.edited})
    assert world.reconcile(2) == LOOK_SECONDS
    assert world.steps() == []


@each_cause
def test_its_expiry_frees_the_gpus_and_what_was_answered_is_merged(cause: Cause) -> None:
    world = running(cause.spec, expireAfterSeconds=3600)
    refuse(world, cause, ago=3601, expireAfterSeconds=3600)
    assert world.steps() == ["merge"]
    assert world.condition(cause.condition) == ("False", cause.reason)
    assert world.condition("Complete") == ("False", "Merging")
    world.ends("merge", {**MERGED, "done": 4, "unanswered": 6})
    world.begin()
    world.reconcile()
    assert world.condition("Failed") == ("True", "Expired")
    assert world.status()["done"] == 4


@each_cause
def test_one_that_was_suspended_and_expires_says_what_its_output_waits_for(cause: Cause) -> None:
    world = running(cause.spec, expireAfterSeconds=3600)
    world.batch(**cause.spec, expireAfterSeconds=3600, suspend=True)
    world.reconcile()
    refuse(world, cause, ago=3601, expireAfterSeconds=3600)
    assert world.steps() == []
    assert world.condition(cause.condition) == ("False", cause.reason)
    assert "it has expired, and the output is made of what was answered when that is mended" in world.message()


@each_cause
def test_one_that_has_not_begun_does_not_and_expires(cause: Cause) -> None:
    world = made()
    refuse(world, cause, expireAfterSeconds=3600)
    assert world.steps() == []
    assert world.condition(cause.condition) == world.condition("Ready") == ("False", cause.reason)
    assert "what was answered" not in world.message()
    world.batch(3601, **{**cause.spec, **cause.edited, "expireAfterSeconds": 3600})
    world.reconcile()
    assert world.condition("Failed") == ("True", "Expired")
    assert world.condition(cause.condition) == ("False", cause.reason)


def test_without_a_right_to_see_nodes_none_chooses_among_their_gpus() -> None:
    world = made()
    world.batch(template={"model": {"uri": "hf://a/b"}, "accelerator": {}, "tensorParallelSize": "auto"})
    world.indices.pop(NODES, None)
    world.reconcile()
    assert world.condition("SpecValid") == ("False", "NodesUnreadable")
    assert "the operator may not read nodes" in world.message("SpecValid")
    assert world.steps() == []


def test_what_its_pods_answer_is_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_: str) -> str:
        return '{"done": 3, "failed": 1, "promptTokens": 10, "outputTokens": 10}'

    monkeypatch.setattr("vllm_operator.batches.progress.read_progress", read)
    for keeps in (True, False):
        world = running(OF_SERVICE)
        if not keeps:
            forgets_its_engine(world)
        world.api.objects.pop(SERVICE)
        world.pod("run", {"state": {"running": {}}}, ready="True")
        for _ in range(3):
            again = world.reconcile()
            assert again is not None
            assert again <= PROGRESS_SECONDS, "its pods are asked again"
            world.clock.now += PROGRESS_SECONDS
        assert (world.status()["done"], world.status()["failed"]) == (3, 1)
        assert world.condition("SpecValid") == ("False", "ServiceNotFound")
        assert world.condition("Running") == (("True", "Answering") if keeps else ("", ""))


def test_an_edit_of_the_service_changes_nothing_of_what_runs() -> None:
    world = running(OF_SERVICE)
    put_service(world, image="vllm/vllm-openai:v0.32.0", tensorParallelSize=4)
    world.ends("run")
    world.reconcile()
    assert pod_of(world, "merge")["containers"][0]["image"] == IMAGE
    assert world.status()["gpus"] == 2


def forgets_its_engine(world: BatchWorld) -> None:
    """The run Job does not say what it was made of."""
    del world.job("run")["spec"]["template"]["metadata"]["annotations"][manifests.ENGINE_ANNOTATION]


def test_without_its_engine_it_goes_on_and_is_merged_once_it_could_begin_again() -> None:
    world = running(OF_SERVICE)
    forgets_its_engine(world)
    world.api.objects.pop(SERVICE)
    world.watch()
    world.reconcile()
    assert world.condition("Ready") == world.condition("SpecValid") == ("False", "ServiceNotFound")
    assert ("run" in world.steps(), world.status()["gpus"]) == (True, 2)
    world.ends("run")
    assert world.reconcile() == LOOK_SECONDS
    assert "merge" not in world.steps()
    assert "what was answered is kept, and it goes on when that is mended" in world.message()
    put_service(world)
    world.reconcile()
    assert "merge" in world.steps()


@pytest.mark.parametrize("ends", [{"suspend": True}, {"ago": 3601}], ids=["suspended", "expired"])
def test_without_its_engine_its_gpus_are_freed_as_well(ends: Object) -> None:
    world = running(OF_SERVICE, expireAfterSeconds=3600)
    forgets_its_engine(world)
    world.api.objects.pop(SERVICE)
    world.batch(**{**OF_SERVICE, "expireAfterSeconds": 3600, **ends})
    world.reconcile()
    assert world.steps() == []


def test_claims_that_are_not_allowed_any_more_keep_no_output_from_being_made() -> None:
    world = running(OWN, expireAfterSeconds=3600)
    world.settings = world.settings.model_copy(update={"allowed_claims": {"llm": "yes"}})
    world.begin()
    world.batch(3601, **OWN, expireAfterSeconds=3600)
    world.reconcile(2)
    assert world.steps() == ["merge"]
    world.ends("merge", {**MERGED, "done": 4, "unanswered": 6})
    world.reconcile()
    assert world.condition("Failed") == ("True", "Expired")


LARGE: Object = {"template": {**ENGINE, "extraArgs": ["--seed=1" + "0" * (1 << 18)]}}
UNREADABLE: Object = {"template": ENGINE, "parallelism": 0}


@pytest.mark.parametrize("spec", [LARGE, UNREADABLE], ids=["too large", "of another version"])
@pytest.mark.parametrize("fails", [False, True])
def test_no_output_is_made_of_a_spec_that_cannot_be_read(spec: Object, *, fails: bool) -> None:
    world = running(OWN)
    world.batch(**spec)
    world.ends("run", "vllm-batch: the engine died" if fails else "", exit_code=int(fails))
    assert world.reconcile(2) == LOOK_SECONDS
    assert "merge" not in world.steps()
    assert world.condition("SpecValid") == ("False", "Invalid")
    assert "what was answered is kept, and it goes on when that is mended" in world.message()
    world.batch(**OWN)
    world.reconcile()
    assert "merge" in world.steps()
    arguments = pod_of(world, "merge")["containers"][0]["args"]
    assert {"--input=/batch/input/in.jsonl", "--output=/batch/output/out"} <= set(arguments)


def test_an_engine_that_is_too_large_for_an_annotation_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MOST_KEPT", 10)
    world = running(OWN)
    assert manifests.ENGINE_ANNOTATION not in world.job("run")["spec"]["template"]["metadata"]["annotations"]

"""Who gets the GPUs of a namespace that a class limits: services and batches are counted together."""

import pytest

from support.batch_world import KEY, MERGED, REPORT, BatchWorld
from support.kube import Object
from support.world import NAMESPACE
from vllm_operator.api import API_VERSION, BATCH_KIND, KIND
from vllm_operator.assess.limits import over_budget
from vllm_operator.batches.reconcile import LOOK_SECONDS
from vllm_operator.cluster import path
from vllm_operator.kinds import KINDS
from vllm_operator.loop.kinds import all_claimants
from vllm_operator.services.view import View

SERVICE = path(KIND, NAMESPACE, "llama")


def world(limit: int) -> BatchWorld:
    """With a class of so many GPUs a namespace."""
    made = BatchWorld()
    meta = {"name": "h100", "uid": "uid-h100", "creationTimestamp": "2026-11-24T12:00:00Z"}
    spec = {"accelerator": {"product": "NVIDIA-L4"}, "limits": {"gpusPerNamespace": limit}}
    made.api.put(path("ServingClass", "", "h100"), {"apiVersion": API_VERSION, "metadata": meta, "spec": spec})
    made.watch()
    return made


def service(made: BatchWorld, created: str, **spec: object) -> None:
    """A service of the class with two GPUs, and no pods yet."""
    body: Object = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "llama", "namespace": NAMESPACE, "uid": "uid-llama", "creationTimestamp": created},
        "spec": {"model": {"uri": "hf://a/b"}, "servingClassName": "h100", "replicas": 2, **spec},
    }
    made.api.put(SERVICE, body)
    made.watch()


def refused(made: BatchWorld) -> set[str]:
    """The kinds that have an object for which there is no room."""
    own = View(made.indices).classes(NAMESPACE).by_name["h100"]
    claimants = all_claimants(KINDS, made.indices, made.settings)(NAMESPACE, own)
    return {kind for kind, _ in over_budget(own, list(claimants))}


def waiting(limit: int = 3) -> BatchWorld:
    """A batch of two GPUs whose input is checked and whose model fits, beside an older service of two."""
    made = world(limit)
    service(made, "2026-01-01T00:00:00Z")
    made.batch(servingClassName="h100", parallelism=2)
    made.reconcile()
    made.inspected()
    made.ends("check", REPORT)
    made.reconcile(2)
    return made


def test_a_batch_waits_for_room_and_then_runs() -> None:
    made = waiting()
    assert "run" not in made.steps()
    assert made.condition("Admitted") == made.condition("Ready") == ("False", "ClassLimitExceeded")
    assert made.condition("Running") == ("False", "Withheld")
    assert made.condition("InputValid")[0] == made.condition("Fits")[0] == "True", "which takes no GPU"
    assert "allows 3 GPUs for all its services and batches in a namespace" in made.message("Admitted")
    assert made.reconcile() == LOOK_SECONDS
    del made.api.objects[SERVICE]
    made.watch()
    made.reconcile(2)
    assert "run" in made.steps()
    assert made.condition("Admitted") == ("", "")


def test_with_room_for_both_it_runs() -> None:
    assert "run" in waiting(limit=4).steps()


def test_a_suspended_service_takes_nothing() -> None:
    made = waiting()
    service(made, "2026-01-01T00:00:00Z", suspend=True)
    made.reconcile()
    assert "run" in made.steps()


def test_a_batch_with_pods_comes_before_a_service_that_has_none() -> None:
    made = world(3)
    made.runs(servingClassName="h100", parallelism=2)
    service(made, "2026-01-01T00:00:00Z")
    assert refused(made) == {KIND}
    made.reconcile(2)
    assert "run" in made.steps()


def test_a_limit_that_is_lowered_takes_no_pods_away() -> None:
    made = world(2)
    made.runs(servingClassName="h100", parallelism=2)
    body = made.api.objects[path("ServingClass", "", "h100")]
    made.api.put(path("ServingClass", "", "h100"), {**body, "spec": {"limits": {"gpusPerNamespace": 1}}})
    made.watch()
    made.reconcile(2)
    assert "run" in made.steps()
    assert made.condition("Admitted") == ("", "")


@pytest.mark.parametrize("end", ["suspended", "answered", "merged"])
def test_a_batch_that_needs_no_gpus_takes_none(end: str) -> None:
    made = world(3)
    made.runs(servingClassName="h100", parallelism=2)
    service(made, "2026-01-01T00:00:00Z")
    if end == "suspended":
        made.batch(servingClassName="h100", parallelism=2, suspend=True)
    else:
        made.ends("run", {"index": 0, "total": 10, "done": 10, "failed": 0})
    if end == "merged":
        made.reconcile()
        made.ends("merge", MERGED)
        made.reconcile(2)
    assert refused(made) == set()


JOB = path("Job", NAMESPACE, "nightly-run")


def left(made: BatchWorld, *urls: str) -> set[str]:
    """The kinds that there is no room for once these objects are gone as well."""
    for url in urls:
        del made.api.objects[url]
    made.watch()
    return refused(made)


def running(pods: int) -> tuple[BatchWorld, list[str]]:
    """A batch for two GPUs with so many pods, of which one is left beside a service of two; and the pods' paths."""
    made = world(3)
    made.runs(servingClassName="h100", parallelism=2)
    for index in range(pods):
        made.pod("run", {"state": {"running": {}}}, index)
    service(made, "2026-01-01T00:00:00Z")
    return made, [path("Pod", NAMESPACE, f"nightly-run-{index}-x") for index in range(pods)]


@pytest.mark.parametrize("pods", [0, 1, 2])
@pytest.mark.parametrize("made_again", [False, True])
def test_the_run_of_a_batch_that_was_deleted_alone_counts(pods: int, *, made_again: bool) -> None:
    """As with `kubectl delete --cascade=orphan`: the Job stays, whatever it has of its pods now."""
    made, urls = running(pods)
    made.api.objects[JOB]["metadata"]["ownerReferences"] = []
    assert left(made, path(BATCH_KIND, *KEY)) == {KIND}
    if made_again:
        made.batch(servingClassName="h100", parallelism=2, suspend=True)
        assert refused(made) == {KIND}
    made.api.objects[JOB]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert left(made) == ({KIND} if pods == 2 else set()), "its pods may end later"
    assert left(made, *urls) == set()


@pytest.mark.parametrize("step", ["suspended", "merging", "deleted"])
def test_pods_of_a_batch_count_until_they_have_ended(step: str) -> None:
    made, urls = running(2)
    if step == "suspended":
        made.batch(servingClassName="h100", parallelism=2, suspend=True)
    elif step == "merging":
        made.api.objects[JOB]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        made.watch()
        made.reconcile()
        assert "merge" in made.steps()
    else:
        del made.api.objects[path(BATCH_KIND, *KEY)]
    made.api.objects.pop(JOB, None)
    assert left(made) == {KIND}
    assert left(made, *urls) == set()


def test_what_cannot_be_read_is_not_counted() -> None:
    made = world(3)
    made.batch(servingClassName="h100")
    made.api.objects[path(BATCH_KIND, *KEY)]["spec"]["template"] = {"model": 3}
    made.watch()
    service(made, "2026-01-01T00:00:00Z")
    assert refused(made) == set()


def test_a_batch_that_runs_counts_though_its_service_is_gone() -> None:
    made = world(3)
    service(made, "2026-01-01T00:00:00Z", suspend=True)
    made.runs(template=None, serviceRef={"name": "llama"}, parallelism=2)
    del made.api.objects[SERVICE]
    service(made, "2026-01-01T00:00:00Z", replicas=2)
    renamed = made.api.objects.pop(SERVICE)
    renamed["metadata"] |= {"name": "other", "uid": "uid-other"}
    made.api.objects[path(KIND, NAMESPACE, "other")] = renamed
    made.watch()
    made.reconcile()
    assert made.condition("SpecValid") == ("False", "ServiceNotFound")
    assert refused(made) == {KIND}

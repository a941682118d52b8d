"""What serves goes for a workload of another form, or another Ray cluster, only if the API server would make that."""

from typing import Any

import pytest

from support.fake_api import FakeApi, refusal
from support.kube import Object
from support.world import CONFIG, NAMESPACE, World
from unit.services.choices import settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.manifests.kinds import WORKLOADS
from vllm_operator.resources import RESOURCES

POLICY = "admission webhook denied the request: a policy is against it"
QUOTA = "exceeded quota: q, requested: count/x=1, used: count/x=1, limited: count/x=1"
IMAGE = "mine/vllm-ray:v0.32.0"
ONE: Object = {"image": IMAGE}
GROUPS: Object = {"image": IMAGE, "nodesPerReplica": 2, "tensorParallelSize": 2, "pipelineParallelSize": 1}
RAY: Object = {"image": IMAGE, "runtime": "RayServe", "rollout": {"maxSurge": 0}}
OTHER_RAY: Object = {**RAY, "image": "mine/vllm-ray:v0.31.0"}
CHANGES = {
    "to groups": (ONE, GROUPS),
    "from groups": (GROUPS, ONE),
    "to Ray": (ONE, RAY),
    "from Ray": (RAY, ONE),
    "groups to Ray": (GROUPS, RAY),
    "another cluster": (RAY, OTHER_RAY),
}
each_change = pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)


class NoNewWorkloads(FakeApi):
    """Makes no workload, as long as it says why."""

    said = ""

    async def request(self, verb: str, url: str, **options: Any) -> Any:
        """As the API server in memory."""
        new = verb == "patch" and url not in self.objects
        if self.said and new and any(f"/{RESOURCES[kind].plural}/" in url for kind in WORKLOADS):
            self.requests.append((verb, url))
            raise refusal(403, self.said)
        return await super().request(verb, url, **options)


def serving(before: Object) -> tuple[World, Key]:
    """A service with its first workload."""
    world = World(api=NoNewWorkloads(), allowed_images=("mine/*",))
    world.served = frozenset({"LeaderWorkerSet", "RayService"})
    key = world.service(**before)
    settle(world, key, CONFIG)
    assert len(workloads(world)) == 1
    return world, key


def workloads(world: World) -> list[str]:
    """The kinds and names of those that are there."""
    return sorted(f"{kind} {name}" for kind in WORKLOADS for name in world.children(kind))


def edit(world: World, key: Key, said: str, after: Object) -> None:
    """The spec is changed while new workloads are refused for this reason; empty: while they are not."""
    assert isinstance(world.api, NoNewWorkloads)
    world.api.said = said
    world.service(**after)
    world.reconcile(key)


@each_change
def test_what_serves_stays_where_its_successor_is_refused(before: Object, after: Object) -> None:
    world, key = serving(before)
    there = workloads(world), world.api.objects[path("Service", NAMESPACE, "llama")]["spec"]
    edit(world, key, POLICY, after)
    assert (workloads(world), world.api.objects[path("Service", NAMESPACE, "llama")]["spec"]) == there
    assert (world.reason(), world.reason("Stalled")) == ("Refused", "Refused")
    assert "a policy is against it" in world.message("Ready")
    edit(world, key, "", after)
    assert len(workloads(world)) == 1
    assert workloads(world) != there[0]


@each_change
def test_it_is_asked_once_and_nothing_is_made_before_what_serves_has_gone(before: Object, after: Object) -> None:
    world, key = serving(before)
    old = workloads(world)
    edit(world, key, "", after)
    about = [one for one in world.api.requests if any(f"/{RESOURCES[kind].plural}/" in one[1] for kind in WORKLOADS)]
    assert [verb for verb, _ in about] == ["try", "delete", "patch"]
    assert about[0][1] == about[2][1]
    assert workloads(world) != old


def test_a_quota_that_is_used_up_by_what_goes_does_not_keep_it() -> None:
    world, key = serving(RAY)
    old = workloads(world)
    edit(world, key, QUOTA, OTHER_RAY)
    assert workloads(world) == [], "its successor is asked for again"
    edit(world, key, "", OTHER_RAY)
    assert workloads(world) != old
    world, key = serving(ONE)
    edit(world, key, QUOTA, GROUPS)
    assert workloads(world) == ["Deployment llama"], "what goes is of another kind"
    assert world.reason() == "QuotaExceeded"


@pytest.mark.parametrize("labelled", [True, False])
def test_what_serves_stays_where_somebody_else_has_the_name_of_its_successor(*, labelled: bool) -> None:
    world, key = serving(ONE)
    labels = world.api.objects[path("Deployment", NAMESPACE, "llama")]["metadata"]["labels"] if labelled else {}
    meta = {"name": "llama-g", "namespace": NAMESPACE, "labels": labels}
    pods = {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "vllm", "image": "i"}]}}
    spec = {"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": pods}}
    other = {"kind": "LeaderWorkerSet", "metadata": meta, "spec": spec, "status": {}}
    world.api.put(path("LeaderWorkerSet", NAMESPACE, "llama-g"), other)
    if not labelled:  # the watch does not show it
        world.indices["children"] = {}
    edit(world, key, "", GROUPS)
    assert "Deployment llama" in workloads(world)
    assert world.reason() == "NameTaken"


def service_of(world: World, *owners: Object) -> str:
    """A Service of the name that LeaderWorkerSet gives its own; its URL path."""
    meta = {"name": "llama-g", "namespace": NAMESPACE, "ownerReferences": list(owners)}
    url = path("Service", NAMESPACE, "llama-g")
    world.api.put(url, {"kind": "Service", "metadata": meta, "spec": {}})
    return url


@pytest.mark.parametrize("scaled", [{}, {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}], ids=["fixed", "scaled"])
def test_groups_are_not_made_where_their_pods_would_not_find_each_other(scaled: Object) -> None:
    world = World(api=NoNewWorkloads(), allowed_images=("mine/*",))
    world.served = frozenset({"LeaderWorkerSet"})
    taken = service_of(world, {"kind": "InferenceService", "name": "llama-g", "uid": "o", "controller": True})
    key = world.service(**GROUPS, **scaled)
    settle(world, key, CONFIG)
    assert workloads(world) == []
    assert world.reason() == "NameTaken"
    assert "the Service llama-g in namespace team-a has the name of the one by which" in world.message("Ready")
    del world.api.objects[taken]
    world.reconcile(key)
    assert workloads(world) == ["LeaderWorkerSet llama-g"]


def test_what_serves_stays_where_the_pods_of_groups_would_not_find_each_other() -> None:
    world, key = serving(ONE)
    service_of(world)
    edit(world, key, "", GROUPS)
    assert workloads(world) == ["Deployment llama"]
    assert world.reason() == "NameTaken"
    service_of(world, {"kind": "LeaderWorkerSet", "name": "llama-g", "uid": "gone", "controller": True})
    world.reconcile(key)
    assert workloads(world) == ["LeaderWorkerSet llama-g"], "one of an earlier set goes with that"


def test_nobody_is_told_to_delete_the_service_of_groups() -> None:
    world = World()
    owner = {"kind": "LeaderWorkerSet", "name": "llama", "uid": "o", "controller": True}
    meta = {"name": "llama", "namespace": NAMESPACE, "ownerReferences": [owner]}
    world.api.put(path("Service", NAMESPACE, "llama"), {"kind": "Service", "metadata": meta, "spec": {}})
    world.reconcile(world.service())
    assert world.reason() == "NameTaken"
    assert world.message("Ready").endswith("does not belong to this service: rename the service")


def test_a_suspension_is_acted_on_while_its_successor_is_refused() -> None:
    world, key = serving(ONE)
    edit(world, key, POLICY, GROUPS)
    edit(world, key, POLICY, {**GROUPS, "suspend": True})
    assert workloads(world) == ["Deployment llama"]
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["replicas"] == 0

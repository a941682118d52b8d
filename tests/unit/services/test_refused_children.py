"""A child that the API server refuses, and on which no other depends: it is told, and holds nothing else up."""

from typing import Any

import pytest

from support.child_kinds import example
from support.fake_api import FakeApi, refusal
from support.kube import Object
from support.world import CONFIG, NAMESPACE, World
from unit.services.choices import READY, settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.manifests.kinds import BY_KIND, CHILD_KINDS, ChildKind
from vllm_operator.services.rules import REFUSED_RETRY_SECONDS

# The words of an API server whose CRD is of an older version than the field.
OLD_CRD = (
    "failed to create typed patch object (team-a/llama; monitoring.coreos.com/v1, Kind=ServiceMonitor): "
    ".spec.bodySizeLimit: field not declared in schema"
)
QUOTA = "exceeded quota: q, requested: count/x=1, used: count/x=1, limited: count/x=1"
WEBHOOK = 'Internal error occurred: failed calling webhook "w": context deadline exceeded'
REFUSALS = [(500, OLD_CRD, "field not declared in schema"), (403, QUOTA, QUOTA), (500, WEBHOOK, "failed calling")]
BESIDE = [row for row in CHILD_KINDS if row.beside]
each_refusal = pytest.mark.parametrize(("status", "said", "told"), REFUSALS)


class Without(FakeApi):
    """Refuses to make objects of a plural, as long as there is one."""

    plural, status, said = "", 500, OLD_CRD

    async def request(self, verb: str, url: str, **options: Any) -> Any:
        """As the API server in memory."""
        if verb == "patch" and self.plural and f"/{self.plural}/" in url:
            self.requests.append((verb, url))
            raise refusal(self.status, self.said)
        return await super().request(verb, url, **options)


def without(kind: str, status: int, said: str, spec: Object) -> tuple[World, Key]:
    """A service of which one child is refused."""
    api = Without()
    api.plural, api.status, api.said = BY_KIND[kind].plural, status, said
    world = World(api=api)
    world.served = frozenset({"ServiceMonitor", "ScaledObject"})
    return world, world.service(**spec)


@each_refusal
@pytest.mark.parametrize("row", BESIDE, ids=lambda row: row.kind)
def test_it_holds_nothing_up_and_is_told_and_tried_again(row: ChildKind, status: int, said: str, told: str) -> None:
    kind, found = row.kind, example(row)
    world, key = without(kind, status, said, found.spec)
    settle(world, key, CONFIG)
    assert world.children(kind) == []
    assert world.children("Deployment") == ["llama"]
    replicas = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"].get("replicas", 1)
    for number in range(replicas):
        world.pod(f"llama-{number}", status=READY)
    settle(world, key, CONFIG)
    assert world.reason() == "Available"
    assert told in world.message(found.condition)
    again = world.reconcile(key)
    assert again is not None
    assert again <= REFUSED_RETRY_SECONDS
    assert isinstance(world.api, Without)
    world.api.plural = ""
    settle(world, key, CONFIG)
    assert len(world.children(kind)) == 1
    assert told not in world.message(found.condition)


def test_a_field_that_an_older_crd_lacks_is_a_refusal_that_is_told() -> None:
    world, key = without("NetworkPolicy", 500, OLD_CRD, {"networkPolicy": {"allowFrom": []}})
    assert world.reconcile(key) == REFUSED_RETRY_SECONDS
    assert (world.reason(), world.reason("Stalled")) == ("Refused", "Refused")
    assert "bodySizeLimit" in world.message("Ready")


def test_a_status_that_an_older_crd_has_no_field_for_is_told_as_far_as_it_goes() -> None:
    class Older(FakeApi):
        async def request(self, verb: str, url: str, **options: Any) -> Any:
            if verb == "patch" and url.endswith("/status") and "plan" in options["body"]["status"]:
                raise refusal(500, "failed to create typed patch object (a/b; c): .status.plan: field not declared")
            return await super().request(verb, url, **options)

    world = World(api=Older())
    key = world.service()
    settle(world, key, CONFIG)
    assert "plan" not in world.status()
    assert ".status.plan: field not declared" in world.message("Incomplete")


DEPLOYMENT = path("Deployment", NAMESPACE, "llama")
# An edit that the API server refuses, by the kind of the child that has it.
REFUSED_EDITS: dict[str, tuple[Object, Object]] = {
    "ControllerRevision": ({}, {"env": [{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}]}),
    "PersistentVolumeClaim": ({"cache": {"claim": {"storage": "1Gi"}}}, {"cache": {"claim": {"storage": "2Gi"}}}),
    "NetworkPolicy": ({"networkPolicy": {"allowFrom": []}}, {"networkPolicy": {"allowFrom": [{"podSelector": {}}]}}),
}


def refused_edit(kind: str) -> tuple[World, Key, Object]:
    """A service of three pods, whose spec is edited so that the API server refuses one child. Returns the new spec."""
    before, after = REFUSED_EDITS[kind]
    world = World(api=Without())
    key = world.service(replicas=3, **before)
    settle(world, key, CONFIG)
    assert isinstance(world.api, Without)
    world.api.plural, world.api.status, world.api.said = BY_KIND[kind].plural, 403, "a policy is against it"
    world.service(replicas=3, **after)
    world.reconcile(key)
    assert world.reason() == "Refused"
    return world, key, after


@pytest.mark.parametrize("kind", REFUSED_EDITS)
@pytest.mark.parametrize(("asked", "left"), [({"replicas": 3, "suspend": True}, 0), ({"replicas": 1}, 1)])
def test_pods_go_though_an_earlier_child_is_refused_and_no_other_ones_come(kind: str, asked: Object, left: int) -> None:
    world, key, after = refused_edit(kind)
    before = world.api.objects[DEPLOYMENT]["spec"]["template"]
    world.service(**asked, **after)
    world.reconcile(key)
    spec = world.api.objects[DEPLOYMENT]["spec"]
    assert (spec["replicas"], spec["template"]) == (left, before)
    assert "a policy is against it" in world.message("Ready")
    world.reconcile(key)
    assert [write for write in world.writes() if "deployments" in write] == []
    world.service(replicas=2, **after)
    world.reconcile(key)
    assert world.api.objects[DEPLOYMENT]["spec"]["replicas"] == left, "more are made once all of the spec is taken"
    assert isinstance(world.api, Without)
    world.api.plural = ""
    world.reconcile(key)
    assert world.api.objects[DEPLOYMENT]["spec"]["replicas"] == 2


def test_what_was_applied_before_a_refusal_is_not_put_back() -> None:
    world = World()
    key = world.service(replicas=3, networkPolicy={"allowFrom": []})
    settle(world, key, CONFIG)
    world.api.refuse["delete", path("NetworkPolicy", NAMESPACE, "llama")] = refusal(403, "a policy is against it")
    world.service(replicas=1, env=[{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}])
    world.reconcile(key, watched=False)
    assert world.reason() == "Refused"
    spec = world.api.objects[DEPLOYMENT]["spec"]
    assert (spec["replicas"], "WARNING" in str(spec["template"])) == (1, True)
    world.watch()
    world.reconcile(key)
    assert "WARNING" in str(world.api.objects[DEPLOYMENT]["spec"]["template"])

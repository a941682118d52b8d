"""Who has lost an object hears of it, through the sources of all kinds: a label is anybody's to set, and to remove."""

from typing import Any

import pytest

from support.fake_api import FakeApi
from support.kube import Object
from support.world import CONFIG, NAMESPACE, World
from unit.services.choices import settle
from vllm_operator.api import API_VERSION, BATCH_KIND, CLASS_KIND, KIND
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.kinds import KINDS
from vllm_operator.manifests.names import BATCH_LABEL, INSTANCE_LABEL
from vllm_operator.resources import RESOURCES
from vllm_operator.watch.indices import Index
from vllm_operator.watch.informer import Informer
from vllm_operator.watch.sources import Item, Source

ALL = [source for kind in KINDS for source in kind.sources]


def told(kind: str, first: Object, *events: tuple[str, Object]) -> set[Item]:
    """Whose turn events about an object make it, after the first."""
    sources: list[Source] = [source for source in ALL if source.resource == RESOURCES[kind]]
    found: list[Item] = []
    indices = {name: Index() for source in ALL for name in source.indices}
    informer = Informer(sources, indices, lambda item, *_: found.append(item))
    informer.note("ADDED", first, tell=False)
    for change, body in events:
        informer.note(change, body, tell=True)
    return set(found)


def relabelled(body: Object, **labels: Any) -> Object:
    """With other labels: those of None are removed."""
    meta = body["metadata"]
    kept = {key: value for key, value in {**meta["labels"], **labels}.items() if value is not None}
    return {**body, "metadata": {**meta, "labels": kept}}


def objects(kind: str) -> Object:
    """An object of a service."""
    world = World()
    world.served = frozenset({"ServiceMonitor"})
    key = world.service()
    settle(world, key, CONFIG)
    if kind == "Pod":
        return world.api.objects[world.pod()]
    if kind == "ReplicaSet":
        return world.api.objects[path(kind, NAMESPACE, world.replica_set())]
    return {"kind": kind, **world.api.objects[path(kind, NAMESPACE, world.children(kind)[0])]}


@pytest.mark.parametrize("kind", ["Service", "Deployment", "ControllerRevision", "ServiceMonitor", "Pod", "ReplicaSet"])
@pytest.mark.parametrize("label", [None, "other"])
def test_a_service_hears_that_an_object_does_not_name_it_any_more(kind: str, label: str | None) -> None:
    body = objects(kind)
    body["metadata"].setdefault("uid", "u")
    after = relabelled(body, **{INSTANCE_LABEL: label})
    assert Item(KIND, Key(NAMESPACE, "llama")) in told(kind, body, ("MODIFIED", after))


def test_a_batch_hears_that_a_job_does_not_name_it_any_more() -> None:
    meta = {"name": "b-run", "namespace": NAMESPACE, "uid": "u", "resourceVersion": "1", "labels": {BATCH_LABEL: "b"}}
    body = {"kind": "Job", "metadata": meta, "spec": {}, "status": {}}
    after = relabelled(body, **{BATCH_LABEL: None})
    assert Item(BATCH_KIND, Key(NAMESPACE, "b")) in told("Job", body, ("MODIFIED", after))


def test_a_class_that_goes_is_looked_at_itself() -> None:
    api, url = FakeApi(), path("ServingClass", "", "h100")
    meta = {"name": "h100", "creationTimestamp": "2026-11-24T12:00:00Z"}
    api.put(url, {"apiVersion": API_VERSION, "kind": CLASS_KIND, "metadata": meta, "spec": {}})
    assert Item(CLASS_KIND, Key("", "h100")) in told(CLASS_KIND, api.objects[url], ("DELETED", api.objects[url]))

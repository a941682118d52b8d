"""Which features of Kubernetes there are follows from its version; an API server that does not say changes nothing."""

import asyncio
from typing import Any

import pytest

from support.fake_api import FakeApi, refusal
from vllm_operator.api import API_VERSION
from vllm_operator.cluster import Cluster
from vllm_operator.manifests.image_volume import IMAGE_VOLUMES
from vllm_operator.resources import RESOURCES
from vllm_operator.watch.informer import Informer
from vllm_operator.watch.optional import OURS, OptionalApis
from vllm_operator.watch.watches import Watches


def look(monkeypatch: pytest.MonkeyPatch, *versions: tuple[int, int] | None) -> tuple[bool, list[str]]:
    """Whether image volumes are there after the last of some looks, and how often a change was told."""
    cluster, changes = Cluster(FakeApi(), lambda _: 10.0), list[str]()
    apis = OptionalApis(cluster, Watches(lambda: None), lambda: changes.append("changed"))

    async def run() -> None:
        for version in versions:

            async def says(version: tuple[int, int] | None = version) -> tuple[int, int] | None:
                return version

            async def none(_: str) -> bool:
                return False

            monkeypatch.setattr(cluster, "version", says)
            monkeypatch.setattr(cluster, "serves", none)
            await apis.look()

    asyncio.run(run())
    return IMAGE_VOLUMES in apis.served(), changes


@pytest.mark.parametrize(("version", "there"), [((1, 34), False), ((1, 35), True), ((1, 36), True), (None, True)])
def test_image_volumes(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int] | None, *, there: bool) -> None:
    assert look(monkeypatch, version)[0] is there


def test_an_upgrade_of_the_cluster_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(monkeypatch, (1, 34), None, (1, 36), (1, 36)) == (True, ["changed", "changed"])


KEDA = "/apis/keda.sh/v1alpha1"
RAY = "/apis/ray.io/v1"


def api_with(*groups: tuple[str, str, list[str]]) -> FakeApi:
    """One that has these APIs: path, plural, and what may be done with it; all others are not there."""
    return FakeApi({url: {"resources": [{"name": plural, "verbs": verbs}]} for url, plural, verbs in groups})


def test_silence_is_no_answer() -> None:
    api = api_with((KEDA, "scaledobjects", ["patch"]))
    api.refuse["get", KEDA] = refusal(503, "busy")
    apis = OptionalApis(Cluster(api, lambda _: 10.0), Watches(lambda: None), lambda: None)
    assert not asyncio.run(apis.look())
    del api.refuse["get", KEDA]
    assert asyncio.run(apis.look())
    assert "ScaledObject" in apis.served()
    api.refuse["get", KEDA] = refusal(503, "busy")
    assert not asyncio.run(apis.look())
    assert "ScaledObject" in apis.served()


def test_an_api_that_is_being_deleted_takes_nothing() -> None:
    api = api_with((KEDA, "scaledobjects", ["delete", "deletecollection", "get", "list", "watch"]))
    apis = OptionalApis(Cluster(api, lambda _: 10.0), Watches(lambda: None), lambda: None)
    assert asyncio.run(apis.look())
    assert "ScaledObject" not in apis.served()


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("served", [False, True])
def test_an_api_of_ours_that_comes_late_is_expected_where_it_is_to_be_watched(
    kind: str, monkeypatch: pytest.MonkeyPatch, *, watched: bool, served: bool
) -> None:
    """kopf has left it out, and nobody would look after what it has."""
    resource, expected = RESOURCES[kind], list[str]()
    watches = Watches(lambda: None)
    monkeypatch.setattr(watches, "expect", expected.append)
    if watched:
        watches.lists.informers = {(resource.api_version, resource.plural): Informer((), {}, lambda *_: None)}
    api = api_with((f"/apis/{API_VERSION}", resource.plural, ["list", "patch", "watch"])) if served else api_with()
    asyncio.run(OptionalApis(Cluster(api, lambda _: 10.0), watches, lambda: None).look())
    assert expected == ([resource.plural] if watched and served else [])


def test_what_kuberay_makes_is_forgotten_with_its_api(monkeypatch: pytest.MonkeyPatch) -> None:
    watches, forgotten = Watches(lambda: None), list[str]()
    monkeypatch.setattr(watches, "forget", forgotten.append)
    api: Any = api_with()
    asyncio.run(OptionalApis(Cluster(api, lambda _: 10.0), watches, lambda: None).look())
    assert {"rayservices", "rayclusters"} <= {*forgotten}

"""Which features of Kubernetes there are follows from its version; an API server that does not say changes nothing."""

import asyncio

import pytest

from support.fake_api import FakeApi
from vllm_operator.cluster import Cluster
from vllm_operator.manifests.image_volume import IMAGE_VOLUMES
from vllm_operator.watch.optional import OptionalApis
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

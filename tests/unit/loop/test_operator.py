"""What an operator watches: all of its kinds' sources, as far as it may."""

import asyncio

import pytest

from support.fake_api import FakeApi, refusal
from vllm_operator.cluster import Cluster, path
from vllm_operator.kinds import KINDS
from vllm_operator.loop.operator import Operator
from vllm_operator.settings import Settings

ALL = {source.resource.plural for kind in KINDS for source in kind.sources}
CLASSES, NAMESPACES = path("ServingClass", ""), path("Namespace", "")


def watched(operator: Operator) -> set[str]:
    return {source.resource.plural for source in operator.sources}


def operator(api: FakeApi, *namespaces: str) -> Operator:
    found = Operator(KINDS, Settings(watch_namespaces=namespaces), asyncio.Event())
    asyncio.run(found.leave_out_ungranted(Cluster(api, lambda _: False)))
    return found


def test_an_operator_of_the_whole_cluster_watches_all_and_asks_for_no_right() -> None:
    api = FakeApi()
    assert watched(operator(api)) == ALL
    assert api.requests == []


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ([CLASSES, NAMESPACES], {"nodes"}),
        ([CLASSES], {"nodes", "namespaces"}),
        ([], {"nodes", "namespaces", "servingclasses"}),
    ],
)
def test_one_for_named_namespaces_watches_of_the_cluster_what_it_may(granted: list[str], missing: set[str]) -> None:
    api = FakeApi({url: {"items": []} for url in granted})
    for url in {CLASSES, NAMESPACES} - set(granted):
        api.refuse["get", url] = refusal(403, "forbidden")
    assert watched(operator(api, "team-a")) == ALL - missing
    assert {url for _, url in api.requests} == {CLASSES, NAMESPACES}


def test_it_starts_again_once_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_operator.loop.operator.RIGHTS_SECONDS", 0.01)
    api = FakeApi({NAMESPACES: {"items": []}})
    found = operator(api, "team-a")

    async def wait() -> None:
        looks = asyncio.create_task(found.await_rights(Cluster(api, lambda _: False)))
        await asyncio.sleep(0.05)
        assert not found.stop.is_set()
        api.objects[CLASSES] = {"items": []}
        async with asyncio.timeout(5):
            await found.stop.wait()
        looks.cancel()

    asyncio.run(wait())

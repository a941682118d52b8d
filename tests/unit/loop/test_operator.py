"""What an operator watches: all of its kinds' sources, as far as it may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import kopf
import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from support.fake_api import FakeApi, refusal
from vllm_operator.api.resource import Key
from vllm_operator.cluster import Cluster, path
from vllm_operator.kinds import KINDS
from vllm_operator.loop import authority, health, heap, scrape
from vllm_operator.loop import operator as loop
from vllm_operator.loop.kinds import Kind
from vllm_operator.loop.lease import Place
from vllm_operator.loop.operator import Operator, Ports, run_operator
from vllm_operator.loop.shares import WHOLE
from vllm_operator.settings import Settings
from vllm_operator.watch.optional import OptionalApis

ALL = {source.resource.plural for kind in KINDS for source in kind.sources}
CLASSES, NAMESPACES = path("ServingClass", ""), path("Namespace", "")
NEEDED = [one for kind in KINDS for one in kind.sources if not (one.optional or one.resource.cluster_scoped)]
# What an operator for some namespaces cannot do without, in one of them.
NEEDED_IN_A = sorted({one.resource.path("team-a") for one in NEEDED})
OPTIONAL_IN_A = sorted({one.resource.path("team-a") for kind in KINDS for one in kind.sources if one.optional})


class Recording:
    """A reconciler that writes down what is done with its one object, and looks at nothing."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def reconcile(self, key: Key) -> float | None:
        self.done.append(f"reconcile {key}")
        return None

    def known(self) -> list[Key]:
        return [Key("team-a", "llama"), Key("team-b", "llama")]

    def forget(self, key: Key) -> None:
        self.done.append(f"forget {key}")


def watched(operator: Operator) -> set[str]:
    return {source.resource.plural for source in operator.sources}


def operator(api: FakeApi, *namespaces: str) -> Operator:
    found = Operator(KINDS, Settings(watch_namespaces=namespaces), asyncio.Event())
    asyncio.run(found.leave_out_ungranted(Cluster(api, lambda _: 0.0)))
    return found


def show_all(found: Operator) -> None:
    """The watches have shown all that was there."""
    found.watches.lists.complete = True
    found.queue_all()


@asynccontextmanager
async def running(found: Operator, api: FakeApi, *, indexed: bool = True) -> AsyncIterator[None]:
    """The operator's queue and Leases at work, until the end of the block. `indexed`: and its watches have begun."""
    cluster = Cluster(api, found.leases.seconds)
    found.begin(cluster, OptionalApis(cluster, found.watches, found.queue_all), {})
    tasks = [asyncio.create_task(job) for job in (found.queue.run(), *found.leases.tasks(cluster))]
    if indexed:
        show_all(found)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


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
    assert {url for _, url in api.requests} == {CLASSES, NAMESPACES, *NEEDED_IN_A}


def test_silence_about_rights_is_no_answer() -> None:
    api = FakeApi({NAMESPACES: {"items": []}, CLASSES: {"items": []}})
    api.refuse["get", CLASSES] = refusal(503, "busy")
    found = Operator(KINDS, Settings(watch_namespaces=("team-a",)), asyncio.Event())
    assert not asyncio.run(found.leave_out_ungranted(Cluster(api, lambda _: 10.0)))
    del api.refuse["get", CLASSES]
    assert asyncio.run(found.leave_out_ungranted(Cluster(api, lambda _: 10.0)))
    assert {"servingclasses", "namespaces"} <= watched(found)


def test_it_starts_again_once_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_operator.loop.operator.RIGHTS_SECONDS", 0.01)
    api = FakeApi({NAMESPACES: {"items": []}})
    found = operator(api, "team-a")

    async def wait() -> None:
        looks = asyncio.create_task(found.await_rights(Cluster(api, lambda _: 0.0)))
        await asyncio.sleep(0.05)
        assert not found.stop.is_set()
        api.objects[CLASSES] = {"items": []}
        async with asyncio.timeout(5):
            await found.stop.wait()
        looks.cancel()

    asyncio.run(wait())


@pytest.mark.parametrize("url", NEEDED_IN_A)
def test_a_namespace_without_rights_is_left_alone_and_the_others_are_served(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was deleted took the Role with it."""
    monkeypatch.setattr("vllm_operator.loop.leases.LOOK_SECONDS", 0.01)
    api = FakeApi()
    api.refuse["get", url] = refusal(403, "forbidden")
    found = operator(api, "team-a", "team-b")
    assert list(found.namespaces) == ["team-b"]

    async def play() -> tuple[float, float]:
        async with running(found, api, indexed=False):
            await asyncio.sleep(0.1)
            return found.leases.seconds("team-a"), found.leases.seconds("team-b")

    elsewhere, here = asyncio.run(play())
    assert here > 0
    assert elsewhere == 0
    assert not [url for _, url in api.requests if url.endswith("vllm-operator-in-team-a")], "others may act there"
    assert REGISTRY.get_sample_value("vllm_operator_acts", {"part": "team-a"}) == 0


@pytest.mark.parametrize("url", OPTIONAL_IN_A)
def test_a_namespace_is_served_without_rights_on_what_the_cluster_may_not_know(url: str) -> None:
    api = FakeApi()
    api.refuse["get", url] = refusal(403, "forbidden")
    assert list(operator(api, "team-a").namespaces) == ["team-a"]


def test_an_api_that_is_not_there_is_no_missing_right() -> None:
    assert list(operator(FakeApi(), "team-a", "team-b").namespaces) == ["team-a", "team-b"]


def test_it_waits_where_it_may_watch_none_of_its_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_operator.loop.operator.RIGHTS_SECONDS", 0.01)
    api, urls = FakeApi(), [path("Pod", "team-a"), path("Pod", "team-b")]
    for url in urls:
        api.refuse["get", url] = refusal(403, "forbidden")
    found = Operator(KINDS, Settings(watch_namespaces=("team-a", "team-b")), asyncio.Event())
    cluster = Cluster(api, lambda _: 0.0)
    assert not asyncio.run(found.leave_out_ungranted(cluster))
    del api.refuse["get", urls[0]]
    assert asyncio.run(found.leave_out_ungranted(cluster))
    assert list(found.namespaces) == ["team-a"]


def test_it_starts_again_once_it_may_watch_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_operator.loop.operator.RIGHTS_SECONDS", 0.01)
    api, url = FakeApi(), path("Pod", "team-a")
    api.refuse["get", url] = refusal(403, "forbidden")
    found = operator(api, "team-a", "team-b")

    async def wait() -> None:
        looks = asyncio.create_task(found.await_rights(Cluster(api, lambda _: 0.0)))
        await asyncio.sleep(0.05)
        assert not found.stop.is_set()
        del api.refuse["get", url]
        async with asyncio.timeout(5):
            await found.stop.wait()
        looks.cancel()

    asyncio.run(wait())


def test_nothing_is_looked_at_before_the_watches_have_shown_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the Lease comes first: services whose children are not known yet would be made anew."""
    monkeypatch.setattr("vllm_operator.loop.leases.LOOK_SECONDS", 0.01)
    api, reconciler = FakeApi(), Recording()

    async def play() -> None:
        found = Operator((Kind("Thing", (), lambda _: reconciler),), Settings(heed_old_leases=False), asyncio.Event())
        async with running(found, api, indexed=False):
            await asyncio.sleep(0.1)
            assert found.leases.seconds("team-a"), "it has the Lease"
            found.queue_all()
            await asyncio.sleep(0.05)
            assert reconciler.done == []
            show_all(found)
            await asyncio.sleep(0.05)

    asyncio.run(play())
    assert sorted(reconciler.done) == ["reconcile team-a/llama", "reconcile team-b/llama"]


def test_what_another_operator_has_taken_is_forgotten_and_looked_at_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_operator.loop.leases.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("vllm_operator.loop.lease.RENEW_SECONDS", 0.02)
    api, reconciler = FakeApi(), Recording()
    kind = Kind("Thing", (), lambda _: reconciler)
    settings = Settings(watch_namespaces=("team-a", "team-b"), heed_old_leases=False)

    async def play() -> None:
        found = Operator((kind,), settings, asyncio.Event())
        async with running(found, api):
            await asyncio.sleep(0.1)
            assert {"reconcile team-a/llama", "reconcile team-b/llama"} <= set(reconciler.done)
            reconciler.done.clear()
            lease = path("Lease", *Place("kube-system", "vllm-operator-in-team-a")[:2])
            api.put(lease, {**api.objects[lease], "spec": {"holderIdentity": "another"}})
            await asyncio.sleep(0.1)
            found.queue_all()
            await asyncio.sleep(0.1)

    asyncio.run(play())
    assert set(reconciler.done) == {"forget team-a/llama", "reconcile team-b/llama"}


def test_what_was_remembered_holds_where_the_lease_could_only_not_be_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 services that come at once, each would else be applied once more: the API server is busy as it is."""
    monkeypatch.setattr("vllm_operator.loop.leases.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("vllm_operator.loop.lease.RENEW_SECONDS", 0.02)
    monkeypatch.setattr("vllm_operator.loop.lease.DEADLINE_SECONDS", 0.1)
    api, reconciler = FakeApi(), Recording()
    kind = Kind("Thing", (), lambda _: reconciler)

    async def play() -> None:
        found = Operator((kind,), Settings(heed_old_leases=False), asyncio.Event())
        async with running(found, api):
            await asyncio.sleep(0.1)
            lease = path("Lease", *Place("kube-system", "vllm-operator-all")[:2])
            api.refuse["put", lease] = api.refuse["get", lease] = refusal(504, "timeout")
            await asyncio.sleep(0.3)
            reconciler.done.clear()
            found.queue_all()
            await asyncio.sleep(0.1)
            assert reconciler.done == [], "nothing is done, nor forgotten"
            api.refuse.clear()
            await asyncio.sleep(0.2)

    asyncio.run(play())
    assert sorted(reconciler.done) == ["reconcile team-a/llama", "reconcile team-b/llama"]


def test_lists_that_do_not_come_are_told_of_once_they_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Operator(KINDS, Settings(), asyncio.Event())
    monkeypatch.setattr(found.leases, "api_answers", lambda: True)
    monkeypatch.setattr(found.watches.lists, "missing", lambda: ["/api/v1/pods"])
    assert found.trouble() == ""
    monkeypatch.setattr("vllm_operator.loop.operator.LISTED_SECONDS", -1.0)
    assert "/api/v1/pods" in found.trouble()
    monkeypatch.setattr(found.leases, "api_answers", lambda: False)
    assert found.trouble() == ""


def test_it_is_ready_once_all_has_been_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for its Lease as well; and a silent API server ends no readiness that there was."""
    found, trouble = Operator(KINDS, Settings(), asyncio.Event()), [""]
    monkeypatch.setattr(found, "trouble", lambda: trouble[0])
    assert found.unready()
    found.watches.lists.complete = True
    assert not found.unready()
    trouble[0] = "a watch is dead"
    assert found.unready() == "a watch is dead"


def test_it_is_healthy_and_not_ready_while_the_api_server_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout of the operator would else take away the one that acts."""
    looks: dict[str, Any] = {}
    stops: list[asyncio.Event] = []

    @asynccontextmanager
    async def connect(_: Any) -> AsyncIterator[Cluster]:
        yield Cluster(FakeApi(), lambda _: 0.0)

    @asynccontextmanager
    async def serve(_: int, looks_of: dict[str, Any]) -> AsyncIterator[int]:
        looks.update(looks_of)
        yield 0

    async def silent(_: OptionalApis) -> bool:
        assert {path: bool(look()) for path, look in looks.items()} == {"/healthz": False, "/readyz": True}
        stops[0].set()
        return False

    monkeypatch.setattr(loop, "connect", connect)
    monkeypatch.setattr(health, "serve", serve)
    monkeypatch.setattr(loop, "_stop_on_signals", stops.append)
    monkeypatch.setattr(OptionalApis, "look", silent)
    assert asyncio.run(loop._operate(KINDS, Settings(), WHOLE, 0)) == 0
    assert looks


def test_it_ends_where_it_cannot_reach_the_api_server_by_the_authority_that_it_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has been told nothing since it started, and waits for an answer."""
    file = tmp_path / "ca.crt"
    file.write_text("old")

    @asynccontextmanager
    async def connect(_: Any) -> AsyncIterator[Cluster]:
        yield Cluster(FakeApi(), lambda _: 0.0)

    @asynccontextmanager
    async def serve(*_: Any) -> AsyncIterator[int]:
        yield 0

    async def silent(_: OptionalApis) -> bool:
        file.write_text("new")
        return False

    monkeypatch.setattr(authority, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(authority, "followed", partial(authority.followed, file=file))
    monkeypatch.setattr(loop, "_stop_on_signals", lambda _: None)
    monkeypatch.setattr(loop, "connect", connect)
    monkeypatch.setattr(health, "serve", serve)
    monkeypatch.setattr(OptionalApis, "look", silent)
    assert asyncio.run(loop._operate(KINDS, Settings(), WHOLE, 0)) == 0


@pytest.mark.parametrize(("ip", "family"), [("2001:db8::7", "IPv6"), ("10.0.0.7", "IPv4"), ("", None)])
def test_an_operator_learns_from_its_own_pod_which_addresses_pods_have(
    ip: str, family: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_with: list[Settings] = []

    async def operate(_: Any, own: Settings, *__: Any) -> int:
        runs_with.append(own)
        return 0

    # What belongs to a process of its own.
    for module, name in ((heap, "give_back"), (heap, "collect_seldom"), (scrape, "serve"), (kopf, "configure")):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(loop, "REGISTRY", CollectorRegistry())
    monkeypatch.setattr(loop, "_operate", operate)
    monkeypatch.setenv("POD_IP", ip)
    with pytest.raises(SystemExit):
        run_operator((), None, 0, Ports(0, 0))
    assert [own.ip_family for own in runs_with] == [family]

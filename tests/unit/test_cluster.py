"""What is read of others through the API server is bounded, and one part that cannot be read is one part."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from support.fake_api import FakeApi, refusal
from vllm_operator.api import limits
from vllm_operator.api.limits import OverLimitError
from vllm_operator.api.resource import Key, Reference
from vllm_operator.cluster import SERVICES_AT_ONCE, Cluster, RefusedError, UnavailableError, path

LOG = path("Pod", "team-a", "p", "log")
EVENTS = path("Event", "team-a")


def cluster(api: FakeApi) -> Cluster:
    return Cluster(api, lambda _: 10.0)


def log(text: str) -> str:
    return asyncio.run(cluster(FakeApi(logs={LOG: text})).read_log("team-a", "p", "vllm", previous=False))


def event(**fields: Any) -> dict[str, Any]:
    return {"reason": "Killing", "message": "m", "lastTimestamp": "2026-11-24T12:00:00Z", **fields}


def test_the_end_of_a_log_is_read_with_its_lines_cut() -> None:
    assert log("first\n\n" + "http://" * 9000 + "\nlast\n") == "first\n" + ("http://" * 9000)[:2000] + "\nlast"
    assert len(log("x" * 100 + "\n" + "y\n" * 100_000).splitlines()) == limits.LOG_LINES


def test_a_log_that_is_larger_than_any_is_not_read_to_its_end() -> None:
    with pytest.raises(OverLimitError, match="larger than 1 MiB"):
        log("x" * (2 << 20))


def test_events_are_cut_and_more_of_them_than_any_pod_has_are_not_read() -> None:
    api = FakeApi(events=[event(message="m" * 9000, reason="r" * 900), event(message=7, reason=None)])
    found = asyncio.run(cluster(api).read_events("team-a", "u"))
    assert [(len(one.message), len(one.reason)) for one in found] == [(2000, 253), (0, 0)]
    api = FakeApi(events=[event(message="m" * 20_000)] * 100)
    with pytest.raises(OverLimitError, match="larger than 1 MiB"):
        asyncio.run(cluster(api).read_events("team-a", "u"))


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_what_cannot_be_read_now_is_none(status: int) -> None:
    api = FakeApi(refuse={("get", EVENTS): refusal(status, "no"), ("get", LOG): refusal(status, "no")})
    assert asyncio.run(cluster(api).read_events("team-a", "u")) == ()
    assert asyncio.run(cluster(api).read_log("team-a", "p", "vllm", previous=False)) == ""


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("failed to create typed patch object (a/b; v1, Kind=X): .spec.y: field not declared in schema", RefusedError),
        ('Internal error occurred: failed to create typed patch object, says webhook "w"', UnavailableError),
        ("etcdserver: request timed out", UnavailableError),
    ],
)
def test_what_an_older_crd_has_no_field_for_is_refused_though_its_status_is_500(said: str, error: type) -> None:
    url = path("Service", "team-a", "llama")
    api = FakeApi(refuse={("patch", url): refusal(500, said)})
    with pytest.raises(error):
        asyncio.run(cluster(api).apply({"kind": "Service", "metadata": {"name": "llama", "namespace": "team-a"}}))


@pytest.mark.parametrize(
    ("told", "waits"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("60", 60.0),
        ("86400", 60.0),
        ("9" * 400, 60.0),
        ("-5", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        (None, 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_who_is_told_to_come_later_comes_later_but_not_never(status: int, told: str | None, waits: float) -> None:
    url = path("Deployment", "team-a", "llama")
    headers = {"Retry-After": told} if told else {}
    api = FakeApi(refuse={("patch", url): refusal(status, "too many requests", headers)})
    manifest = {"kind": "Deployment", "metadata": {"name": "llama", "namespace": "team-a"}}
    with pytest.raises(UnavailableError) as caught:
        asyncio.run(cluster(api).apply(manifest))
    assert caught.value.retry_after == waits


def test_services_of_one_namespace_do_not_hold_up_those_of_another() -> None:
    made = list[str]()

    class Api(FakeApi):
        async def request(self, verb: str, url: str, **options: Any) -> Any:
            await asyncio.sleep(0.001)
            made.append(options["body"]["metadata"]["namespace"])
            return await super().request(verb, url, **options)

    async def play() -> None:
        held = cluster(Api())

        def apply(namespace: str, number: int) -> Any:
            return held.apply({"kind": "Service", "metadata": {"name": f"s{number}", "namespace": namespace}})

        await asyncio.gather(*(apply("many", number) for number in range(30)), apply("one", 0))

    asyncio.run(play())
    assert made.index("one") <= 2 * SERVICES_AT_ONCE


def test_services_are_made_a_few_at_a_time_with_all_the_time_that_each_has() -> None:
    flying, most, seconds = Counter[str](), Counter[str](), list[float]()
    left = [14.0]

    class Api(FakeApi):
        async def request(self, verb: str, url: str, **options: Any) -> Any:
            kind = url.split("/")[-2]
            flying[kind] += 1
            most[kind] = max(most[kind], flying[kind])
            seconds.append(options["_request_timeout"])
            await asyncio.sleep(0.01)
            flying[kind] -= 1
            return await super().request(verb, url, **options)

    async def play() -> None:
        held = Cluster(Api(), lambda _: left[0])
        manifests = [
            {"kind": kind, "metadata": {"name": f"s{number}", "namespace": "team-a"}}
            for number in range(3 * SERVICES_AT_ONCE)
            for kind in ("Service", "Deployment")
        ]
        writes = [asyncio.create_task(held.apply(manifest)) for manifest in manifests]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left[0] = 5.0
        await asyncio.gather(*writes)

    asyncio.run(play())
    assert most == {"services": SERVICES_AT_ONCE, "deployments": 3 * SERVICES_AT_ONCE}
    assert seconds[-1] == 5.0, "its time begins when it is sent"


def test_of_what_a_write_makes_only_the_metadata_are_asked_for() -> None:
    accepts: list[str] = []

    class Api(FakeApi):
        async def request(self, verb: str, url: str, **options: Any) -> Any:
            accepts.append(options["header_params"]["Accept"])
            return await super().request(verb, url, **options)

    held, about = cluster(Api()), Reference("v1", "Deployment", Key("team-a", "llama"), "u")
    manifest = {"kind": "Deployment", "metadata": {"name": "llama", "namespace": "team-a"}}
    asyncio.run(held.apply(manifest))
    asyncio.run(held.post_event(about, "Normal", "R", "m"))
    whole = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
    assert accepts == [whole, whole]


def test_a_write_has_as_long_as_the_lease_allows_and_the_api_server_is_told() -> None:
    asked: list[dict[str, Any]] = []

    class Api(FakeApi):
        async def request(self, verb: str, url: str, **options: Any) -> Any:
            asked.append(options)
            return await super().request(verb, url, **options)

    left = [12.5]
    held = Cluster(Api(), lambda _: left[0])
    manifest = {"kind": "Deployment", "metadata": {"name": "llama", "namespace": "team-a"}}
    asyncio.run(held.apply(manifest))
    asyncio.run(held.delete("Deployment", "team-a", "llama"))
    asyncio.run(held.post_event(Reference("v1", "Deployment", Key("team-a", "llama"), "u"), "Normal", "R", "m"))
    assert [(one["_request_timeout"], dict(one["query_params"])["timeout"]) for one in asked] == [(12.5, "12500ms")] * 3
    left[0] = 0.0
    with pytest.raises(UnavailableError, match="does not hold the Lease"):
        asyncio.run(held.apply(manifest))
    assert len(asked) == 3

"""An optional API that comes to be served, and that kopf does or does not come to watch."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from vllm_operator.watch import watches
from vllm_operator.watch.informer import Informer
from vllm_operator.watch.watches import (
    DEAD_SECONDS,
    ENDED_SECONDS,
    OVERLOOKED_SECONDS,
    REFUSED_SECONDS,
    WATCH_SECONDS,
    Watches,
)

SCALED = "/apis/keda.sh/v1alpha1/scaledobjects"


class Followed:
    """The watches of ScaledObjects, with a clock of their own, and how often they asked for a fresh start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.gaps = 100.0, 0
        monkeypatch.setattr(watches, "time", type("Clock", (), {"monotonic": staticmethod(lambda: self.now)}))
        self.watches = Watches(self._gap, optional=("scaledobjects",))
        self.watches.lists.complete = True

    def _gap(self) -> None:
        self.gaps += 1

    def expect_after(self, seconds: float) -> int:
        self.now += seconds
        self.watches.expect("scaledobjects")
        return self.gaps

    def open(self, query: str = "watch=true", status: int = 200) -> None:
        url = URL(f"https://api{SCALED}?{query}")
        answered = SimpleNamespace(response=SimpleNamespace(status=status), url=url)
        asyncio.run(self.watches._answered(None, SimpleNamespace(), answered))  # type: ignore[arg-type]


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> Followed:
    return Followed(monkeypatch)


def test_nothing_is_overlooked_while_lists_are_still_coming(followed: Followed) -> None:
    followed.watches.lists.complete = False
    followed.expect_after(0)
    assert followed.expect_after(OVERLOOKED_SECONDS + 1) == 0


@pytest.mark.parametrize("forgotten", [False, True])
def test_kopf_overlooks_an_api(followed: Followed, *, forgotten: bool) -> None:
    followed.expect_after(0)
    if forgotten:
        followed.watches.forget("scaledobjects")
    assert followed.expect_after(OVERLOOKED_SECONDS + 1) == (0 if forgotten else 1)


def test_kopf_ends_the_watch_of_an_api_that_came_back(followed: Followed) -> None:
    followed.open()
    assert followed.expect_after(ENDED_SECONDS - 1) == 0
    assert followed.expect_after(2) == 0
    assert followed.expect_after(OVERLOOKED_SECONDS + 1) == 1


def test_a_watch_that_is_opened_again_and_again_lives(followed: Followed) -> None:
    for _ in range(10):
        followed.open()
        assert followed.expect_after(WATCH_SECONDS) == 0


def test_a_list_after_a_watch_has_to_start_again_where_events_came_unless_its_api_was_gone(followed: Followed) -> None:
    informer = Informer((), {}, lambda *_: None)
    followed.watches.lists.informers = {("keda.sh/v1alpha1", "scaledobjects"): informer}
    followed.open("limit=250")
    followed.open()
    followed.open("limit=250")
    assert followed.gaps == 0, "the new list tells what is gone"
    informer.moved = True
    followed.open("limit=250")
    assert followed.gaps == 1
    followed.watches.forget("scaledobjects")
    followed.open("limit=250")
    assert followed.gaps == 1


class Sent:
    """A request as aiohttp's middlewares get it."""

    def __init__(self, url: str) -> None:
        self.url, self.headers = URL(url), {"Accept": "*/*"}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api/apis/apps/v1/replicasets?limit=500", "PartialObjectMetadataList"),
        ("https://api/apis/apps/v1/namespaces/a/replicasets?watch=true", "PartialObjectMetadata"),
        ("https://api/apis/apps/v1/deployments?watch=true", ""),
        ("https://api/apis/apps/v1", ""),
    ],
)
def test_of_some_kinds_only_metadata_are_asked_for(url: str, kind: str) -> None:
    seen: list[Sent] = []

    async def send(request: Sent) -> None:
        seen.append(request)

    watches_of_one = Watches(lambda: None, metadata_only=("replicasets",))
    asyncio.run(watches_of_one._ask_for_metadata(Sent(url), send))  # type: ignore[arg-type]
    assert seen[0].headers["Accept"] == (f"application/json;as={kind};g=meta.k8s.io;v=v1" if kind else "*/*")


class Answered:
    """What the API server answers, one status after the other."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    async def __call__(self, _: Any) -> Any:
        return SimpleNamespace(status=self.statuses.pop(0), release=lambda: None)


def outlive(url: str, *statuses: int) -> tuple[int, Watches]:
    """The answer that kopf sees."""
    watches_of_one = Watches(lambda: None, optional=("scaledobjects",))
    answer = asyncio.run(watches_of_one._outlive_api(Sent(url), Answered(*statuses)))  # type: ignore[arg-type]
    return answer.status, watches_of_one


def test_nobody_waits_for_the_list_of_an_api_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "GONE_API_SECONDS", 0.0)
    status, seen = outlive("https://api/apis/keda.sh/v1alpha1/scaledobjects?limit=250", 404, 404, 200)
    assert status == 200
    assert "scaledobjects" in seen.lists._gone
    assert outlive("https://api/api/v1/pods?limit=250", 404)[0] == 404


def test_a_list_whose_rest_is_not_there_any_more_breaks_off_as_a_lost_connection_does() -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        outlive("https://api/api/v1/pods?limit=250&continue=abc", 410)
    assert outlive("https://api/api/v1/pods?limit=250", 410)[0] == 410


@pytest.mark.parametrize("failed", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "url",
    [
        "https://api/api/v1/pods?limit=250",
        "https://api/api/v1/pods?limit=250&continue=abc",
        "https://api/api/v1/pods?watch=true",
        f"https://api{SCALED}?watch=true",
        "https://api/apis",
    ],
)
def test_an_api_server_that_fails_is_waited_for(url: str, failed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "UNABLE_SECONDS", 0.001)
    assert outlive(url, *[failed] * 100, 200)[0] == 200
    assert outlive(url, failed, 403)[0] == 403
    with pytest.raises(aiohttp.ClientPayloadError):
        outlive("https://api/api/v1/pods?limit=250&continue=abc", failed, 410)


def test_a_watch_that_the_api_server_fails_to_give_is_neither_dead_nor_overlooked(followed: Followed) -> None:
    """Were it, the operator would start again and again until the API server is well."""
    followed.open()
    followed.now += DEAD_SECONDS - 1
    assert followed.watches._holds_back(URL(f"https://api{SCALED}?watch=true"), 503)
    followed.now += 2
    assert followed.watches.dead() == []
    assert followed.expect_after(0) == followed.expect_after(ENDED_SECONDS - 3) == 0
    followed.now += DEAD_SECONDS
    assert followed.watches.dead() == [SCALED]


@pytest.mark.parametrize(
    ("statuses", "gaps"),
    [
        ([200, 403, 403], 1),
        ([200, 403, 404], 0),
        ([200, 403, 200, 403], 0),
        ([403, 403, 403], 0),  # it never had this right
    ],
)
def test_a_right_that_was_taken_away_ends_the_operator(followed: Followed, statuses: list[int], gaps: int) -> None:
    for status in statuses:
        followed.open(status=status)
        followed.now += REFUSED_SECONDS + 1
    assert followed.gaps == gaps


def test_a_right_that_is_missing_for_a_moment_ends_nothing(followed: Followed) -> None:
    followed.open()
    for _ in range(10):
        followed.open(status=403)
        followed.now += REFUSED_SECONDS / 11
    assert followed.gaps == 0

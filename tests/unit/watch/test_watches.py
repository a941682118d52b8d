"""An optional API that comes to be served, and that kopf does or does not come to watch."""

import asyncio

import pytest
from yarl import URL

from vllm_operator.watch import watches
from vllm_operator.watch.watches import OVERLOOKED_SECONDS, Watches


@pytest.mark.parametrize("forgotten", [False, True])
def test_kopf_overlooks_an_api(monkeypatch: pytest.MonkeyPatch, *, forgotten: bool) -> None:
    now, gaps = 100.0, 0

    def gap() -> None:
        nonlocal gaps
        gaps += 1

    monkeypatch.setattr(watches, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    found = Watches(gap, ("scaledobjects",))
    found.expect("scaledobjects")
    now += OVERLOOKED_SECONDS + 1
    if forgotten:
        found.forget("scaledobjects")
    found.expect("scaledobjects")
    assert gaps == (0 if forgotten else 1)


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

"""What a user's client takes of an answer, over real sockets."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from vllm_operator.cli.fleet import client
from vllm_operator.cli.fleet.client import FleetError, UserClient
from vllm_operator.manifests.metadata import Manifest

Asked = Callable[[UserClient], Awaitable[object]]


def answered(text: bytes, asked: Asked, times: int = 1) -> object:
    """What a client makes of a server that sends a text so many times."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(times):
            try:
                await response.write(text)
            except ConnectionError:
                break
        return response

    return served(handle, asked)


def served(handle: Callable[[web.Request], Awaitable[web.StreamResponse]], asked: Asked) -> object:
    """What a client makes of a server."""

    async def run() -> object:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with ApiClient(configuration=Configuration(host=host)) as connection:
                return await asked(UserClient(connection, "default"))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_an_answer_is_read() -> None:
    assert answered(b"vllm:a 1\n", lambda c: c.metrics("default", "p"), 2) == "vllm:a 1\nvllm:a 1\n"
    assert answered(b'{"items": []}', lambda c: c.find("Pod", None)) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_answer_sends_the_user_elsewhere(status: int) -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/api/v1/namespaces/b/services/s/proxy/buy"})

    assert served(handle, lambda c: c.metrics("default", "p")) is None
    assert asked == ["/api/v1/namespaces/default/pods/p:8000/proxy/metrics"]
    with pytest.raises(FleetError, match="answers with a redirect"):
        served(handle, lambda c: c.find("Pod", None))
    with pytest.raises(FleetError, match="answers with a redirect"):
        served(handle, lambda c: c.create("Pod", "a", {}))
    assert len(asked) == 3


def test_large_objects_come_in_pages_and_without_what_nobody_reads() -> None:
    asked: list[dict[str, str]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        number = int(request.query.get("continue", "0"))
        item = {"metadata": {"name": f"p{number}", "managedFields": [{"manager": "kubelet"}]}}
        rest = str(number + 1) if number < 2 else ""
        return web.json_response({"metadata": {"continue": rest}, "items": [item]})

    found = served(handle, lambda c: c.find("Pod", None, "app", page=1))
    assert found == [{"metadata": {"name": f"p{number}"}} for number in range(3)]
    one = {"labelSelector": "app", "limit": "1"}
    assert asked == [one, {**one, "continue": "1"}, {**one, "continue": "2"}]


@pytest.mark.parametrize("expires", [1, 2])
def test_a_list_whose_rest_is_gone_begins_anew_once(expires: int) -> None:
    left = [expires]

    async def handle(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("continue", "0"))
        if number == 1 and left[0]:
            left[0] -= 1
            return web.json_response({"kind": "Status", "message": "the provided continue is too old"}, status=410)
        metadata = {"continue": "1" if number == 0 else ""}
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": f"p{number}"}}]})

    def names(found: object) -> list[str]:
        return [one["metadata"]["name"] for one in cast("list[Manifest]", found)]

    if expires == 1:
        assert names(served(handle, lambda c: c.find("Pod", None, page=1))) == ["p0", "p1"]
    else:
        with pytest.raises(FleetError, match="too old"):
            served(handle, lambda c: c.find("Pod", None, page=1))


def test_what_is_written_goes_where_it_belongs() -> None:
    asked: list[tuple[str, str, str, bytes]] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append((request.method, request.path_qs, request.content_type, await request.read()))
        if request.method == "DELETE":
            return web.json_response({"kind": "Status", "message": "not found"}, status=404)
        return web.json_response({"metadata": {"name": "b", "uid": "u"}})

    async def write(client: UserClient) -> str:
        made = await client.create("InferenceBatch", "a", {"metadata": {"name": "b"}})
        await client.adopt("ConfigMap", "a", "c", {"apiVersion": "v1", "kind": "K", **made})
        await client.delete("Pod", "a", "p")
        return await client.whole_log("a", "p", "answers", 1 << 20)

    served(handle, write)
    owners = [{"apiVersion": "v1", "kind": "K", "name": "b", "uid": "u"}]
    assert [(verb, path) for verb, path, *_ in asked] == [
        ("POST", "/apis/vllm-operator.dev/v1alpha1/namespaces/a/inferencebatches"),
        ("PATCH", "/api/v1/namespaces/a/configmaps/c"),
        ("DELETE", "/api/v1/namespaces/a/pods/p"),
        ("GET", "/api/v1/namespaces/a/pods/p/log?container=answers"),
    ]
    assert json.loads(asked[0][3]) == {"metadata": {"name": "b"}}
    assert asked[1][2] == "application/merge-patch+json"
    assert json.loads(asked[1][3]) == {"metadata": {"ownerReferences": owners}}


def test_a_pod_that_answers_without_end_counts_as_silent() -> None:
    assert answered(b"x" * 65536, lambda c: c.metrics("default", "p"), 10_000) is None


def test_a_list_that_is_too_large_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LIST_BYTES", 1 << 20)
    with pytest.raises(FleetError, match="an answer is larger than 1 MiB: ask for less"):
        answered(b"x" * 65536, lambda c: c.find("Pod", None), 100)

"""What a user's client takes of an answer, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from vllm_operator.cli.fleet import client
from vllm_operator.cli.fleet.client import FleetError, UserClient

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

    async def run() -> object:
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
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


def test_a_pod_that_answers_without_end_counts_as_silent() -> None:
    assert answered(b"x" * 65536, lambda c: c.metrics("default", "p"), 10_000) is None


def test_a_list_that_is_too_large_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LIST_BYTES", 1 << 20)
    with pytest.raises(FleetError, match="an answer is larger than 1 MiB: ask for less"):
        answered(b"x" * 65536, lambda c: c.find("Pod", None), 100)

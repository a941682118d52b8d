"""Lists are read in parts that fit, however large the objects are that somebody writes."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from vllm_operator.watch.parts import CHUNK, Answer, Parts

MOST = 1 << 20


class Lister:
    """An API server on loopback with one list; it keeps how many objects were asked for each time."""

    def __init__(self, *sizes: int) -> None:
        self.items = [{"metadata": {"name": str(at)}, "data": "x" * size} for at, size in enumerate(sizes)]
        self.asked: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        limit, start = int(request.query["limit"]), int(request.query.get("continue", 0))
        self.asked.append(limit)
        more = {"continue": str(start + limit)} if start + limit < len(self.items) else {}
        answer = web.json_response({"items": self.items[start : start + limit], "metadata": more})
        answer.enable_compression()
        return answer

    async def names(self) -> list[str]:
        """What a client that pages as kopf does gets of it."""
        application = web.Application()
        application.router.add_get("/api/v1/pods", self.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        found: list[str] = []
        query = {"limit": str(CHUNK)}
        try:
            async with aiohttp.ClientSession(response_class=Answer, middlewares=(Parts(MOST),)) as session:
                while True:
                    async with session.get(f"http://127.0.0.1:{port}/api/v1/pods", params=query) as answer:
                        text = await answer.read()
                    assert len(text) <= MOST
                    page = json.loads(text)
                    found += [item["metadata"]["name"] for item in page["items"]]
                    if not (more := page["metadata"].get("continue")):
                        return found
                    query["continue"] = more
        finally:
            await runner.cleanup()


def test_usual_objects_come_as_many_as_ever() -> None:
    lister = Lister(*[100] * 1000)
    assert asyncio.run(lister.names()) == [str(number) for number in range(1000)]
    assert lister.asked == [CHUNK] * 3


def test_large_ones_come_a_few_at_a_time_and_those_after_them_again_as_usual() -> None:
    lister = Lister(*[100] * 50, *[300_000] * 20, *[100] * 3000)
    assert asyncio.run(lister.names()) == [str(number) for number in range(3070)]
    assert lister.asked[0] == CHUNK
    assert min(lister.asked) <= 3
    assert lister.asked[-1] == CHUNK
    assert len(lister.asked) < 50


def test_one_that_is_larger_than_any_breaks_off() -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match="an object of /api/v1/pods is larger than 1,048,576 bytes"):
        asyncio.run(Lister(2 * MOST).names())

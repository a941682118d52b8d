"""What answers at the addresses of fake pods: this machine, as a hostile pod would."""

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from vllm_operator.vllm.argv import PORT

# kwok gives pods addresses of this network.
ADDRESSES = [f"127.77.0.{number}" for number in range(2, 255)]
MIB = 1 << 20
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    """A body without end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


def says(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """The same answer to everything."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def silent(_: web.BaseRequest) -> web.StreamResponse:
    """No answer."""
    await asyncio.sleep(60)
    raise web.HTTPNoContent


ANSWERS: dict[str, Answer] = {
    "without end": endless,
    "packed": says(gzip.compress(b"x" * (256 * MIB)), headers={"Content-Encoding": "gzip"}),
    "somewhere else": says(b"", 302, {"Location": "http://127.0.0.1:1/secret"}),
    "deep": says(b"[" * 500_000),
    "a list": says(b"[1]"),
    "odd numbers": says(b'vllm:cache_config_info{kv_cache_max_concurrency="1e-320",kv_cache_size_tokens="nan"} 1.0\n'),
    "none": silent,
}


class LyingPods:
    """Serves one answer at all addresses while the block runs."""

    def __init__(self, answer: Answer, addresses: Sequence[str] = ADDRESSES) -> None:
        self.answer, self.asked = answer, 0
        self._addresses = addresses
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        await self._runner.cleanup()
        answering = asyncio.all_tasks() - {asyncio.current_task()}
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)

    async def _serve(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._count), shutdown_timeout=1)
        await self._runner.setup()
        for address in self._addresses:
            await web.TCPSite(self._runner, address, PORT).start()

    async def _count(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        return await self.answer(request)

"""Stands between the operator and the API server, and does what networks and overloaded API servers do."""

import asyncio
import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import yaml
from aiohttp import web

from cluster.control_plane import ControlPlane, free_ports

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
READS = ("GET", "HEAD")


class Asked(NamedTuple):
    """A request of the operator's."""

    at: float
    method: str
    path: str
    watch: bool


class Refusal(NamedTuple):
    """An answer that the API server did not give."""

    status: int
    retry_after: int | None = None


class FaultProxy:
    """Forwards everything, until told otherwise. Its hooks are called in its own thread."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._port = free_ports("proxy")["proxy"]
        self.asked: list[Asked] = []
        self.refused: list[tuple[Asked, Refusal]] = []
        self.refuse: Callable[[Asked], Refusal | None] = lambda _: None
        # Called before a request is forwarded, and before its answer is.
        self.before: Callable[[Asked], None] = lambda _: None
        self.after: Callable[[Asked], None] = lambda _: None
        self._swallowing = False
        self._mute: set[web.StreamResponse] = set()
        self._streams: set[web.StreamResponse] = set()
        logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # operators that are killed leave broken connections
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        """Listens."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """Closes every connection."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    def kubeconfig(self, direct: Path) -> Path:
        """A kubeconfig that leads here instead of to the API server."""
        config = yaml.safe_load(direct.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self._port}"
        path = direct.with_suffix(".proxied")
        path.write_text(yaml.safe_dump(config))
        return path

    @contextmanager
    def watches_cut(self) -> Iterator[None]:
        """No watch says anything any more, nor does a new one; nothing is closed, not even afterwards."""
        self._swallowing = True
        try:
            yield
        finally:
            self._mute |= self._streams
            self._swallowing = False

    def counted(self, since: float) -> Counter[tuple[str, str]]:
        """The requests since a time, by method and path. Without those of the Lease, which come all the time."""
        return Counter(
            (one.method, one.path) for one in list(self.asked) if one.at >= since and "/leases/" not in one.path
        )

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        certificates = self._plane.certificates
        listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        listening.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
        upstream = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        connector = aiohttp.TCPConnector(limit=0, ssl=upstream)
        async with aiohttp.ClientSession(
            self._plane.site.server,
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        ) as self._session:
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", self._forward)
            runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=listening).start()
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(time.monotonic(), request.method, request.path, "watch" in request.query)
        self.asked.append(asked)
        if asked.watch and self._swallowing:
            await asyncio.Event().wait()
        if refusal := self.refuse(asked):
            self.refused.append((asked, refusal))
            return _refusal(refusal)
        self.before(asked)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            async with self._session.request(
                request.method, request.rel_url, headers=headers, data=await request.read() or None
            ) as found:
                self.after(asked)
                return await self._pass_on(request, asked, found)
        except aiohttp.ClientError:
            # The API server or the operator is gone: the connection ends.
            if request.transport:
                request.transport.abort()
            return web.Response(status=502)

    async def _pass_on(self, request: web.Request, asked: Asked, found: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = {name: value for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP}
        answer = web.StreamResponse(status=found.status, headers=headers)
        await answer.prepare(request)
        if asked.watch:
            self._streams.add(answer)
        try:
            async for chunk in found.content.iter_any():
                if asked.watch and (self._swallowing or answer in self._mute):
                    await asyncio.Event().wait()
                await answer.write(chunk)
            if asked.watch and (self._swallowing or answer in self._mute):
                await asyncio.Event().wait()
            await answer.write_eof()
        finally:
            self._streams.discard(answer)
            self._mute.discard(answer)
        return answer


def _refusal(refusal: Refusal) -> web.Response:
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refusal.status, "message": "a fault"}
    return web.json_response(body, status=refusal.status, headers=headers)

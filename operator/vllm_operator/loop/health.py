"""/healthz, for the probes of the operator's own pod."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serve(port: int, trouble: Callable[[], str]) -> AsyncIterator[None]:
    """Answers at the port: 200, or 503 where `trouble()` says that only a restart helps."""

    async def answer(_: web.Request) -> web.Response:
        found = trouble()
        return web.Response(text=found or "ok", status=503 if found else 200)

    app = web.Application()
    app.add_routes([web.get("/healthz", answer)])
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()

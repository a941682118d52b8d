"""When each object's status said Ready for the first time, as a watch shows it, on this machine's clock."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from cluster.control_plane import ControlPlane

# A line of a watch is a whole object.
_LINE_BYTES = 1 << 22


class Readiness:
    """Watches the objects at a URL path while its block runs. `is_ready(object)`: whether one's status says that."""

    def __init__(self, plane: ControlPlane, collection: str, is_ready: Callable[[dict[str, Any]], bool]) -> None:
        self._plane, self._collection, self._is_ready = plane, collection, is_ready
        self.at: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _watch(self) -> None:
        api = self._plane.api()
        connector = aiohttp.TCPConnector(ssl=api.context)
        whole = aiohttp.ClientTimeout(total=None)  # a watch lasts
        async with aiohttp.ClientSession(
            api.server, connector=connector, read_bufsize=_LINE_BYTES, timeout=whole
        ) as session:
            while not self._stop.is_set():
                # Without a version every object is shown anew: nothing is missed, and what is known stays.
                query = {"watch": "true", "timeoutSeconds": "600"}
                async with session.get(self._collection, params=query) as answer:
                    await self._read(answer)

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        reading = asyncio.ensure_future(answer.content.readline())
        while not self._stop.is_set():
            done, _ = await asyncio.wait({reading}, timeout=1)
            if not done:
                continue
            if not reading.result():
                return
            event = json.loads(reading.result())
            if event["type"] == "ERROR":
                return  # it is opened anew
            self._note(event["object"])
            reading = asyncio.ensure_future(answer.content.readline())
        reading.cancel()

    def _note(self, item: dict[str, Any]) -> None:
        if self._is_ready(item):
            self.at.setdefault(item["metadata"]["name"], time.time())

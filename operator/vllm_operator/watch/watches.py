"""Whether kopf's watches live, and whether they have shown everything: told from the requests that kopf makes.

Each watch is opened anew at least once in WATCH_SECONDS, from the version where the last one ended, so that one whose
connection was cut in silence misses nothing. One that is not opened any more is dead. And where the API server does not
know any longer what happened since that version, kopf lists everything again, and what was deleted meanwhile would
still be known: then only a fresh start shows the cluster as it is, but where no event came since the last list.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
from yarl import URL

from .. import metrics
from ..api.encoding import Page
from . import parts
from .lists import Lists

log = logging.getLogger(__name__)

# A watch ends after so long, by itself; where it does not, or says nothing for the longer time, kopf opens a new one.
WATCH_SECONDS = 30
SILENCE_SECONDS = 40
CONNECT_SECONDS = 10
# Two tries of kopf, and some more.
DEAD_SECONDS = 90.0
# kopf logs in again for every 401.
LOGIN_SECONDS = 5.0
GONE_API_SECONDS = 1.0
# How often each watch, and each list, is asked for again where the API server, or a proxy before it, answers 5xx.
UNABLE_SECONDS = 3.0
# A watch that lives was opened since, unless the API server is slow.
ENDED_SECONDS = SILENCE_SECONDS + CONNECT_SECONDS
# As long as rights may be missing while Kubernetes is upgraded.
REFUSED_SECONDS = 60.0
# Longer than it takes to list everything before the first watch.
OVERLOOKED_SECONDS = 60.0


class _Answer(parts.Answer):
    """An answer of the API server, of which kopf sees what is not taken beforehand."""

    lists: Lists

    async def json(self, **options: Any) -> Any:
        """The body. A list of no objects may have `null` for its items, which kopf does not take."""
        if self.status == 200 and self.lists.takes(self.url):
            return self.lists.take(self.url, Page.of(await self.read()))
        found = await super().json(**options)
        return {**found, "items": found["items"] or []} if isinstance(found, dict) and "items" in found else found


class Watches:
    """The watches of one operator. `on_gap()` is called when one has missed something: all has to start again; and
    `on_all()` when all that was there has been shown.

    `optional` are the resources (plurals) that the cluster may come to serve, and cease to serve; of those in
    `metadata_only` nothing but the metadata is asked for.
    """

    def __init__(
        self,
        on_gap: Callable[[], None],
        on_all: Callable[[], None] = lambda: None,
        optional: Collection[str] = (),
        metadata_only: Collection[str] = (),
    ) -> None:
        self._on_gap, self._optional, self._metadata_only = on_gap, optional, metadata_only
        self.lists = Lists(on_all)
        self._opened: dict[str, float] = {}
        self._overlooked: dict[str, float] = {}
        # Since when the API server refuses a watch that it has given before, by path.
        self._refused: dict[str, float] = {}
        self._login_at = -LOGIN_SECONDS

    async def login(self, **kwargs: Any) -> kopf.AiohttpSession | None:
        """kopf's connection to the API server, of which every request is seen here."""
        await asyncio.sleep(self._login_at + LOGIN_SECONDS - time.monotonic())
        self._login_at = time.monotonic()
        connection = kopf.login_with_service_account(**kwargs)
        if connection is not None:
            # By address, as every other client does: the operator needs no DNS.
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
            connection = replace(connection, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")
        else:
            connection = kopf.login_with_kubeconfig(**kwargs)
        if connection is None:
            return None

        class Answer(_Answer):
            lists = self.lists

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=connection.as_ssl_context()),
            headers=connection.as_http_headers(),
            proxy=connection.proxy_url,
            trace_configs=[self._trace()],
            response_class=Answer,
            middlewares=(self._outlive_api, self._ask_for_metadata, parts.Parts()),
        )
        return kopf.AiohttpSession(server=connection.server, aiohttp_session=session, expiration=connection.expiration)

    def configure(self, watching: Any, networking: Any) -> None:
        """kopf's settings that a silent cut is found by."""
        watching.server_timeout = WATCH_SECONDS
        watching.inactivity_timeout = SILENCE_SECONDS
        watching.connect_timeout = networking.connect_timeout = CONNECT_SECONDS
        networking.request_timeout = 2 * SILENCE_SECONDS  # a list of everything

    def expect(self, plural: str) -> None:
        """The cluster serves these objects.

        kopf looks when their API is made. It overlooks one that comes late, and ends the watch of one that came back
        before it had seen it go.
        """
        if not self.lists.complete:
            return
        now = time.monotonic()
        if any(path.rpartition("/")[2] == plural and now - at < ENDED_SECONDS for path, at in self._opened.items()):
            self._overlooked.pop(plural, None)
        elif now - self._overlooked.setdefault(plural, now) > OVERLOOKED_SECONDS:
            log.warning("%s are not watched: starting again", plural)
            self._on_gap()

    def forget(self, plural: str) -> None:
        """The cluster does not serve these objects any more."""
        self._overlooked.pop(plural, None)
        self._opened = {path: at for path, at in self._opened.items() if path.rpartition("/")[2] != plural}
        metrics.watches.forget(plural)
        self.lists.forget(plural)

    def dead(self) -> list[str]:
        """The paths of watches that ought to have been opened again, and were not."""
        now = time.monotonic()
        return sorted(path for path, at in self._opened.items() if now - at > DEAD_SECONDS)

    async def _outlive_api(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Holds back what kopf would end for: that an optional API, or a list, is gone, and that the API server fails.

        It ends the watch of an API once it sees that it is gone. For the API server it waits as long as its own time
        for an answer is, and then asks anew: as where there is none.
        """
        response = await send(request)
        while (seconds := self._holds_back(request.url, response.status)) is not None:
            response.release()
            await asyncio.sleep(seconds)
            response = await send(request)
        if response.status == 410 and "continue" in request.url.query:
            # The parts took too long. kopf would end; so it lists anew.
            raise aiohttp.ClientPayloadError("the rest of the list is not there any more")
        return response

    def _holds_back(self, url: URL, status: int) -> float | None:
        """Seconds after which to ask again, where kopf is not to see an answer; None where it is."""
        if status == 404 and url.name in self._optional:
            self.lists.forget(url.name)
            return GONE_API_SECONDS
        if status < 500:
            return None
        if "watch" in url.query:
            # Not dead: a restart would be answered the same.
            self._opened[url.path] = time.monotonic()
        return UNABLE_SECONDS

    async def _ask_for_metadata(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """See https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources."""
        if request.url.name in self._metadata_only:
            kind = "PartialObjectMetadata" if "watch" in request.url.query else "PartialObjectMetadataList"
            request.headers["Accept"] = f"application/json;as={kind};g=meta.k8s.io;v=v1"
        return await send(request)

    def _trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._answered)
        return trace

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        is_watch = "watch" in params.url.query
        if params.response.status == 403 and is_watch and params.url.path in self._opened:
            self._refuse(params.url.path)
        if params.response.status != 200:
            return
        if is_watch:
            self._opened[params.url.path] = time.monotonic()
            self._refused.pop(params.url.path, None)
            metrics.watches.accepted(params.url.path)
        elif params.url.path in self._opened and self.lists.moved(params.url.path):
            log.warning("the watch of %s may have missed something: starting again", params.url.path)
            self._on_gap()

    def _refuse(self, path: str) -> None:
        """kopf would ask for ever. A fresh start leaves out the namespace, or says which right is missing."""
        now = time.monotonic()
        if now - self._refused.setdefault(path, now) > REFUSED_SECONDS:
            log.warning("may not watch %s any more: starting again", path)
            self._on_gap()

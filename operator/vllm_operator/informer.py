"""kopf with its memory switched off, and its watches seen. We keep no state on objects and compare none.

kopf otherwise copies the essence of each object at each event, which was more than half of the operator's work.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import kopf


@dataclass(frozen=True, kw_only=True)
class _Session(kopf.AiohttpSession):
    """Equal to another one with the same credentials: kopf tries none again that the API server has refused."""

    info: kopf.ConnectionInfo
    aiohttp_session: aiohttp.ClientSession = field(compare=False)


def watched(info: kopf.ConnectionInfo, accepted: Callable[[str], None]) -> kopf.AiohttpSession:
    """The session that kopf would make itself, except that `accepted` is told the path of each watch that begins."""

    async def began(_session: aiohttp.ClientSession, _context: object, ended: aiohttp.TraceRequestEndParams) -> None:
        if "watch" in ended.url.query and ended.response.ok:
            accepted(ended.url.path)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(began)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        trace_configs=[trace],
    )
    return _Session(
        info=info,
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
        aiohttp_session=session,
    )


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no object as it was last handled, and sees no difference."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of the object."""
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing was stored."""
        return None

    def store(self, **_: Any) -> None:
        """Stores nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no progress: our handlers are called for each event, and never again."""

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Stores nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing is there to remove."""

    def touch(self, **_: Any) -> None:
        """Nothing is there to touch."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is: nothing of ours is in it."""
        return essence

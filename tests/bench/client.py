"""Requests to a control plane as fast as it takes them; and the bare client, which is what an operator is measured by.

The bare client sends for each object what the operator has sent: the same applies, status and Event. It knows all of
it beforehand and decides nothing, so it is what the machine can do.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.profiles import Profile, Request, named, namespace
from cluster.control_plane import ControlPlane
from vllm_operator.cluster import METADATA_ONLY, path

Ask = Callable[[Request], Awaitable[dict[str, Any]]]
_TYPES = {"PATCH": "application/apply-patch+yaml", "MERGE": "application/merge-patch+json"}
# As many as a user's client creates at once.
CREATIONS = 8


@asynccontextmanager
async def connected(plane: ControlPlane, at_once: int) -> AsyncIterator[Ask]:
    """Sends requests (verb, path, body) as the cluster's admin, over connections that are kept."""
    api = plane.api()
    connector = aiohttp.TCPConnector(ssl=api.context, limit=at_once)
    whole = aiohttp.ClientTimeout(total=None)  # the time of one that waits for a connection counts
    async with aiohttp.ClientSession(api.server, connector=connector, timeout=whole) as session:

        async def ask(request: Request) -> dict[str, Any]:
            verb, url, body = request
            headers = {"Content-Type": _TYPES.get(verb, "application/json"), **METADATA_ONLY}
            sent = "PATCH" if verb == "MERGE" else verb
            async with session.request(sent, url, json=body, headers=headers) as answer:
                if answer.status >= 300:
                    raise SystemExit(f"{verb} {url}: {answer.status} {await answer.text()}")
                found: dict[str, Any] = await answer.json()
                return found

        yield ask


async def send(plane: ControlPlane, requests: Sequence[Request], at_once: int) -> None:
    """Sends all of them."""
    async with connected(plane, at_once) as ask:
        await asyncio.gather(*map(ask, requests))


@dataclass(frozen=True)
class Told:
    """What an operator said of one object when it was Ready: its status, and its Events."""

    api_version: str
    kind: str
    status: dict[str, Any]
    events: list[dict[str, Any]]

    @classmethod
    def of(cls, plane: ControlPlane, profile: Profile) -> "Told":
        """Of the first object."""
        item = plane.api().get(profile.url(0)) or {}
        query = f"fieldSelector=involvedObject.uid%3D{item['metadata']['uid']}"
        events = (plane.api().get(f"{path('Event', namespace(0))}?{query}") or {"items": []})["items"]
        return cls(item["apiVersion"], item["kind"], item["status"], events)

    def again(self, profile: Profile, number: int, uid: str) -> list[Request]:
        """The same of another object."""
        url, where = f"{profile.url(number)}/status?fieldManager=bench&force=true", namespace(number)
        meta = {"name": named(number), "namespace": where, "uid": uid}
        body = {"apiVersion": self.api_version, "kind": self.kind, "metadata": meta, "status": self.status}
        requests: list[Request] = [("PATCH", url, body)]
        for at, event in enumerate(self.events):
            about = {**event["involvedObject"], "name": named(number), "namespace": where, "uid": uid}
            about.pop("resourceVersion", None)
            its = {"name": f"{named(number)}.{at}", "namespace": where}
            said = {**event, "metadata": its, "involvedObject": about}
            requests.append(("POST", path("Event", where), said))
        return requests


async def stand_in(plane: ControlPlane, profile: Profile, told: Told, count: int, at_once: int) -> float:
    """Creates so many objects as a user does, and sends for each what the operator has sent.

    Returns when the last child that makes pods was applied, on this machine's clock.
    """
    assert profile.applies
    applies = profile.applies
    creations, slots = asyncio.Semaphore(CREATIONS), asyncio.Semaphore(at_once)
    applied = 0.0
    async with connected(plane, CREATIONS + at_once) as ask:

        async def one(number: int) -> None:
            nonlocal applied
            async with creations:
                made = await ask(("POST", profile.collection(namespace(number)), profile.body(number)))
            async with slots:
                uid = made["metadata"]["uid"]
                for request in applies(number, uid):
                    await ask(request)
                    if f"/{profile.last}/" in request[1]:
                        applied = time.time()
                for request in told.again(profile, number, uid):
                    await ask(request)

        await asyncio.gather(*map(one, range(count)))
    return applied

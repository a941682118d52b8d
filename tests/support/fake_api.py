"""An API server in memory, for tests of the loop in milliseconds: server-side apply, status, deletes and Events.

It keeps what is asked of it, and shows it as the operator's own watches would. What a real API server makes of a
manifest (defaults, validation, fields of several managers) it does not do: tests/control_plane asks a real one.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic.exceptions import api_exception

from support.kube import Object
from vllm_operator.manifests.names import FIELD_MANAGER
from vllm_operator.watch.sources import Source


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Exception:
    """What the client raises for an answer of the API server."""
    error = ApiException(status=status, reason=message)
    error.body = json.dumps({"kind": "Status", "message": message, "code": status})
    error.headers = {"Content-Type": "application/json", **(headers or {})}
    refused: Exception = api_exception(error)
    return refused


class _Answer(SimpleNamespace):
    status = 200

    @property
    def content(self) -> "_Answer":
        """As aiohttp's answers have it: to be read in chunks."""
        return self

    def close(self) -> None:
        """Nothing is open."""

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        body = await self.read()
        for at in range(0, len(body), size):
            yield body[at : at + size]

    async def read(self) -> bytes:
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class FakeApi:
    """Objects by URL path. `requests` has (verb, path) of each request, or ("try", path) of one that stores nothing;
    `refuse` what to raise for one, by its verb and path.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    refuse: dict[tuple[str, str], Exception] = field(default_factory=dict)
    workloads: list[Object] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    _versions: Iterable[int] = field(default_factory=lambda: count(100))

    async def request(self, verb: str, url: str, **options: Any) -> Any:
        """One request, as kubernetes' DynamicClient makes it."""
        only_tried = ("dryRun", "All") in options.get("query_params", ())
        self.requests.append(("try" if only_tried else verb, url))
        await asyncio.sleep(0)  # others go on meanwhile
        if error := self.refuse.get((verb, url)):
            raise error
        if verb == "get" and url.endswith("/events"):
            return _Answer(body={"items": self._events(dict(options["query_params"])["fieldSelector"])})
        if only_tried:
            kept = deepcopy(self.objects)
            answer = _Answer(body=self._write(verb, url, options["body"]))
            self.objects.clear()
            self.objects.update(kept)
            return answer
        return _Answer(body=self._read(url) if verb == "get" else self._write(verb, url, options["body"]))

    def _events(self, selector: str) -> list[Object]:
        """Those about the object; one that names none is about each."""
        uids = [(event, event.get("involvedObject", {}).get("uid")) for event in self.events]
        return [event for event, uid in uids if uid is None or selector == f"involvedObject.uid={uid}"]

    def _read(self, url: str) -> Any:
        if url.endswith("/log"):
            return self.logs.get(url, "")
        if url.endswith("/workloads"):
            return {"items": self.workloads}
        return self._existing(url)

    def _write(self, verb: str, url: str, body: Object) -> Object:
        match verb:
            case "patch":
                return self._apply(url, body)
            case "put":
                return self._replace(url, body)
            case "delete":
                self._existing(url)
                return self.objects.pop(url)
            case "post":
                return body
        raise AssertionError(f"the operator asks for {verb} {url}")

    def _existing(self, url: str) -> Object:
        if url not in self.objects:
            raise refusal(404, f"{url} not found")
        return self.objects[url]

    def _apply(self, url: str, body: Object) -> Object:
        if url.endswith("/status"):
            stored = self._existing(url.removesuffix("/status"))
            stored["status"] = body["status"]
            stored["metadata"]["resourceVersion"] = self._version()
            return stored
        before = self.objects.get(url)
        wanted = body["metadata"].get("resourceVersion")
        if before and wanted not in (None, before["metadata"]["resourceVersion"]):
            raise refusal(409, "the object has been modified")
        self.put(url, {**(before or {}), **body})
        return self.objects[url]

    def _replace(self, url: str, body: Object) -> Object:
        """As it is for Leases: what exists is replaced only by who names its version."""
        before, wanted = self.objects.get(url), body["metadata"].get("resourceVersion")
        if before and wanted is None:
            raise refusal(422, "metadata.resourceVersion: must be specified for an update")
        if wanted is not None:
            version = self._existing(url)["metadata"]["resourceVersion"]
            if wanted != version:
                raise refusal(409, "the object has been modified")
        self.put(url, body)
        return self.objects[url]

    def put(self, url: str, body: Object) -> None:
        """Makes an object, or changes it, as an apply of ours would."""
        before = self.objects.get(url, {}).get("metadata", {})
        meta = {
            "uid": before.get("uid") or f"uid-of-{url}",
            "generation": before.get("generation", 0) + 1,
            **body["metadata"],
            "resourceVersion": self._version(),
            "managedFields": [_entry(body)],
        }
        self.objects[url] = deepcopy({**body, "metadata": meta})

    def edit(self, url: str) -> None:
        """Somebody else changes a field of ours: the API server takes it off our entry."""
        meta = self.objects[url]["metadata"]
        meta["managedFields"] = [{**meta["managedFields"][0], "fieldsV1": {"f:spec": {}}}]
        meta["resourceVersion"] = self._version()

    def disown(self, url: str) -> None:
        """Somebody takes the owner reference of an object of ours away."""
        self.objects[url]["metadata"].pop("ownerReferences")
        self.edit(url)

    def _version(self) -> str:
        return str(next(iter(self._versions)))

    def shown(self, sources: Iterable[Source]) -> dict[str, dict[Any, list[Any]]]:
        """All objects as the indices of watch/ would hold them."""
        indices: dict[str, dict[Any, list[Any]]] = {}
        for source in sources:
            for name, snapshot in source.indices.items():
                index = indices.setdefault(name, {})
                for body in self._of(source):
                    for key, kept in snapshot(body).items():
                        index.setdefault(key, []).append(kept)
        return indices

    def _of(self, source: Source) -> list[Object]:
        root = "/apis" if source.resource.group else "/api"
        prefix, plural = f"{root}/{source.resource.api_version}/", f"/{source.resource.plural}/"
        return [body for url, body in self.objects.items() if url.startswith(prefix) and plural in url]


def _entry(body: Object) -> Object:
    metadata = {
        key: value for key, value in body["metadata"].items() if key in ("labels", "annotations", "ownerReferences")
    }
    said = {key: value for key, value in body.items() if key not in ("apiVersion", "kind", "status")}
    return {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": _fields({**said, "metadata": metadata})}


def _fields(value: Any) -> Object:
    """Lists are owned as a whole here."""
    return {f"f:{key}": _fields(part) for key, part in value.items()} if isinstance(value, dict) else {}

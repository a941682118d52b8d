"""The only module that talks to the API server, kopf's watches aside: read, apply, delete, status, Events."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, Protocol
from uuid import uuid4

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError, NotFoundError, UnprocessibleEntityError

from . import metrics
from .api import limits
from .api.resource import Reference
from .api.times import written
from .manifests.metadata import Manifest, compact
from .manifests.names import FIELD_MANAGER, JOB_UID_LABEL
from .resources import RESOURCES, Resource
from .snapshots.pod_event import PodEvent, snapshots
from .turns.few import Few

log = logging.getLogger(__name__)
# Server-side apply refuses unknown fields in any case. To look for keys that are there twice, which JSON made of a dict
# cannot have, the API server would parse the body once more: 7 % of its CPU time in a burst of new services.
_NO_SECOND_PARSING = ("fieldValidation", "Ignore")
# Of what a write makes, the metadata tells its version and which fields are ours. The rest, of a Deployment 25 KB, is
# written out and read for nobody. An API that has no such form answers with the whole object.
METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"}
# How the API server begins where the schema that it has, perhaps of an older version of a CRD, lacks a field of ours
# (Kubernetes 1.36, managedfields' structuredMergeManager.Apply). It answers 500, and says so for as long as that is so.
_NOT_IN_SCHEMA = "failed to create typed "
# A version that no object of ours can have: a cluster's first write is of it. Server-side apply refuses (409) to change
# an object of another version than the one named, and still makes an object that is not there.
NO_VERSION = "1"
# The API server makes Services one after the other, as it holds a lock while it writes the IP address of each
# (Kubernetes 1.36, MetaAllocator.AllocateNextService). More of them at once only wait there, until their time is over.
SERVICES_AT_ONCE = 3
# A read that gets no answer is tried again. A write has as long as the Lease allows: at most 14 s.
REQUEST_SECONDS = 30.0
# Where the Events about cluster-scoped objects are.
EVENTS_OF_CLUSTER = "default"
LEASE_REQUEST_SECONDS = 4.0
# As long as the queue waits after failures.
LONGEST_RETRY_SECONDS = 60.0


class RefusedError(Exception):
    """The API server refuses what the spec leads to: only the user, or the platform team, can change that."""


class GoneError(Exception):
    """The object, its namespace or its API does not exist (any more)."""


class UnavailableError(Exception):
    """The API server cannot be reached, or cannot do it now: worth another try, after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def path(kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """URL path of an object, or of a kind in a namespace; of cluster-scoped ones, the namespace is empty."""
    return RESOURCES[kind].path(namespace, name, subresource)


class Requests(Protocol):
    """What of a DynamicClient is used. It needs no discovery: the kinds that we touch are known."""

    async def request(self, verb: str, url: str, **options: Any) -> Any:
        """One request; raises DynamicApiError for a refusal."""


class Cluster:
    """A connection to one API server.

    `may_write(namespace)`: for how many seconds this operator may write there, as the Leases say; 0: not now. A write
    is over by then, also at the API server, which would else go on with what is queued after we have hung up.
    """

    def __init__(self, client: Requests, may_write: Callable[[str], float]) -> None:
        self._client, self._may_write = client, may_write
        self._services = Few(SERVICES_AT_ONCE)

    async def _request(self, verb: str, url: str, *, seconds: float = REQUEST_SECONDS, **options: Any) -> Manifest:
        return dict(json.loads(await self._body(verb, url, seconds, **options)))

    async def _body(
        self, verb: str, url: str, seconds: float = REQUEST_SECONDS, most: int = 0, **options: Any
    ) -> bytes:
        started = perf_counter()
        code = "error"
        try:
            response = await self._client.request(verb, url, serialize=False, _request_timeout=seconds, **options)
            code = str(response.status)
            return await _bounded(response, most) if most else bytes(await response.read())
        except NotFoundError as error:
            code = "404"
            raise GoneError(_reason(error)) from error
        except DynamicApiError as error:
            code = str(error.status)
            if error.status in (400, 403, 422) or _reason(error).startswith(_NOT_IN_SCHEMA):
                raise RefusedError(_reason(error)) from error
            raise UnavailableError(f"{error.status} {_reason(error)}", _retry_after(error)) from error
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise UnavailableError(f"{type(error).__name__}: {error}") from error
        finally:
            metrics.api_requests.labels(verb, code).inc()
            metrics.api_seconds.labels(verb).observe(perf_counter() - started)

    async def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object, or None where there is none."""
        try:
            return await self._request("get", path(kind, namespace, name))
        except GoneError:
            return None

    async def read_log(self, namespace: str, pod: str, container: str, *, previous: bool) -> str:
        """The last lines of a container's log, or of the one before it; empty where there is none (any more).

        Raises OverLimitError where these lines are longer than any of vLLM's.
        """
        url = path("Pod", namespace, pod, "log")
        query = [("container", container), ("previous", str(previous).lower()), ("tailLines", str(limits.LOG_LINES))]
        try:
            text = await self._body("get", url, most=limits.LOG_READ_BYTES, query_params=query)
        except (RefusedError, GoneError, UnavailableError) as error:
            log.info("no log of %s/%s: %s", namespace, pod, error)
            return ""
        return limits.cut_lines(text[-limits.LOG_BYTES :].decode(errors="replace"))

    async def read_events(self, namespace: str, about: str) -> tuple[PodEvent, ...]:
        """The Events about an object, by a field selector like involvedObject.uid=U; none where they cannot be read.

        Raises OverLimitError where they are larger than Kubernetes' own.
        """
        query = [("fieldSelector", about), ("limit", str(limits.EVENTS))]
        try:
            text = await self._body("get", path("Event", namespace), most=limits.EVENTS_BYTES, query_params=query)
        except (RefusedError, GoneError, UnavailableError) as error:
            log.info("no Events of %s in %s: %s", about, namespace, error)
            return ()
        return snapshots(limits.parsed(text.decode(), "the list", limits.EVENTS_BYTES)["items"])

    async def read_queue(self, namespace: str, uid: str) -> str:
        """What Kueue says of why it holds the Job of this uid; empty where it says nothing, or cannot be asked."""
        query = [("labelSelector", f"{JOB_UID_LABEL}={uid}"), ("limit", "1")]
        try:
            text = await self._body("get", path("Workload", namespace), most=limits.EVENTS_BYTES, query_params=query)
            items = limits.mapping(limits.parsed(text.decode(), "the list", limits.EVENTS_BYTES)).get("items") or [{}]
        except (RefusedError, GoneError, UnavailableError, limits.OverLimitError) as error:
            log.info("no Workload of Job %s in %s: %s", uid, namespace, error)
            return ""
        status = limits.mapping(limits.mapping(items[0]).get("status"))
        conditions = map(limits.mapping, status.get("conditions") or ())
        waits = [one for one in conditions if one.get("type") == "QuotaReserved"]
        return limits.text_of(waits[0].get("message"), limits.EVENT_CHARACTERS // 4) if waits else ""

    async def read_slices(self) -> list[Manifest]:
        """All ResourceSlices. Raises OverLimitError where they are more than any driver's."""
        query, found, more = [("limit", str(limits.SLICES))], list[Manifest](), ""
        for _ in range(limits.SLICE_PAGES):
            asked = [*query, ("continue", more)] if more else query
            text = await self._body("get", path("ResourceSlice", ""), most=limits.SLICES_BYTES, query_params=asked)
            page = await asyncio.to_thread(_page, text)
            found += page.get("items") or ()
            more = str(limits.mapping(page.get("metadata")).get("continue") or "")
            if not more:
                return found
        raise limits.OverLimitError(f"the list of ResourceSlices has more than {limits.SLICE_PAGES} pages")

    async def serves(self, kind: str) -> bool | None:
        """Whether the cluster knows an optional kind, and takes objects of it; None where the API server will not say.

        An API that is being deleted takes none. Raises UnavailableError where the API server does not answer.
        """
        resource = RESOURCES[kind]
        try:
            group = await self._request("get", f"/apis/{resource.api_version}")
        except GoneError:
            return False
        except RefusedError as error:
            log.warning("cannot tell whether the cluster serves %s: %s", kind, error)
            return None
        verbs = {entry["name"]: entry.get("verbs") or () for entry in group.get("resources", ())}
        return "patch" in verbs.get(resource.plural, ())

    async def version(self) -> tuple[int, int] | None:
        """Kubernetes' version, major and minor, as the API server says it; None where it does not say."""
        try:
            said = await self._request("get", "/version")
            return int(said["major"]), int(str(said["minor"]).rstrip("+"))
        except (RefusedError, GoneError, UnavailableError, KeyError, ValueError) as error:
            log.warning("cannot tell the API server's version: %s", error)
            return None

    async def may_list(self, resource: Resource, namespace: str = "") -> bool | None:
        """Whether this operator may list objects in a namespace, or in the whole cluster; None: there is no such API.

        Raises UnavailableError where the API server does not answer.
        """
        try:
            await self._request("get", resource.path(namespace), query_params=[("limit", "1")])
        except GoneError as error:
            log.info("cannot list %s: %s", resource.plural, error)
            return None
        except RefusedError as error:
            log.info("cannot list %s: %s", resource.plural, error)
            return False
        return True

    async def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Server-side apply of everything that we own in the object; returns its metadata as they then stand.

        `dry_run`: it is only tried. Raises RefusedError where the API server finds the manifest wrong, GoneError where
        its namespace or API is gone.
        """
        kind, meta = manifest["kind"], manifest["metadata"]
        send = partial(self._apply, path(kind, meta["namespace"], meta["name"]), manifest, dry_run=dry_run)
        return await self._services.do(meta["namespace"], send) if kind == "Service" else await send()

    async def apply_new(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest | None:
        """As `apply`, for an object that does not exist yet; where it does, nothing is changed and None returned."""
        meta = {**manifest["metadata"], "resourceVersion": NO_VERSION}
        try:
            return await self.apply({**manifest, "metadata": meta}, dry_run=dry_run)
        except UnavailableError as error:
            if _is_conflict(error):
                return None
            raise

    async def hold_replicas(self, workload: tuple[str, str], namespace: str, least: int) -> None:
        """Lets another field manager of ours own a workload's replicas, before our apply gives them up.

        A field that its only owner drops goes back to its default: the workload would fall to one pod. The live count
        is kept, as it is in this moment; in place of 0, which no HorizontalPodAutoscaler scales, it becomes `least`.
        """
        kind, name = workload
        found = await self.read(kind, namespace, name)
        if found is None:
            return
        spec = {"replicas": found["spec"].get("replicas", 1) or least}
        meta = {"name": name, "namespace": namespace}
        body = {"apiVersion": found["apiVersion"], "kind": kind, "metadata": meta, "spec": spec}
        await self._apply(path(kind, namespace, name), body, f"{FIELD_MANAGER}-replicas")

    async def apply_status(self, about: Reference, status: Mapping[str, Any]) -> Manifest:
        """Writes the whole status; what is left out is removed. Returns the object's metadata.

        Raises GoneError where it was deleted.
        """
        # With the uid, a status meant for a deleted object never lands on its successor, nor creates anything.
        meta = compact({"name": about.key.name, "namespace": about.key.namespace or None, "uid": about.uid})
        body = {"apiVersion": about.api_version, "kind": about.kind, "metadata": meta, "status": dict(status)}
        return await self._apply(path(about.kind, *about.key, "status"), body)

    async def _apply(
        self, url: str, body: Manifest, manager: str = FIELD_MANAGER, *, dry_run: bool = False
    ) -> Manifest:
        query = [("fieldManager", manager), ("force", "true"), _NO_SECOND_PARSING]
        query += [("dryRun", "All")] if dry_run else []
        namespace = body["metadata"].get("namespace", "")
        kind = "application/apply-patch+yaml"
        return await self._write(
            "patch", url, namespace, body=body, content_type=kind, query_params=query, header_params={**METADATA_ONLY}
        )

    async def _write(
        self, verb: str, url: str, namespace: str, query_params: Iterable[tuple[str, str]] = (), **options: Any
    ) -> Manifest:
        seconds = self._may_write(namespace)
        if seconds <= 0:
            raise UnavailableError(f"this operator does not hold the Lease for namespace {namespace} (any more)")
        query = [*query_params, ("timeout", f"{int(seconds * 1000)}ms")]
        return await self._request(verb, url, seconds=seconds, query_params=query, **options)

    async def delete(self, kind: str, namespace: str, name: str, uid: str = "") -> None:
        """Deletes an object and, in the background, what it owns; where it has a `uid`, none but that one.

        One that is gone already is no error.
        """
        url, only = path(kind, namespace, name), {"preconditions": {"uid": uid}} if uid else {}
        try:
            await self._write("delete", url, namespace, body={"propagationPolicy": "Background", **only})
        except GoneError:
            log.debug("%s %s/%s was gone already", kind, namespace, name)
        except UnavailableError as error:
            if not (uid and _is_conflict(error)):
                raise
            log.info("%s %s/%s is another one", kind, namespace, name)

    async def post_event(self, about: Reference, kind: str, reason: str, message: str) -> None:
        """Posts an Event about an object; `kind` is Normal or Warning. Never fails: an Event is a courtesy."""
        namespace = about.key.namespace or EVENTS_OF_CLUSTER
        now = written(datetime.now(UTC))
        named = {"namespace": about.key.namespace or None, "name": about.key.name, "uid": about.uid}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about.key.name}.{uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": compact({"apiVersion": about.api_version, "kind": about.kind, **named}),
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            url, answer = path("Event", namespace), {**METADATA_ONLY}
            await self._write("post", url, about.key.namespace, body=event, header_params=answer)
        except (RefusedError, GoneError, UnavailableError) as error:
            log.info("no Event for %s: %s", about.key, error)

    async def write_lease(self, lease: Manifest) -> Manifest | None:
        """Creates a Lease, or replaces the version that it names; None where that is not the newest one."""
        meta = lease["metadata"]
        url = path("Lease", meta["namespace"], meta["name"])
        try:
            return await self._request("put", url, body=lease, seconds=LEASE_REQUEST_SECONDS)
        except GoneError:
            if "resourceVersion" in meta:
                return None
            raise
        except UnavailableError as error:
            if _is_conflict(error):
                return None
            raise
        except RefusedError as error:
            # To create what exists is to replace it without naming a version.
            if "resourceVersion" not in meta and isinstance(error.__cause__, UnprocessibleEntityError):
                return None
            raise


def _page(text: bytes) -> Mapping[str, Any]:
    what = "the list of ResourceSlices"
    return limits.mapping(limits.parsed(text.decode(), what, limits.SLICES_BYTES, limits.SLICES_VALUES))


async def _bounded(response: Any, most: int) -> bytes:
    """The body of an answer. Raises OverLimitError where it is larger than `most` bytes, without reading the rest."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(most):
        body += chunk
        if len(body) > most:
            response.close()
            raise limits.OverLimitError(f"larger than {most // limits.MIB} MiB")
    return bytes(body)


def _is_conflict(error: UnavailableError) -> bool:
    """Whether the object is of another version than the request names."""
    return getattr(error.__cause__, "status", None) == 409


def _retry_after(error: DynamicApiError) -> float:
    """Seconds that the API server, or what stands before it, asks to wait; no more than it makes sense to obey."""
    text = (error.headers or {}).get("Retry-After") or ""
    return min(float(text), LONGEST_RETRY_SECONDS) if text.isdecimal() else 0.0


def _reason(error: DynamicApiError) -> str:
    """The API server's own sentence."""
    try:
        return str(error.summary())
    except (AttributeError, TypeError, ValueError):
        return str(error.reason)


@asynccontextmanager
async def connect(may_write: Callable[[str], float]) -> AsyncIterator[Cluster]:
    """A connection as the pod's service account or, outside a cluster, as the current kubeconfig context."""
    configuration = Configuration()
    # As the watches do it. aiohttp would look for a proxy and a .netrc, each in a thread of its own, at every request.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    async with ApiClient(configuration=configuration) as client:
        yield Cluster(DynamicClient(client), may_write)

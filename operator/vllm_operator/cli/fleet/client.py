"""A user's connection to the cluster: as the kubeconfig says, every failure in one sentence.

Nothing is written but what a user asks to have made: `create`, `adopt` and `delete` are for cli/batch_run alone.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import kube_config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError

from ...api.encoding import Page
from ...api.limits import LOG_LINES
from ...manifests.metadata import Manifest
from ...resources import RESOURCES, Resource
from ...vllm.argv import PORT
from ..options import BAD_INPUT

# A cluster that is out of reach should not keep anybody waiting; one slow pod not the whole table.
TIMEOUT_SECONDS = 30
PROXY_SECONDS = 3
PARALLEL = 32
# Pods answer what they like; lists of objects are as large as the cluster.
POD_BYTES = 1 << 20
LIST_BYTES = 1 << 28
# Kinds that users write and the operator does not.
_USERS = {"ConfigMap": Resource("v1", "configmaps", ())}
# What the library raises for a kubeconfig that is not as it should be.
_UNUSABLE = (config.ConfigException, yaml.YAMLError, OSError, AttributeError, LookupError, TypeError, ValueError)


class FleetError(Exception):
    """What is asked for cannot be shown; says why in one sentence."""

    exit_status = 1


class AskedWrongError(FleetError):
    """The options do not go together, or a file is not as it should be: nothing was asked of the cluster."""

    exit_status = BAD_INPUT


class LoggedOutError(FleetError):
    """The cluster does not accept the user's credentials, or no longer."""


class ExpiredError(FleetError):
    """The API server does not keep the rest of a list any more."""


class NotThereError(FleetError):
    """The API server knows no such object, or no such kind."""


class UserClient:
    """Does what the user may do."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        client.rest_client.configuration.trace_configs = [_without_redirects()]
        # As in cluster.py, only its `request` is used, which needs no discovery.
        self._client = DynamicClient(client)
        self._host = client.configuration.host
        self.namespace = namespace
        self._proxies = asyncio.Semaphore(PARALLEL)

    async def find(self, kind: str, namespace: str | None, selector: str = "", page: int = 0) -> list[Manifest]:
        """All objects of a kind in a namespace, or in all. Raises FleetError.

        `page`: how many are asked for at a time, where they are so large that an answer with all would be too much.
        The list begins anew, once, where its rest is not kept any more: the API server keeps it for some minutes.
        """
        query = [("labelSelector", selector)] if selector else []
        query += [("limit", str(page))] if page else []
        found: list[Manifest] = []
        rest, anew = "", False
        while True:
            after = [("continue", rest)] if rest else []
            try:
                answer = Page.of(await self._body("get", _path(kind, namespace), [*query, *after]))
            except ValueError as error:
                raise FleetError(f"what answers at {self._host} is no API server: {error}") from error
            except ExpiredError:
                if anew:
                    raise
                found, rest, anew = [], "", True
                continue
            for item in answer.objects():
                item["metadata"].pop("managedFields", None)  # as large as much of the rest, and told to nobody
                found.append(item)
            rest = answer.metadata.get("continue") or ""
            if not rest:
                return found

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """One object. Raises NotThereError, FleetError."""
        return dict(json.loads(await self._get(_path(kind, namespace, name))))

    async def at(self, path: str) -> Manifest:
        """What the API has at a path, of a kind that is not the operator's. Raises NotThereError, FleetError."""
        return dict(json.loads(await self._get(path)))

    async def create(self, kind: str, namespace: str, manifest: Manifest) -> Manifest:
        """Makes an object that is not there; returns it as it then stands. Raises FleetError."""
        return dict(json.loads(await self._ask("post", _path(kind, namespace), body=manifest)))

    async def adopt(self, kind: str, namespace: str, name: str, owner: Manifest) -> None:
        """Lets an object go when its owner does. Raises FleetError."""
        owners = [{key: owner[key] for key in ("apiVersion", "kind")} | _named(owner)]
        body = {"metadata": {"ownerReferences": owners}}
        await self._ask("patch", _path(kind, namespace, name), body=body, content_type="application/merge-patch+json")

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Deletes an object; one that is gone already is as it should be. Raises FleetError."""
        with suppress(NotThereError):
            await self._ask("delete", _path(kind, namespace, name))

    async def whole_log(self, namespace: str, pod: str, container: str, most: int) -> str:
        """The log of a container that has ended. Raises FleetError where it has more than `most` bytes."""
        return await self._ask("get", f"{_path('Pod', namespace, pod)}/log", [("container", container)], most)

    async def log(self, namespace: str, pod: str, container: str, *, previous: bool) -> str:
        """The last lines of a container's log, or of the one before it. Raises FleetError."""
        query = [("container", container), ("previous", str(previous).lower()), ("tailLines", str(LOG_LINES))]
        return await self._get(f"{_path('Pod', namespace, pod)}/log", [*query, ("limitBytes", str(POD_BYTES))])

    async def metrics(self, namespace: str, pod: str) -> str | None:
        """vLLM's /metrics, through the API server; None where that is not allowed, or not answered in time."""
        async with self._proxies:
            try:
                async with asyncio.timeout(PROXY_SECONDS):
                    return await self._get(f"{_path('Pod', namespace, pod)}:{PORT}/proxy/metrics", most=POD_BYTES)
            except (FleetError, TimeoutError):
                return None

    async def _get(self, path: str, query: Sequence[tuple[str, str]] = (), most: int | None = None) -> str:
        return await self._ask("get", path, query, most)

    async def _ask(
        self, verb: str, path: str, query: Sequence[tuple[str, str]] = (), most: int | None = None, **sent: Any
    ) -> str:
        return (await self._body(verb, path, query, most, **sent)).decode(errors="replace")

    async def _body(
        self, verb: str, path: str, query: Sequence[tuple[str, str]] = (), most: int | None = None, **sent: Any
    ) -> bytes:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await self._client.request(verb, path, serialize=False, query_params=list(query), **sent)
                return await _read(response, most or LIST_BYTES)
        except DynamicApiError as error:
            raise _refused(error) from error
        except TimeoutError as error:
            raise FleetError(f"the cluster at {self._host} does not answer within {TIMEOUT_SECONDS} s") from error
        except (OSError, aiohttp.ClientError) as error:
            raise FleetError(f"cannot reach the cluster at {self._host}: {error}") from error


def _without_redirects() -> aiohttp.TraceConfig:
    """Has requests fail that are redirected: a pod that answers through the API server could have sent, with the user's
    credentials, any request there.
    """

    async def refuse(_: object, __: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
        redirect.response.close()
        raise aiohttp.ClientError("it answers with a redirect")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole of an answer. Raises FleetError where it is larger than `most` bytes."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            raise FleetError(f"an answer is larger than {most >> 20} MiB: ask for less, with --namespace or a name")
    return b"".join(parts)


def _named(owner: Manifest) -> Manifest:
    return {key: owner["metadata"][key] for key in ("name", "uid")}


def _path(kind: str, namespace: str | None, name: str = "") -> str:
    return (_USERS.get(kind) or RESOURCES[kind]).path(namespace or "", name)


def _refused(error: DynamicApiError) -> FleetError:
    try:
        answer: Mapping[str, Any] = json.loads(error.body)
    except (TypeError, ValueError):
        answer = {}
    said = str(answer.get("message") or error.reason or f"HTTP status {error.status}")
    match error.status:
        case 401:
            return LoggedOutError("the cluster does not accept your credentials: log in again, or use another context")
        case 404 if not answer:  # a path that no API has, rather than an object that is not there
            return NotThereError("the cluster has no InferenceServices: install the operator's chart")
        case 404:
            return NotThereError(said)
        case 410:
            return ExpiredError(said)
        case _:
            return FleetError(said)


def _is_there(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


@asynccontextmanager
async def connect(kubeconfig: str | None, context: str | None) -> AsyncIterator[UserClient]:
    """A connection as a context of the kubeconfig says. Raises FleetError where there is none to be had."""
    paths = kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    if not _is_there(paths):
        raise FleetError(f"no cluster: there is no kubeconfig {paths}; set KUBECONFIG or --kubeconfig")
    configuration = Configuration()
    try:
        loader = await config.load_kube_config(paths, context, configuration, persist_config=False)
        client = ApiClient(configuration=configuration)
    except _UNUSABLE as error:
        raise FleetError(f"no cluster: kubeconfig {paths} cannot be used: {' '.join(str(error).split())}") from error
    namespace = loader.current_context["context"].get("namespace") or "default"
    async with client:
        yield UserClient(client, namespace)

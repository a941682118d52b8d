"""`kubectl vllm status`, `logs`, `classes` and `batch status`: what they ask the cluster, and what they print."""

import argparse
import asyncio
import gc
from contextlib import suppress

from ...api import BATCH_KIND, CLASS_KIND, KIND
from ...api.resource import Key
from ...manifests.metadata import Manifest
from ...manifests.names import (
    CONTAINER,
    DOWNLOAD_LABEL,
    INSPECTION_LABEL,
    INSTANCE_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
)
from . import batches, classes
from .client import FleetError, NotThereError, UserClient, connect
from .explanation import Log, explanation, telling
from .rows import MOST_ASKED, Requests, as_json, as_text, counted, rows, serving

# Of one answer: some have 20 KB.
PODS = 500
# Those of services, and not those of their Jobs or of batches.
_PODS = f"{MANAGED_BY_LABEL}={MANAGED_BY},{INSTANCE_LABEL},!{INSPECTION_LABEL},!{DOWNLOAD_LABEL}"


def run(arguments: argparse.Namespace) -> str:
    """What is to be printed. Raises FleetError."""
    if arguments.command == "logs":
        return asyncio.run(_logs(arguments))
    if arguments.command == "classes":
        return asyncio.run(_classes(arguments))
    if arguments.name and arguments.all_namespaces:
        raise FleetError("a NAME is in one namespace: leave out -A, or the name")
    return asyncio.run(_batches(arguments) if arguments.command == "batch" else _status(arguments))


async def _status(arguments: argparse.Namespace) -> str:
    async with connect(arguments.kubeconfig, arguments.context) as client:
        namespace = None if arguments.all_namespaces else arguments.namespace or client.namespace
        if arguments.name:
            services, pods = await _one(client, str(namespace), arguments.name)
        else:
            services, pods = await _all(client, namespace)
        ready = serving(pods)
        asks = len(ready) <= MOST_ASKED
        fleet = rows(services, pods, await _requests(client, ready) if asks else {})
    return as_json(fleet) if arguments.output == "json" else as_text(fleet, asked=asks)


async def _all(client: UserClient, namespace: str | None) -> tuple[list[Manifest], list[Manifest]]:
    """All services of a namespace, or of all, and their pods. Raises FleetError."""
    pods = asyncio.ensure_future(client.find("Pod", namespace, _PODS, page=PODS))
    gc.disable()  # it would go through all that has come, again and again, for nothing
    try:
        # Who may see neither is told of the services.
        return await client.find(KIND, namespace), await pods
    finally:
        gc.enable()
        pods.cancel()
        await asyncio.gather(pods, return_exceptions=True)


async def _classes(arguments: argparse.Namespace) -> str:
    async with connect(arguments.kubeconfig, arguments.context) as client:
        served_classes = await client.find(CLASS_KIND, None)
        services: list[Manifest] | None = None
        with suppress(FleetError):  # most teams see their own namespaces only
            services = await client.find(KIND, None)
    show = classes.as_json if arguments.output == "json" else classes.as_text
    return show(served_classes, services)


async def _batches(arguments: argparse.Namespace) -> str:
    async with connect(arguments.kubeconfig, arguments.context) as client:
        namespace = None if arguments.all_namespaces else arguments.namespace or client.namespace
        if arguments.name:
            found = [await client.get(BATCH_KIND, str(namespace), arguments.name)]
        else:
            found = await client.find(BATCH_KIND, namespace)
    return batches.as_json(found) if arguments.output == "json" else batches.as_text(found)


async def _one(client: UserClient, namespace: str, name: str) -> tuple[list[Manifest], list[Manifest]]:
    """A service as a list, and its pods. Raises FleetError."""
    try:
        service = await client.get(KIND, namespace, name)
    except NotThereError as error:
        raise FleetError(f"{error} in namespace {namespace}" if name in str(error) else str(error)) from error
    return [service], await client.find("Pod", namespace, f"{_PODS},{INSTANCE_LABEL}={name}")


async def _requests(client: UserClient, ready: list[Key]) -> dict[Key, Requests]:
    texts = await asyncio.gather(*(client.metrics(*pod) for pod in ready))
    return {pod: counted(text) for pod, text in zip(ready, texts, strict=True) if text is not None}


async def _logs(arguments: argparse.Namespace) -> str:
    async with connect(arguments.kubeconfig, arguments.context) as client:
        namespace = arguments.namespace or client.namespace
        (service,), pods = await _one(client, namespace, arguments.name)
        which = telling(pods)
        log, trouble = await _read(client, namespace, which) if which else (None, "")
    return explanation(service, pods, log) + trouble


async def _read(client: UserClient, namespace: str, which: Log) -> tuple[tuple[Log, str] | None, str]:
    """The log, or why it cannot be read."""
    try:
        return (which, await client.log(namespace, which.pod, CONTAINER, previous=which.previous)), ""
    except FleetError as error:
        return None, f"\n\nThe log of pod {which.pod} cannot be read: {error}"

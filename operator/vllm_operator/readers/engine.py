"""Reads what vLLM reports of itself: version and KV cache size; and what our middleware beside it has noticed.

Nothing of this needs an API key.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ..snapshots.pod import PodSnapshot
from ..status.conditions import Engine
from ..vllm.argv import PORT
from ..vllm.middleware import STATE
from .pending import Pending

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 5
# What a pod that is not ready says is worth a moment; one that says nothing is to be told of.
PATIENCE_SECONDS = 2.0
RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0)
# The kubelet takes as long to renew the files of a Secret or ConfigMap that has changed.
CONFIGURATION_SECONDS = 60.0


class State(NamedTuple):
    """What our middleware has noticed."""

    # Secrets and ConfigMaps, as kind/name, that have changed since the pod started.
    stale: frozenset[str]
    # Whether requests wait and the engine makes no step.
    hangs: bool


class EngineError(Exception):
    """vLLM's HTTP server could not be read: it is not reachable from the operator, or it is no vLLM."""


def parse_metrics(text: str) -> tuple[int | None, int | None]:
    """KV cache tokens and max model length from vLLM's /metrics; None where it does not say.

    vLLM exports, as labels of cache_config_info, tokens = concurrency * max_model_len.
    """
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "vllm:cache_config_info":
                try:
                    tokens = int(sample.labels["kv_cache_size_tokens"])
                    concurrency = float(sample.labels["kv_cache_max_concurrency"])
                except (KeyError, ValueError):
                    return None, None
                return tokens, round(tokens / concurrency) if concurrency else None
    return None, None


async def read(ip: str) -> Engine:
    """Asks the pod at an address. Raises EngineError where that does not work."""
    try:
        async with _session(ip) as session:
            async with session.get("/version") as response:
                version = str((await response.json())["version"])
            async with session.get("/metrics") as response:
                tokens, length = parse_metrics(await response.text())
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        raise EngineError(f"{type(error).__name__}: {error}") from error
    return Engine(version, tokens, length)


def _container(pod: PodSnapshot) -> str:
    return f"{pod.name}/{pod.restarts}"


def _session(ip: str) -> aiohttp.ClientSession:
    host = f"[{ip}]" if ":" in ip else ip
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    return aiohttp.ClientSession(f"http://{host}:{PORT}", timeout=timeout, raise_for_status=True)


async def read_state(ip: str) -> State | None:
    """What the middleware of the pod at an address says; None where it does not answer."""
    try:
        async with _session(ip) as session, session.get(STATE) as response:
            found = await response.json()
            return State(frozenset(map(str, found["stale"])), bool(found["hang"]))
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, TypeError) as error:
        log.debug("%s does not tell its state: %s", ip, error)
        return None


class ConfigurationReader:
    """Asks one service's ready pods, now and then and in the background, what has changed since they started."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._found: tuple[str, ...] | None = None
        self._asked: set[str] = set()
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def get(self, pods: Sequence[PodSnapshot]) -> tuple[str, ...] | None:
        """What has changed, as kind/name; None while that is not known."""
        if not pods:
            return ()
        addresses = {pod.ip for pod in pods if pod.ready and pod.ip}
        if addresses and (time.monotonic() >= self._next or addresses != self._asked):
            self._asked, self._next = addresses, time.monotonic() + CONFIGURATION_SECONDS
            self._task = asyncio.create_task(self._read(addresses))
        return self._found

    @property
    def retry_after(self) -> float | None:
        """Seconds until the next look; None while there is nothing to look at."""
        return max(self._next - time.monotonic(), 0.1) if self._task else None

    async def _read(self, addresses: Iterable[str]) -> None:
        answers = [state.stale for state in await asyncio.gather(*map(read_state, addresses)) if state]
        before = self._found
        if answers:
            self._found = tuple(sorted(set[str]().union(*answers)))
        if self._found != before:
            self._done()


class HangReader:
    """Asks one service's pods that fail their readiness probe, in the background, whether their engine hangs.

    The kubelet tells of it too, by an Event; but it keeps Events back where a pod has had many, as while it started.
    """

    def __init__(self, done: Callable[[], None]) -> None:
        self._found: dict[str, bool] = {}
        self._pending = Pending[str](PATIENCE_SECONDS, done)
        self.wait = self._pending.wait

    def fill(self, pods: Sequence[PodSnapshot]) -> list[PodSnapshot]:
        """The pods, with what is known of those that are silent; they are asked once for as long as they are."""
        silent = {_container(pod): pod.ip for pod in pods if pod.silent and pod.ip}
        self._found = {container: hangs for container, hangs in self._found.items() if container in silent}
        for container, ip in silent.items():
            if container not in self._found and container not in self._pending:
                self._pending.start(container, self._read(container, str(ip)))
        return [replace(pod, hangs=True) if self._found.get(_container(pod)) else pod for pod in pods]

    async def _read(self, container: str, ip: str) -> None:
        state = await read_state(ip)
        self._found[container] = state is not None and state.hangs


class EngineReader:
    """Reads one service's engine once per container that became ready, in the background, and then calls `done()`."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._found: tuple[str, Engine] | None = None
        self._attempts = 0
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def get(self, pods: Sequence[PodSnapshot]) -> Engine | None:
        """What one of these pods reported; None while that is not known, and then a ready one is being asked."""
        ready = {_container(pod): pod.ip for pod in pods if pod.ready and pod.ip}
        if self._found and self._found[0] in ready:
            return self._found[1]
        if ready and time.monotonic() >= self._next and (self._task is None or self._task.done()):
            container, ip = next(iter(ready.items()))
            self._next = time.monotonic() + RETRY_SECONDS[min(self._attempts, len(RETRY_SECONDS) - 1)]
            self._attempts += 1
            self._task = asyncio.create_task(self._read(container, str(ip)))
        return None

    @property
    def retry_after(self) -> float | None:
        """Seconds until another try is worth it; None when nothing is being tried."""
        left = self._next - time.monotonic()
        return max(left, 0.1) if self._attempts else None

    async def _read(self, container: str, ip: str) -> None:
        try:
            self._found = (container, await read(ip))
            self._attempts, self._next = 0, 0.0
        except EngineError as error:
            log.info("vLLM in %s does not tell its KV cache size: %s", container, error)
        self._done()

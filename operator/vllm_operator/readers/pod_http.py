"""What a pod answers over HTTP: vLLM's version and metrics, and the state that our middleware beside it has noticed.

Nothing of this needs an API key.
"""

import logging
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ..snapshots.pod import PodSnapshot
from ..status.evidence import Engine
from ..vllm.argv import PORT
from ..vllm.middleware import STATE

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 5
# What a pod that is not ready says is worth a moment; one that says nothing is to be told of.
PATIENCE_SECONDS = 2.0


class State(NamedTuple):
    """What our middleware has noticed."""

    # Secrets and ConfigMaps, as kind/name, that have changed since the pod started.
    stale: frozenset[str]
    # Whether requests wait and the engine makes no step.
    hangs: bool


class EngineError(Exception):
    """vLLM's HTTP server could not be read: it is not reachable from the operator, or it is no vLLM."""


def container_of(pod: PodSnapshot) -> str:
    """Names the container that runs in the pod now: another one after each restart."""
    return f"{pod.name}/{pod.restarts}"


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


async def read_engine(ip: str) -> Engine:
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


async def read_state(ip: str) -> State | None:
    """What the middleware of the pod at an address says; None where it does not answer."""
    try:
        async with _session(ip) as session, session.get(STATE) as response:
            answer = await response.json()
            return State(frozenset(map(str, answer["stale"])), bool(answer["hang"]))
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, TypeError) as error:
        log.debug("%s does not tell its state: %s", ip, error)
        return None


def _session(ip: str) -> aiohttp.ClientSession:
    host = f"[{ip}]" if ":" in ip else ip
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    return aiohttp.ClientSession(f"http://{host}:{PORT}", timeout=timeout, raise_for_status=True)

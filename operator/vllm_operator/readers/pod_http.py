"""What a pod answers over HTTP: vLLM's version and metrics, and the state that our middleware beside it has noticed.

Nothing of this needs an API key. A pod may run anybody's code, and answers as it likes: no redirect is followed,
nothing is unpacked, and of an answer only so much is read and looked at as it takes (api/limits.py). Whoever asks pods
asks a few at a time, of all objects: each of them may hold its answer back until the time is up.
"""

import logging
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ..api import limits
from ..api.limits import OverLimitError
from ..api.spec import MOST_RANKS
from ..snapshots.pod import PodSnapshot
from ..status.evidence import Engine
from ..vllm.argv import PORT
from ..vllm.batch.pages import PROGRESS
from ..vllm.middleware import STATE

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 5
# At a time, of all objects. What so many may send has 80 MiB at most. A thousand engines that say nothing, asked every
# five minutes, take up 17 of these.
MOST_ASKED = 64
# What a pod that is not ready says is worth a moment; one that says nothing is to be told of.
PATIENCE_SECONDS = 2.0
_CACHE_INFO = re.compile(r"^vllm:cache_config_info\{.*", re.MULTILINE)
_CHUNK = 16 * limits.KIB
# A server has some headers of less than a hundred bytes.
_HEADER_BYTES = 2 * limits.KIB
_Answer = TypeVar("_Answer")


class State(NamedTuple):
    """What our middleware has noticed."""

    # Secrets and ConfigMaps that have changed since the pod started: what stands for kind/name, or that itself.
    stale: frozenset[str]
    # Whether requests wait and the engine makes no step.
    hangs: bool


class EngineError(Exception):
    """vLLM's HTTP server could not be read: it is not reachable from the operator, or it is no vLLM."""


class OddAnswerError(EngineError):
    """It answers, and not as vLLM and our middleware do: the text says which path, and what of it, as a clause."""


def container_of(pod: PodSnapshot) -> str:
    """Names the container that runs in the pod now: another one after each restart."""
    return f"{pod.name}/{pod.restarts}"


def parse_metrics(text: str) -> tuple[int | None, int | None]:
    """KV cache tokens of all engines, and max model length, from vLLM's /metrics; None where it does not say.

    vLLM exports for each engine, as labels of cache_config_info, tokens = concurrency * max_model_len. Nothing else
    is parsed.
    Raises ValueError where such a line is none of a metric.
    """
    lines = _CACHE_INFO.findall(text)
    if not lines:
        return None, None
    if len(lines) > MOST_RANKS:
        raise OverLimitError(f"it tells of the KV caches of more than {MOST_RANKS} engines")
    told = [_cache(line) for line in lines]
    tokens, length = [one for one, _ in told], told[0][1]
    return None if None in tokens else sum(one or 0 for one in tokens), length


def _cache(line: str) -> tuple[int | None, int | None]:
    """Tokens and max model length of one engine."""
    if len(line) > limits.METRIC_CHARACTERS:
        raise OverLimitError(f"its line of cache_config_info is longer than {limits.METRIC_CHARACTERS:,} characters")
    labels = next(iter(text_string_to_metric_families(line))).samples[0].labels
    try:
        tokens = limits.whole(int(labels["kv_cache_size_tokens"]), limits.KV_CACHE_TOKENS)
        concurrency = float(labels["kv_cache_max_concurrency"])
    except (KeyError, ValueError):
        return None, None
    if tokens is None:
        raise OverLimitError(f"it tells of tokens of KV cache below 0, or of more than {limits.KV_CACHE_TOKENS:,}")
    if not 0 < concurrency <= limits.KV_CACHE_TOKENS or tokens / concurrency > limits.MODEL_LENGTH:
        return tokens, None
    return tokens, round(tokens / concurrency)


def _version(text: str) -> str:
    version = limits.text_of(limits.parsed(text, "it", limits.ANSWER_BYTES)["version"], limits.VERSION_CHARACTERS)
    if not version:
        raise ValueError("no text")
    return version


def _state(text: str) -> State:
    answer = limits.parsed(text, "it", limits.ANSWER_BYTES)
    names = [limits.text_of(name, limits.NAME_CHARACTERS) for name in answer["stale"][: limits.NAMES_IN_STATE]]
    return State(frozenset(filter(None, names)), bool(answer["hang"]))


async def read_engine(ip: str) -> Engine:
    """Asks the pod at an address. Raises EngineError where that does not work, OddAnswerError for what is no answer."""
    async with _session(ip) as session:
        version = await _ask(session, "/version", _version)
        tokens, length = await _ask(session, "/metrics", parse_metrics, limits.METRICS_BYTES)
    return Engine(version, tokens, length)


async def read_progress(ip: str) -> str | None:
    """What the runner of a batch in the pod at an address says of how far it is; None where it does not answer."""
    try:
        async with _session(ip) as session:
            return await _ask(session, PROGRESS, str)
    except EngineError as error:
        log.debug("%s does not tell its progress: %s", ip, error)
        return None


async def read_state(ip: str) -> State | None:
    """What the middleware of the pod at an address says; None where it does not answer, or not as it would."""
    try:
        async with _session(ip) as session:
            return await _ask(session, STATE, _state)
    except EngineError as error:
        log.debug("%s does not tell its state: %s", ip, error)
        return None


async def _ask(
    session: aiohttp.ClientSession, path: str, read: Callable[[str], _Answer], most: int = limits.ANSWER_BYTES
) -> _Answer:
    try:
        async with session.get(path, allow_redirects=False) as response:
            text = await _bounded(response, most)
        return read(text)
    except EngineError:
        raise
    except OverLimitError as error:
        raise OddAnswerError(f"{path}: {error}") from error
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise EngineError(f"{path}: {type(error).__name__}: {error}") from error
    except Exception as error:  # whatever an answer leads to is about that answer
        raise OddAnswerError(f"{path}: it is not what vLLM answers ({type(error).__name__})") from error


async def _bounded(response: aiohttp.ClientResponse, most: int) -> str:
    """The body, as far as the limit. Raises OverLimitError where there is more, EngineError for another status."""
    if response.status != 200:
        raise EngineError(f"{response.url.path} is answered with status {response.status}")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > most:
            raise OverLimitError(f"it is larger than {limits.size(most)}")
    return body.decode()


def _session(ip: str) -> aiohttp.ClientSession:
    host = f"[{ip}]" if ":" in ip else ip
    return aiohttp.ClientSession(
        f"http://{host}:{PORT}",
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        headers={"Accept-Encoding": "identity"},
        max_field_size=_HEADER_BYTES,
        auto_decompress=False,
        trust_env=False,
    )

"""Reads what vLLM reports of itself: its version and the size of its KV cache. /metrics and /version need no API key."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from .status import Engine
from .vllm import PORT

TIMEOUT_SECONDS = 5


class EngineError(Exception):
    """vLLM's HTTP server could not be read: it is not reachable from the operator, or it is no vLLM."""


def parse_metrics(text: str) -> tuple[int | None, int | None]:
    """KV cache tokens and max model length from vLLM's /metrics; None where it does not say.

    vLLM exports tokens = concurrency * max_model_len as labels of cache_config_info.
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
    host = f"[{ip}]" if ":" in ip else ip
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with aiohttp.ClientSession(f"http://{host}:{PORT}", timeout=timeout, raise_for_status=True) as session:
            async with session.get("/version") as response:
                version = str((await response.json())["version"])
            async with session.get("/metrics") as response:
                tokens, length = parse_metrics(await response.text())
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        raise EngineError(f"{type(error).__name__}: {error}") from error
    return Engine(version, tokens, length)

"""Reading vLLM's own metrics page, and what the middleware beside it has noticed."""

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from support.pod_status import SERVED, STARTED, found, pod
from vllm_operator.api.reasons import Reason
from vllm_operator.readers import hangs
from vllm_operator.readers.hangs import HangReader
from vllm_operator.readers.pod_http import State, parse_metrics
from vllm_operator.turns.few import Few

# As vLLM 0.32 prints it, with other labels left out.
PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 0.0
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",engine="0",kv_cache_max_concurrency="%s",kv_cache_size_tokens="%s"} 1.0
"""


def test_tokens_and_length_come_from_vllms_cache_config() -> None:
    assert parse_metrics(PAGE % ("256.0", "131072")) == (131072, 512)


def test_a_concurrency_that_is_no_whole_number_still_gives_the_length() -> None:
    assert parse_metrics(PAGE % ("1.1428571428571428", "1024")) == (1024, 896)


def test_a_page_without_the_figures_says_so() -> None:
    assert parse_metrics(PAGE % ("None", "None")) == (None, None)
    assert parse_metrics("") == (None, None)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State(frozenset(), hangs=True), Reason.ENGINE_HUNG),
        (State(frozenset(), hangs=False), Reason.NOT_ANSWERING),
        (None, Reason.NOT_ANSWERING),
    ],
)
def test_a_pod_that_is_not_ready_any_more_is_asked_once_whether_it_hangs(
    monkeypatch: pytest.MonkeyPatch, state: State | None, reason: Reason
) -> None:
    silent = replace(pod({"state": {"running": {"startedAt": STARTED}}}, ready_changed=SERVED), ip="10.0.0.1")
    asked: list[str] = []

    async def read_state(ip: str) -> State | None:
        asked.append(ip)
        return state

    monkeypatch.setattr(hangs, "read_state", read_state)

    async def look() -> None:
        done = asyncio.Event()
        reader = HangReader(time.monotonic, partial(Few(1).do, "team-a"), done.set)
        reader.fill([silent])
        assert list(reader.waits())
        await done.wait()
        assert not list(reader.waits())
        assert found(*reader.fill([silent]))[0] == reason
        reader.fill([replace(silent, silent=False)])
        assert asked == ["10.0.0.1"]
        reader.fill([silent])  # it may be something else this time
        assert list(reader.waits())

    asyncio.run(look())

"""The event loop's lag: what blocks the loop is seen for a minute."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from vllm_operator.loop import lag


def test_a_step_that_blocks_the_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "LOOK_SECONDS", 0.01)

    async def run() -> tuple[float | None, float | None]:
        measuring = asyncio.create_task(lag.Lag().measure())
        await asyncio.sleep(0.1)
        before = REGISTRY.get_sample_value("vllm_operator_event_loop_lag_seconds")
        time.sleep(0.5)  # noqa: ASYNC251 - this is what is to be seen
        await asyncio.sleep(0.1)
        after = REGISTRY.get_sample_value("vllm_operator_event_loop_lag_seconds")
        measuring.cancel()
        return before, after

    before, after = asyncio.run(run())
    assert before is not None
    assert after is not None
    assert before < 0.4 < after


def test_what_is_long_past_is_forgotten() -> None:
    seen = lag.Lag()
    seen._seen.extend([(0.0, 9.0), (30.0, 0.2), (70.0, 0.1)])
    assert seen.longest() == 0.2

"""No step of the event loop takes long, whatever a tenant's model is: all others wait for it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from support.world import CONFIG, World
from vllm_operator.loop.aside import Aside
from vllm_operator.planner.values import MOST_LAYERS

MOST_CPU_SECONDS = 0.05
# What takes longest to plan: many layers that fit nowhere, so that everything else is tried as well.
HUGE = {
    **CONFIG,
    "hidden_size": 16384,
    "intermediate_size": 65536,
    "num_hidden_layers": MOST_LAYERS,
    "num_attention_heads": 128,
    "num_key_value_heads": 8,
    "vocab_size": 128000,
}


def longest_step(work: Coroutine[Any, Any, Any], monkeypatch: pytest.MonkeyPatch) -> float:
    """CPU seconds of the loop's thread in the longest step while `work` is done."""
    steps: list[float] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        start = time.thread_time()
        run(handle)
        steps.append(time.thread_time() - start)

    with monkeypatch.context() as patched:
        patched.setattr(asyncio.Handle, "_run", timed)
        asyncio.run(work)
    return max(steps)


def test_the_largest_model_that_is_planned_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    key = world.service()
    world.reconcile(key)
    world.inspected(config=HUGE)
    start = time.process_time()
    longest = longest_step(world.reconciler.reconcile(key), monkeypatch)
    assert world.status()["plan"], "the model was not planned"
    assert longest < MOST_CPU_SECONDS
    assert time.process_time() - start > longest, "nothing was done aside"


def test_nothing_is_planned_again_before_something_is_known_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[object] = []
    do = Aside.do

    async def counted(self: Aside, group: str, work: Callable[[], Any]) -> Any:
        plans.append(work)
        return await do(self, group, work)

    monkeypatch.setattr(Aside, "do", counted)
    for world in (World(), World(inspects=False)):
        key = world.service()
        plans.clear()
        for _ in range(3):
            world.reconcile(key)
            world.watch()
        assert len(plans) == 1

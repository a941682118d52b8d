"""Work aside: the loop goes on meanwhile, one piece at a time is worked on, and namespaces take turns."""

import asyncio
import threading
import time

import pytest

from vllm_operator.loop.aside import Aside


def test_the_loop_goes_on_while_a_thread_computes() -> None:
    def compute() -> int:
        ends = time.thread_time() + 0.3
        while time.thread_time() < ends:
            pass
        return threading.get_ident()

    async def play() -> tuple[int, int]:
        work = asyncio.create_task(Aside().do("a", compute))
        ticks = 0
        while not work.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return ticks, await work

    ticks, thread = asyncio.run(play())
    assert ticks > 5
    assert thread != threading.get_ident()


def test_groups_take_turns_and_one_piece_is_worked_on_at_a_time() -> None:
    done: list[str] = []
    running: list[str] = []

    def work(name: str) -> str:
        running.append(name)
        assert running == [name]
        done.append(name)
        running.remove(name)
        return name

    async def play() -> list[str]:
        aside = Aside()
        many = [aside.do("a", lambda number=number: work(f"a{number}")) for number in range(100)]  # type: ignore[misc]
        return await asyncio.gather(*many, aside.do("b", lambda: work("b")))

    assert asyncio.run(play())[-1] == "b"
    assert done.index("b") <= 2
    assert [name for name in done if name != "b"] == [f"a{number}" for number in range(100)]


def test_a_failure_or_an_end_of_one_leaves_the_turn_to_the_next() -> None:
    async def play() -> str:
        aside = Aside()
        with pytest.raises(ZeroDivisionError):
            await aside.do("a", lambda: 1 // 0)
        slow = asyncio.create_task(aside.do("a", lambda: time.sleep(0.05)))
        waits = asyncio.create_task(aside.do("a", lambda: None))
        await asyncio.sleep(0.01)
        waits.cancel()
        slow.cancel()
        return await asyncio.wait_for(aside.do("b", lambda: "done"), 5)

    assert asyncio.run(play()) == "done"

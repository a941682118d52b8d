"""A few pieces of work at a time: namespaces take turns, and one that ends in any way leaves its turn to the next."""

import asyncio

import pytest

from vllm_operator.turns.few import Few


def test_so_many_at_a_time_and_groups_take_turns() -> None:
    running, most, done = 0, 0, list[str]()

    async def work(name: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        done.append(name)
        return name

    async def play() -> list[str]:
        few = Few(2)
        many = [few.do("a", lambda number=number: work(f"a{number}")) for number in range(20)]  # type: ignore[misc]
        return await asyncio.gather(*many, few.do("b", lambda: work("b")))

    assert asyncio.run(play()) == [*(f"a{number}" for number in range(20)), "b"]
    assert most == 2
    assert done.index("b") <= 4


def test_one_that_fails_or_is_ended_leaves_its_turn_to_the_next() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def play() -> str:
        few = Few(1)
        with pytest.raises(ZeroDivisionError):
            await few.do("a", fail)
        slow = asyncio.create_task(few.do("a", lambda: asyncio.sleep(60)))
        waits = asyncio.create_task(few.do("a", lambda: asyncio.sleep(60)))
        await asyncio.sleep(0)
        for task in (waits, slow):
            task.cancel()
        return await few.do("a", lambda: asyncio.sleep(0, "done"))

    assert asyncio.run(asyncio.wait_for(play(), 5)) == "done"

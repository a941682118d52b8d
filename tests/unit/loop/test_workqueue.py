"""The work queue: what operators rely on when a hundred events arrive for one service.

The event loop's clock does not wait: where nothing is ready, it jumps to what is due next.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest

from vllm_operator.loop.workqueue import WorkQueue

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """Has a clock that jumps over the time in which it would wait."""

    def __init__(self) -> None:
        self.now = 0.0
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                loop.now += timeout or 0.0
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, in no time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def team(key: str) -> str:
    """The group of a key: what stands before the slash."""
    return key.partition("/")[0]


def drive(
    work: Callable[[str], Awaitable[float | None]],
    scenario: Callable[[WorkQueue[str]], Awaitable[None]],
    workers: int = 4,
) -> None:
    """Runs the queue while the scenario plays, then ends it."""

    async def main() -> None:
        queue = WorkQueue(work, workers, group=team)
        runner = asyncio.create_task(queue.run())
        await asyncio.wait_for(scenario(queue), 30)
        runner.cancel()

    run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Waits for it, and a little longer, in which nothing more should happen."""
    while not condition():  # noqa: ASYNC110 - the condition is a plain variable of the test
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


def test_many_adds_of_a_waiting_key_are_worked_on_once() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    async def scenario(queue: WorkQueue[str]) -> None:
        for _ in range(100):
            queue.add("a", 1.0)
        queue.add("b")
        await until(lambda: len(seen) >= 2)

    drive(work, scenario)
    assert seen == ["b", "a"]


def test_an_earlier_time_wins_over_a_later_one() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    async def scenario(queue: WorkQueue[str]) -> None:
        queue.add("a", 60)
        queue.add("a", 0.01)
        queue.add("a", 60)
        await until(lambda: bool(seen))

    drive(work, scenario)
    assert seen == ["a"]


def test_a_key_is_never_worked_on_twice_at_once_and_comes_back_when_added_meanwhile() -> None:
    running = 0
    most = 0
    count = 0

    async def work(key: str) -> None:
        nonlocal running, most, count
        running += 1
        count += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1

    async def scenario(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await until(lambda: bool(running))
        queue.add("a")
        queue.add("a")
        await until(lambda: count >= 2)

    drive(work, scenario)
    assert (most, count) == (1, 2)


def test_no_more_keys_at_once_than_workers() -> None:
    running = 0
    most = 0
    count = 0

    async def work(key: str) -> None:
        nonlocal running, most, count
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        count += 1

    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(20):
            queue.add(str(number))
        await until(lambda: count == 20)

    drive(work, scenario, workers=3)
    assert most == 3


def test_groups_take_turns_and_within_one_the_first_is_first() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(300):
            queue.add(f"a/{number}")
        queue.add("b/0", 0.0)
        queue.add("c/0")
        queue.add("c/1")
        await until(lambda: len(seen) == 303)

    drive(work, scenario, workers=1)
    assert seen[:6] == ["a/0", "b/0", "c/0", "a/1", "c/1", "a/2"]
    assert [key for key in seen if team(key) == "a"] == [f"a/{number}" for number in range(300)]


def test_a_group_leaves_a_worker_to_the_others_and_has_it_back_when_one_of_its_own_ends() -> None:
    done: list[str] = []
    ends = asyncio.Event()

    async def work(key: str) -> None:
        if team(key) == "slow":
            await ends.wait()
        done.append(key)

    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(9):
            queue.add(f"slow/{number}")
        await asyncio.sleep(1)
        for number in range(3):
            queue.add(f"other/{number}")
            await until(lambda: len(done) == number + 1)  # noqa: B023
        assert done == ["other/0", "other/1", "other/2"]
        ends.set()
        await until(lambda: len(done) == 12)

    for workers in (2, 4):
        done.clear()
        ends.clear()
        drive(work, scenario, workers)


def test_a_single_worker_works_for_every_group() -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)

    async def scenario(queue: WorkQueue[str]) -> None:
        for key in ("a/1", "a/2", "b/1"):
            queue.add(key)
        await until(lambda: len(done) == 3)

    drive(work, scenario, workers=1)
    assert done == ["a/1", "b/1", "a/2"]


def test_a_group_that_never_stops_adding_delays_another_by_one_key() -> None:
    seen: list[str] = []

    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(300):
            queue.add(f"a/{number}")
        await until(lambda: "b/late" in seen)

    async def main() -> None:
        async def work(key: str) -> float | None:
            seen.append(key)
            if len(seen) == 50:
                queue.add("b/late")
            await asyncio.sleep(0.01)
            return 0.0 if team(key) == "a" else None  # an edit follows each

        queue = WorkQueue(work, 1, group=team)
        runner = asyncio.create_task(queue.run())
        await asyncio.wait_for(scenario(queue), 60)
        runner.cancel()

    run(main())
    assert seen.index("b/late") <= 51


def test_a_key_that_is_due_is_not_queued_again_by_its_older_and_later_entry() -> None:
    seen: list[tuple[str, float]] = []

    async def work(key: str) -> None:
        seen.append((key, asyncio.get_running_loop().time()))

    async def scenario(queue: WorkQueue[str]) -> None:
        start = asyncio.get_running_loop().time()
        queue.add("a", 4.0)
        queue.add("a", 1.0)
        await asyncio.sleep(start + 2.0 - asyncio.get_running_loop().time())
        queue.add("a", start + 4.0 - asyncio.get_running_loop().time())
        await asyncio.sleep(5.0)

    drive(work, scenario, workers=1)
    assert [at for _, at in seen] == pytest.approx([1.0, 4.0], abs=0.01)


def test_a_failure_is_tried_again_with_growing_pauses_and_does_not_stop_others() -> None:
    times: list[float] = []
    others: list[str] = []

    async def work(key: str) -> None:
        if key == "other":
            others.append(key)
            return
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            raise OSError("the API server is away")

    async def scenario(queue: WorkQueue[str]) -> None:
        queue.add("failing")
        queue.add("other")
        await until(lambda: len(times) >= 3)

    drive(work, scenario)
    assert others == ["other"]
    assert [times[1] - times[0], times[2] - times[1]] == pytest.approx([0.5, 1.0])


def test_the_worker_may_ask_for_the_key_again() -> None:
    count = 0

    async def work(key: str) -> float | None:
        nonlocal count
        count += 1
        return 0.02 if count < 3 else None

    async def scenario(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await until(lambda: count >= 3)

    drive(work, scenario)
    assert count == 3


def _turns_when_told_to_wait(seconds: float, urgency: int) -> list[float]:
    """When a key is worked on that is told to wait so long, and that something happens to meanwhile."""

    class BusyError(Exception):
        retry_after = seconds

    seen: list[float] = []

    async def work(_: str) -> None:
        seen.append(asyncio.get_running_loop().time())
        if len(seen) == 1:
            raise BusyError

    async def scenario(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await until(lambda: len(seen) == 1)
        queue.add("a", urgency=urgency)
        await until(lambda: len(seen) >= 2)

    drive(work, scenario)
    return seen


def test_who_is_told_to_wait_waits_whatever_happens() -> None:
    seen = _turns_when_told_to_wait(0.5, 0)
    assert len(seen) == 2
    assert seen[1] - seen[0] == pytest.approx(0.5)


def test_a_cancellation_that_comes_with_an_event_ends_it() -> None:
    """As when a process goes on that was suspended: everything is due at once."""

    async def work(_: str) -> None:
        return

    async def main() -> bool:
        queue = WorkQueue(work, 1, group=team)
        runner = asyncio.create_task(queue.run())
        queue.add("later", 60)
        await asyncio.sleep(0.01)
        queue.add("earlier", 30)
        runner.cancel()
        await asyncio.wait([runner], timeout=1)
        return runner.done()

    assert run(main())


def _order(scenario: Callable[[WorkQueue[str]], Awaitable[None]], count: int) -> list[str]:
    """In which order one worker takes so many keys."""
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)
        await asyncio.sleep(0.01)

    async def play(queue: WorkQueue[str]) -> None:
        await scenario(queue)
        await until(lambda: len(seen) >= count)

    drive(work, play, workers=1)
    return seen


def test_what_is_urgent_comes_before_all_that_waits_in_its_group_and_not_before_other_groups() -> None:
    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(5):
            queue.add(f"a/{number}")
        queue.add("b/0")
        await asyncio.sleep(0.015)
        queue.add("a/4", 0.1, urgency=1)
        queue.add("a/new", urgency=1)

    assert _order(scenario, 7) == ["a/0", "b/0", "a/4", "a/new", "a/1", "a/2", "a/3"]


def test_what_becomes_urgent_while_it_is_worked_on_comes_first_when_that_ends_and_only_then() -> None:
    async def scenario(queue: WorkQueue[str]) -> None:
        queue.add("a/0")
        for number in range(1, 4):
            queue.add(f"a/{number}")
        await asyncio.sleep(0.005)
        queue.add("a/0", urgency=1)
        await asyncio.sleep(0.05)
        queue.add("a/1")
        queue.add("a/0")

    assert _order(scenario, 7) == ["a/0", "a/0", "a/1", "a/2", "a/3", "a/1", "a/0"]


def test_what_is_more_urgent_comes_first_and_nobody_becomes_less_urgent() -> None:
    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(4):
            queue.add(f"a/{number}")
        queue.add("a/1", urgency=1)
        queue.add("a/3", urgency=2)
        queue.add("a/2", urgency=1)
        queue.add("a/3", urgency=1)
        queue.add("a/2", urgency=2)

    assert _order(scenario, 4) == ["a/3", "a/2", "a/1", "a/0"]


def test_what_was_urgent_still_is_after_a_failure() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)
        await asyncio.sleep(0.1)
        if seen.count("a/edit") == 1 and key == "a/edit":
            raise ValueError

    async def scenario(queue: WorkQueue[str]) -> None:
        for number in range(20):
            queue.add(f"a/{number}")
        queue.add("a/edit", urgency=1)
        await until(lambda: len(seen) >= 22)

    drive(work, scenario, workers=1)
    assert seen.index("a/edit") == 0
    assert "a/edit" in seen[1:10]


def test_what_is_urgent_waits_as_long_as_the_api_server_asks() -> None:
    seen = _turns_when_told_to_wait(5.0, 1)
    assert seen[1] - seen[0] >= 5

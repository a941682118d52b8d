"""Which of a failed container's logs are read, how often, and that a log which is gone hides none that was read."""

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from support.clock import Clock
from support.snapshots import loading, service
from support.snapshots import pod as serves
from vllm_operator.again import Again
from vllm_operator.api.limits import OverLimitError
from vllm_operator.readers import logs
from vllm_operator.readers.logs import LogReader
from vllm_operator.snapshots.pod import Ending, PodSnapshot
from vllm_operator.status.evidence import Evidence


def ended(started: str = "2026-11-25T10:00:00Z", *, replaced: bool = False) -> PodSnapshot:
    """A pod whose container ended; `replaced` says whether the next one runs already."""
    ending = Ending("Completed", 0, 60, served=True, replaced=replaced, started=started)
    return loading("llama-0", restarts=int(replaced), started=replaced, ending=ending)


def fetch_next(said: Iterator[int]) -> Callable[[PodSnapshot], Awaitable[str]]:
    """Each read gets the next number."""

    async def fetch(_: PodSnapshot) -> str:
        return str(next(said))

    return fetch


def read(
    pods: Sequence[PodSnapshot], answers: list[str], clock: Callable[[], float] = time.monotonic
) -> tuple[list[str], list[str]]:
    """What the reader tells of each pod after its log was asked for, and which logs it asked for."""
    asked: list[str] = []

    async def fetch(pod: PodSnapshot) -> str:
        assert pod.ending
        asked.append(f"{pod.ending.started}{' replaced' if pod.ending.replaced else ''}")
        return answers.pop(0)

    async def run() -> list[str]:
        told = []
        for one in pods:
            done.clear()
            reader.fill([one])
            if any(again.holds_status for again in reader.waits()):
                await done.wait()
            (filled,) = reader.fill([one])
            assert filled.ending
            told.append(filled.ending.log)
        return told

    done = asyncio.Event()
    reader = LogReader(fetch, clock, done.set)
    return asyncio.run(run()), asked


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RETRY_SECONDS", (0.0, 0.01, 0.01))


def test_a_log_is_read_once_for_each_state_of_the_container() -> None:
    told, asked = read([ended(), ended(), ended(replaced=True), ended(replaced=True)], ["a", "b"])
    assert told == ["a", "a", "b", "b"]
    assert len(asked) == 2


def test_a_log_is_read_of_a_container_of_which_nobody_knows_when_it_started() -> None:
    assert read([ended("")], ["a"])[0] == ["a"]


def test_a_log_that_is_not_there_yet_is_asked_for_again() -> None:
    assert read([ended()], ["", "a"])[0] == ["a"]


def test_a_log_that_is_gone_hides_none_that_was_read() -> None:
    assert read([ended(), ended(replaced=True)], ["a", "", "", ""])[0] == ["a", "a"]


def crash(minute: int, *, replaced: bool = True) -> PodSnapshot:
    """A container that ended; the kubelet keeps a line of its log."""
    of = ended(f"2026-11-25T10:{minute:02}:00Z", replaced=replaced)
    assert of.ending
    return replace(of, ending=replace(of.ending, log=f"the kubelet's {minute}"))


def test_a_pod_that_fails_again_and_again_is_read_now_and_then_and_never_told_by_what_was_before() -> None:
    clock = Clock()
    pods = [crash(minute) for minute in range(9)]
    told, asked = read(pods, [str(minute) for minute in range(9)], clock)
    assert len(asked) == logs.MOST_READS
    assert told == ["0", "1", "2", "3", "4", "5", *(f"the kubelet's {minute}" for minute in (6, 7, 8))]


def test_what_is_read_later_is_looked_at_again() -> None:
    clock, said = Clock(), iter(range(100))
    reader = LogReader(fetch_next(said), clock, lambda: None)

    async def look(pod: PodSnapshot) -> str:
        reader.fill([pod])
        await asyncio.sleep(0.05)
        (filled,) = reader.fill([pod])
        assert filled.ending
        return filled.ending.log

    async def run() -> None:
        for minute in range(logs.MOST_READS):
            assert await look(crash(minute)) == str(minute)
        assert await look(crash(7)) == "the kubelet's 7"
        (again,) = reader.waits()
        assert (again.seconds, again.holds_status) == (logs.LATER_SECONDS, False)
        clock.now += again.seconds
        assert await look(crash(7)) == str(logs.MOST_READS)
        assert not list(reader.waits())
        assert await look(crash(8)) == "the kubelet's 8"
        reader.fill([serves("llama-0")])  # it serves, and fails again
        assert await look(crash(9)) == str(logs.MOST_READS + 1)

    asyncio.run(run())


def test_a_crash_is_one_of_those_that_are_read_though_its_log_moves() -> None:
    pods = [crash(minute, replaced=replaced) for minute in range(logs.MOST_READS) for replaced in (False, True)]
    told, asked = read(pods, [str(number) for number in range(len(pods))])
    assert len(asked) == len(pods)
    assert told[-1] == str(len(pods) - 1)


def test_few_texts_are_kept() -> None:
    clock = Clock()
    log = "\U0001f600 a line that is long\n" * 3000

    async def fetch(_: PodSnapshot) -> str:
        return log

    async def run() -> int:
        reader = LogReader(fetch, clock, lambda: None)
        tracemalloc.start()
        for minute in range(30):
            clock.now += logs.LATER_SECONDS
            pods = [replace(crash(minute), name=f"llama-{number}") for number in range(10)]
            reader.fill(pods)
            await asyncio.sleep(0.01)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return taken

    assert asyncio.run(run()) < 200_000


def test_a_log_that_is_too_large_is_told_and_costs_only_itself() -> None:
    async def fetch(_: PodSnapshot) -> str:
        raise OverLimitError("larger than 1 MiB")

    async def run() -> Evidence:
        reader = LogReader(fetch, time.monotonic, done.set)
        seen = Evidence(service(), pods=[ended()])
        await reader.read(seen)
        await done.wait()
        return await reader.read(seen)

    done = asyncio.Event()
    found = asyncio.run(run())
    assert found.missing == ("the log of pod llama-0: larger than 1 MiB",)
    assert [pod.name for pod in found.pods] == ["llama-0"]


def test_a_read_that_fails_leaves_nothing_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def fetch(_: PodSnapshot) -> str:
        raise TypeError

    async def run() -> list[Again]:
        reader = LogReader(fetch, time.monotonic, done.set)
        reader.fill([ended()])
        await done.wait()
        return list(reader.waits())

    done = asyncio.Event()
    assert asyncio.run(run()) == []
    assert "TypeError" in caplog.text

"""Which of a failed container's logs are read, how often, and that a log which is gone hides none that was read."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from support.snapshots import loading, service
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


def read(pods: Sequence[PodSnapshot], answers: list[str]) -> tuple[list[str], list[str]]:
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
            if list(reader.waits()):
                await done.wait()
            (filled,) = reader.fill([one])
            assert filled.ending
            told.append(filled.ending.log)
        return told

    done = asyncio.Event()
    reader = LogReader(fetch, time.monotonic, done.set)
    return asyncio.run(run()), asked


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RETRY_SECONDS", (0.0, 0.01, 0.01))


def test_a_log_is_read_once_for_each_state_of_the_container() -> None:
    told, asked = read([ended(), ended(), ended(replaced=True), ended(replaced=True)], ["a", "b"])
    assert told == ["a", "a", "b", "b"]
    assert len(asked) == 2


def test_a_log_that_is_not_there_yet_is_asked_for_again() -> None:
    assert read([ended()], ["", "a"])[0] == ["a"]


def test_a_log_that_is_gone_hides_none_that_was_read() -> None:
    assert read([ended(), ended(replaced=True)], ["a", "", "", ""])[0] == ["a", "a"]


def test_a_pod_that_fails_again_and_again_is_not_read_for_ever() -> None:
    pods = [ended(f"2026-11-25T10:0{minute}:00Z", replaced=True) for minute in range(9)]
    told, asked = read(pods, [str(minute) for minute in range(9)])
    assert len(asked) == logs.MOST_READS
    assert told[-1] == "5"


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

"""What is read in the background: whatever comes of it, it is told; what nobody expects is logged."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.clock import Clock
from support.pod_status import failed
from support.snapshots import loading, pod, service
from vllm_operator.batches.progress import ProgressReader
from vllm_operator.readers import configuration
from vllm_operator.readers.configuration import CONFIGURATION_SECONDS, ConfigurationReader
from vllm_operator.readers.engine import EngineReader
from vllm_operator.readers.events import EventReader
from vllm_operator.readers.hangs import HangReader
from vllm_operator.readers.logs import LogReader
from vllm_operator.readers.pod_http import State
from vllm_operator.readers.reader import Clock as Now
from vllm_operator.readers.said import FIRST_SECONDS, Events, Said
from vllm_operator.snapshots.batch import BatchPod
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.status.evidence import Evidence
from vllm_operator.vllm.batch import RUN

OWNER = service(apiKeySecretRef={"name": "key", "key": "key"})
Done = Callable[[], None]
Begins = Callable[[Clock, Done], Awaitable[Any]]


async def fails(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError


def of_pods(make: Callable[[Now, Done], Any], one: PodSnapshot) -> Begins:
    async def begin(clock: Clock, done: Done) -> None:
        await make(clock, done).read(Evidence(OWNER, pods=[one]))

    return begin


async def said(clock: Clock, done: Done) -> None:
    reader = Said(Events(fails, fails, done), clock, "FailedCreate")
    reader.look("involvedObject.uid=job")
    clock.now += FIRST_SECONDS
    reader.look("involvedObject.uid=job")


async def progress(clock: Clock, done: Done) -> None:
    reader = ProgressReader(clock, fails, done)
    reader.read([BatchPod(RUN, "uid", 0, pod())])


BEGIN: dict[str, Begins] = {
    "engine": of_pods(lambda clock, done: EngineReader(clock, fails, done), pod()),
    "configuration": of_pods(lambda clock, done: ConfigurationReader(clock, fails, done), pod()),
    "hangs": of_pods(lambda clock, done: HangReader(clock, fails, done), loading(silent=True)),
    "logs": of_pods(lambda clock, done: LogReader(fails, clock, done), failed()),
    "events": of_pods(lambda clock, done: EventReader(fails, clock, fails, done), failed(code=137)),
    "said": said,
    "progress": progress,
}


async def settled() -> None:
    """All that was begun has ended."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


@pytest.mark.parametrize("name", BEGIN)
def test_what_nobody_expects_is_logged_and_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async def look() -> None:
        await BEGIN[name](Clock(), lambda: told.append(name))
        await settled()

    asyncio.run(look())
    assert told == [name]
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


def test_pods_that_say_the_same_again_are_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [State(frozenset(stale), hangs=False) for stale in ((), (), ("Secret/key",))]
    told: list[object] = []

    async def read_state(_: str) -> State:
        return answers.pop(0)

    async def now(work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    async def look() -> list[int]:
        clock, found = Clock(), []
        reader = ConfigurationReader(clock, now, lambda: told.append(clock.now))
        while answers:
            await reader.read(Evidence(OWNER, pods=[pod()]))
            await settled()
            found.append(len(told))
            clock.now += CONFIGURATION_SECONDS
        return found

    monkeypatch.setattr(configuration, "read_state", read_state)
    assert asyncio.run(look()) == [1, 1, 2]

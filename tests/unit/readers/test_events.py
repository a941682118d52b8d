"""How often the Events of a pod are read."""

import asyncio
from typing import Any

import pytest

from support.pod_status import CREATING, ENDED, NOT_SET_UP, failed, pod
from vllm_operator.readers import events
from vllm_operator.readers.events import EventReader
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.snapshots.pod_event import PodEvent


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_events_are_read_once_per_end_and_again_while_a_pod_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, reads = Clock(), list[str]()
    answer: tuple[PodEvent, ...] = ()
    monkeypatch.setattr(events, "time", clock)

    async def read(uid: str) -> tuple[PodEvent, ...]:
        reads.append(uid)
        return answer

    def look(reader: EventReader, of: PodSnapshot) -> Any:
        return asyncio.run(reader.fill([of]))[0].events

    reader = EventReader(read)
    ended = failed(code=137)
    look(reader, ended)
    look(reader, ended)
    assert (len(reads), reader.retry_after) == (1, None)
    look(reader, failed(code=137, restarts=9))
    assert len(reads) == 1, "it is the same end"
    waits = pod(CREATING, conditions=NOT_SET_UP)
    look(reader, waits)
    assert (len(reads), reader.retry_after) == (1, 3.0)
    clock.now += 3
    look(reader, waits)
    assert (len(reads), reader.retry_after) == (2, 5.0)
    clock.now += 4
    look(reader, waits)
    assert len(reads) == 2
    answer = (PodEvent("FailedMount", 'configmap "chat" not found', ENDED),)
    clock.now += 1
    assert look(reader, waits) == answer
    assert (len(reads), reader.retry_after) == (3, 30.0)
    look(reader, pod({"state": {"running": {}}}))
    assert reader.retry_after is None

"""How often the Events of a pod are read."""

import asyncio
from dataclasses import replace
from typing import Any

from support.clock import Clock
from support.pod_status import CREATING, ENDED, NOT_SET_UP, failed, pod
from support.snapshots import service
from vllm_operator.again import soonest
from vllm_operator.api.limits import OverLimitError
from vllm_operator.readers.events import EventReader
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.snapshots.pod_event import PodEvent
from vllm_operator.status.evidence import Evidence


def due(reader: EventReader) -> float | None:
    """Seconds until another look."""
    again = soonest(reader.waits())
    return again.seconds if again else None


def test_events_are_read_once_per_end_and_again_while_a_pod_waits() -> None:
    clock, reads = Clock(), list[str]()
    answer: tuple[PodEvent, ...] = ()

    async def read(uid: str) -> tuple[PodEvent, ...]:
        reads.append(uid)
        return answer

    def look(reader: EventReader, of: PodSnapshot) -> Any:
        return asyncio.run(reader.fill([of]))[0].events

    reader = EventReader(read, clock)
    ended = failed(code=137)
    look(reader, ended)
    look(reader, ended)
    assert (len(reads), due(reader)) == (1, None)
    look(reader, failed(code=137, restarts=9))
    assert len(reads) == 1, "it is the same end"
    waits = pod(CREATING, conditions=NOT_SET_UP)
    look(reader, waits)
    assert (len(reads), due(reader)) == (1, 3.0)
    clock.now += 3
    look(reader, waits)
    assert (len(reads), due(reader)) == (2, 5.0)
    clock.now += 4
    look(reader, waits)
    assert len(reads) == 2
    answer = (PodEvent("FailedMount", 'configmap "chat" not found', ENDED),)
    clock.now += 1
    assert look(reader, waits) == answer
    assert (len(reads), due(reader)) == (3, 30.0)
    look(reader, pod({"state": {"running": {}}}))
    assert due(reader) is None


def test_a_pod_that_a_queue_holds_is_told_by_the_queues_own_object() -> None:
    clock, reads = Clock(), list[str]()
    answer: tuple[PodEvent, ...] = ()

    async def read(about: str) -> tuple[PodEvent, ...]:
        reads.append(about)
        return answer

    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gates"}
    held = replace(pod(CREATING, conditions=[gated]), uid="9f0c2d1e-0000-4000-8000-000000000001")
    reader = EventReader(read, clock)

    def look() -> tuple[PodEvent, ...]:
        return asyncio.run(reader.fill([held]))[0].events

    look()
    assert (reads, due(reader)) == ([], 3.0)
    clock.now += 3
    answer = (PodEvent("Pending", "insufficient unused quota", ENDED),)
    assert look() == answer
    assert reads == ["involvedObject.kind=Workload,involvedObject.name=pod-llama-0-5879f"]
    assert due(reader) == 30.0
    clock.now += 3600
    kept, answer = answer, ()
    assert look() == kept, "Events go after an hour, and it waits all the same"


def test_a_group_that_a_queue_holds_is_told_by_the_object_that_kueue_named_on_it() -> None:
    clock, reads = Clock(), list[str]()

    async def read(about: str) -> tuple[PodEvent, ...]:
        reads.append(about)
        return ()

    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gates"}
    held = pod(CREATING, conditions=[gated])
    held = replace(held, asked=replace(held.asked, queued_as="leaderworkerset-llama-g-0-5f0c2"))
    reader = EventReader(read, clock)
    asyncio.run(reader.fill([held]))
    clock.now += 3
    asyncio.run(reader.fill([held]))
    assert reads == ["involvedObject.kind=Workload,involvedObject.name=leaderworkerset-llama-g-0-5f0c2"]


def test_events_that_are_too_large_are_told() -> None:
    async def read(_: str) -> tuple[PodEvent, ...]:
        raise OverLimitError("larger than 1 MiB")

    found = asyncio.run(EventReader(read, Clock()).read(Evidence(service(), pods=[failed(code=137)])))
    assert len(found.missing) == 1
    assert found.missing[0].endswith(": larger than 1 MiB")

"""How often the Events of a pod are read."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from support.clock import Clock
from support.pod_status import CREATING, ENDED, NOT_SET_UP, failed, pod, waiting
from support.snapshots import service
from vllm_operator.again import soonest
from vllm_operator.api.limits import OverLimitError
from vllm_operator.readers.events import PATIENCE_SECONDS, EventReader, ReadEvents
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.snapshots.pod_event import PodEvent
from vllm_operator.status.evidence import Evidence
from vllm_operator.turns.few import Few


def reads(read: ReadEvents, clock: Clock, few: Few | None = None) -> EventReader:
    """A reader whose turn comes as `few` says."""
    return EventReader(read, clock, partial((few or Few(1)).do, "team-a"), lambda: None)


def look_at(reader: EventReader, of: PodSnapshot) -> Any:
    """The Events that are known of a pod once what is read of them has been read."""

    async def look() -> Any:
        reader.fill([of])
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return reader.fill([of])[0].events

    return asyncio.run(look())


def due(reader: EventReader) -> float | None:
    """Seconds until another look."""
    again = soonest(reader.waits())
    return again.seconds if again else None


def test_events_are_read_once_per_end_and_again_while_a_pod_waits() -> None:
    clock, asked = Clock(), list[str]()
    answer: tuple[PodEvent, ...] = ()

    async def read(uid: str) -> tuple[PodEvent, ...]:
        asked.append(uid)
        return answer

    def look(reader: EventReader, of: PodSnapshot) -> Any:
        return look_at(reader, of)

    reader = reads(read, clock)
    ended = failed(code=137)
    look(reader, ended)
    look(reader, ended)
    assert (len(asked), due(reader)) == (1, None)
    look(reader, failed(code=137, restarts=9))
    assert len(asked) == 1, "it is the same end"
    waits = pod(CREATING, conditions=NOT_SET_UP)
    look(reader, waits)
    assert (len(asked), due(reader)) == (1, 3.0)
    clock.now += 3
    look(reader, waits)
    assert (len(asked), due(reader)) == (2, 5.0)
    clock.now += 4
    look(reader, waits)
    assert len(asked) == 2
    answer = (PodEvent("FailedMount", 'configmap "chat" not found', ENDED),)
    clock.now += 1
    assert look(reader, waits) == answer
    assert (len(asked), due(reader)) == (3, 30.0)
    look(reader, pod({"state": {"running": {}}}))
    assert due(reader) is None


def test_why_a_pull_failed_is_read_anew_in_each_pause_and_the_status_waits_for_it() -> None:
    clock, asked = Clock(), list[str]()
    answer: tuple[PodEvent, ...] = ()

    async def read(uid: str) -> tuple[PodEvent, ...]:
        asked.append(uid)
        return answer

    reader = reads(read, clock)
    look_at(reader, pod(CREATING))
    answer = (PodEvent("Failed", 'Failed to pull image "registry/vllm:1": x: not found', ENDED),)
    for pauses in (1, 2):
        pause = waiting("ImagePullBackOff", 'Back-off pulling image "registry/vllm:1"')

        async def look(of: PodSnapshot = pause) -> bool:
            reader.fill([of])
            again = soonest(reader.waits())
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
            return bool(again and again.holds_status)

        assert asyncio.run(look()), "it would say something else for a moment"
        assert (look_at(reader, pause), len(asked)) == (answer, pauses)
        assert look_at(reader, waiting("ErrImagePull", "x: not found")) == ()


def test_a_pod_that_a_queue_holds_is_told_by_the_queues_own_object() -> None:
    clock, asked = Clock(), list[str]()
    answer: tuple[PodEvent, ...] = ()

    async def read(about: str) -> tuple[PodEvent, ...]:
        asked.append(about)
        return answer

    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gates"}
    held = replace(pod(CREATING, conditions=[gated]), uid="9f0c2d1e-0000-4000-8000-000000000001")
    reader = reads(read, clock)

    def look() -> tuple[PodEvent, ...]:
        return look_at(reader, held)  # type: ignore[no-any-return]

    look()
    assert (asked, due(reader)) == ([], 3.0)
    clock.now += 3
    answer = (PodEvent("Pending", "insufficient unused quota", ENDED),)
    assert look() == answer
    assert asked == ["involvedObject.kind=Workload,involvedObject.name=pod-llama-0-5879f"]
    assert due(reader) == 30.0
    clock.now += 3600
    kept, answer = answer, ()
    assert look() == kept, "Events go after an hour, and it waits all the same"


def test_a_group_that_a_queue_holds_is_told_by_the_object_that_kueue_named_on_it() -> None:
    clock, asked = Clock(), list[str]()

    async def read(about: str) -> tuple[PodEvent, ...]:
        asked.append(about)
        return ()

    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gates"}
    held = pod(CREATING, conditions=[gated])
    held = replace(held, asked=replace(held.asked, queued_as="leaderworkerset-llama-g-0-5f0c2"))
    reader = reads(read, clock)
    look_at(reader, held)
    clock.now += 3
    look_at(reader, held)
    assert asked == ["involvedObject.kind=Workload,involvedObject.name=leaderworkerset-llama-g-0-5f0c2"]


def test_events_that_are_too_large_are_told() -> None:
    async def read(_: str) -> tuple[PodEvent, ...]:
        raise OverLimitError("larger than 1 MiB")

    async def play() -> Evidence:
        reader, evidence = reads(read, Clock()), Evidence(service(), pods=[failed(code=137)])
        await reader.read(evidence)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return await reader.read(evidence)

    found = asyncio.run(play())
    assert len(found.missing) == 1
    assert found.missing[0].endswith(": larger than 1 MiB")


def test_the_status_of_a_container_that_ended_waits_for_them_and_nobody_waits_for_a_pod_that_starts() -> None:
    """The API server goes through all Events of a namespace: in a large one that takes seconds."""
    clock = Clock()

    async def read(_: str) -> tuple[PodEvent, ...]:
        await asyncio.Event().wait()
        return ()

    async def play(of: PodSnapshot) -> list[tuple[float, bool]]:
        reader = reads(read, clock)
        reader.fill([of])
        clock.now += 3
        assert reader.fill([of])[0].events == ()
        return [(again.seconds, again.holds_status) for again in reader.waits()]

    assert asyncio.run(play(failed(code=137))) == [], "not for longer than that"
    assert asyncio.run(play(pod(CREATING, conditions=NOT_SET_UP))) == []
    clock.now -= 3

    async def at_once() -> list[tuple[float, bool]]:
        reader = reads(read, clock)
        reader.fill([failed(code=137)])
        return [(again.seconds, again.holds_status) for again in reader.waits()]

    assert asyncio.run(at_once()) == [(PATIENCE_SECONDS, True)]


def test_what_has_become_needless_while_it_waited_for_its_turn_is_not_read() -> None:
    clock, asked, gate = Clock(), list[str](), asyncio.Event()

    async def read(about: str) -> tuple[PodEvent, ...]:
        asked.append(about)
        await gate.wait()
        return ()

    async def play() -> None:
        few = Few(1)
        names = ["a", "b", "c"]
        readers = {name: reads(read, clock, few) for name in names}
        waits = {name: replace(pod(CREATING, conditions=NOT_SET_UP), uid=name) for name in names}
        for name in names:
            readers[name].fill([waits[name]])
        clock.now += 3
        for name in names:
            readers[name].fill([waits[name]])
        await asyncio.sleep(0)
        readers["b"].fill([pod({"state": {"running": {}}})])
        gate.set()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(play())
    assert asked == ["involvedObject.uid=a", "involvedObject.uid=c"]

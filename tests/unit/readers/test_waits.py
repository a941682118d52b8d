"""No reader makes its object come back again and again once there is nothing to read any more."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from support.clock import Clock
from support.fake_api import FakeApi
from support.snapshots import loading, pod, service
from vllm_operator.api.resource import InferenceService, Key
from vllm_operator.batches import memory as batches
from vllm_operator.batches import progress
from vllm_operator.cluster import Cluster
from vllm_operator.loop.kinds import Surroundings, queues
from vllm_operator.readers import configuration, engine, hangs, logs
from vllm_operator.readers.devices import DeviceClasses
from vllm_operator.readers.pod_http import EngineError
from vllm_operator.readers.reader import Reader
from vllm_operator.readers.together import Together
from vllm_operator.services import memory as services
from vllm_operator.services.holdings import SupplyReader
from vllm_operator.services.view import View
from vllm_operator.settings import Settings
from vllm_operator.snapshots.batch import BatchPod
from vllm_operator.snapshots.pod import Ending, PodSnapshot
from vllm_operator.status.evidence import Evidence
from vllm_operator.vllm.batch import RUN

# Later than whatever was due.
LATE = 3600.0
OWNER = service(apiKeySecretRef={"name": "key", "key": "key"}, image="vllm:1")
PODS = {
    "serves": pod(),
    "silent": loading(silent=True),
    "fails": loading(ending=Ending("Completed", 0, 60, served=True, started="2026-11-25T10:00:00Z")),
    "waits": loading(started=False),
}
WITHOUT: dict[str, Callable[[PodSnapshot], tuple[InferenceService, list[PodSnapshot]]]] = {
    "no pods": lambda _: (OWNER, []),
    "none that is ready": lambda _: (OWNER, [loading()]),
    "the other runtime": lambda one: (service(runtime="RayServe", image="vllm:1"), [one]),
    "nothing to ask for": lambda one: (service(image="vllm:1"), [replace(one, ready=False)]),
}


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_: str) -> None:
        return None

    async def fails(_: str) -> None:
        raise EngineError("it does not answer")

    for module, name in ((configuration, "read_state"), (hangs, "read_state"), (progress, "read_progress")):
        monkeypatch.setattr(module, name, none)
    monkeypatch.setattr(engine, "read_engine", fails)
    monkeypatch.setattr(logs, "RETRY_SECONDS", (0.0,))


def around(clock: Clock) -> Surroundings:
    return Surroundings(
        Cluster(FakeApi(), lambda _: 10.0), Settings(), {}, frozenset, lambda _: None, clock, lambda *_: (), queues()
    )


def readers(clock: Clock) -> tuple[Reader, ...]:
    world = around(clock)
    shared = services.Shared(
        Together(world.settings, world.requeue, clock),
        DeviceClasses(world.cluster, clock),
        SupplyReader(View(world.indices), world.clock),
    )
    return services.remember(Key("team-a", "llama"), "uid", world, shared).readers


async def settled() -> None:
    """All that was begun has ended."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


@pytest.mark.parametrize("before", PODS)
@pytest.mark.parametrize("after", WITHOUT)
def test_of_services(before: str, after: str) -> None:
    async def look() -> dict[str, list[Any]]:
        clock = Clock()
        known = readers(clock)
        for _ in range(3):
            for one in known:
                await one.read(Evidence(OWNER, pods=[PODS[before]]))
            await settled()
            clock.now += 20
        clock.now += LATE
        owner, pods = WITHOUT[after](PODS[before])
        for one in known:
            await one.read(replace(Evidence(owner), pods=pods))
        await settled()
        return {type(one).__name__: [again for again in one.waits() if again.seconds < 1] for one in known}

    assert not {name: soon for name, soon in asyncio.run(look()).items() if soon}


def test_of_batches() -> None:
    async def look() -> list[Any]:
        clock = Clock()
        memory = batches.remember(Key("team-a", "nightly"), "uid", around(clock))
        memory.progress.read([BatchPod(RUN, "uid", 0, pod())])
        await settled()
        clock.now += LATE
        memory.progress.read([])
        return [again for again in memory.waits() if again.seconds < 1]

    assert asyncio.run(look()) == []


def test_pods_that_are_being_asked_for_long_are_not_asked_about_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: str) -> None:
        await asyncio.sleep(60)

    for module, name in ((configuration, "read_state"), (engine, "read_engine"), (progress, "read_progress")):
        monkeypatch.setattr(module, name, never)

    async def look() -> list[Any]:
        clock = Clock()
        known, memory = readers(clock), batches.remember(Key("team-a", "nightly"), "uid", around(clock))
        found = []
        for _ in range(2):
            for one in known:
                await one.read(Evidence(OWNER, pods=[pod()]))
            memory.progress.read([BatchPod(RUN, "uid", 0, pod())])
            waits = chain(memory.waits(), *(one.waits() for one in known))
            found = [again for again in waits if again.seconds < 1]
            clock.now += LATE
        return found

    assert asyncio.run(look()) == []

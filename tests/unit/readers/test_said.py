"""Events of an object without pods are read in the background, a few at a time, and only as long as it has none."""

import asyncio
from functools import partial

import pytest

from support.clock import Clock
from support.world import World
from vllm_operator.cluster import Cluster
from vllm_operator.readers.said import FIRST_SECONDS, NEXT_SECONDS, REFUSED, Events, Said
from vllm_operator.snapshots.pod_event import PodEvent
from vllm_operator.turns.few import Few

JOB = "involvedObject.uid=job"


class Bench:
    """An object whose Events take as long to read as the test wants."""

    def __init__(self, few: Few | None = None) -> None:
        self.clock, self.asked, self.done = Clock(), list[str](), 0
        self.answers = asyncio.Event()
        self.said = Said(Events(self._read, partial((few or Few(1)).do, "team-a"), self._done), self.clock, REFUSED)

    async def _read(self, about: str) -> tuple[PodEvent, ...]:
        self.asked.append(about)
        await self.answers.wait()
        return (PodEvent(REFUSED, "no", "2026-11-28T00:00:00Z"),)

    def _done(self) -> None:
        self.done += 1

    async def ends(self) -> None:
        """All that is being read is read."""
        self.answers.set()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


def test_a_look_never_waits_for_them() -> None:
    async def run() -> None:
        bench = Bench()
        assert bench.said.look(JOB) == ""
        (again,) = bench.said.waits()
        assert again.seconds == FIRST_SECONDS
        bench.clock.now += FIRST_SECONDS
        assert bench.said.look(JOB) == ""
        await asyncio.sleep(0)
        assert bench.said.look(JOB) == ""
        assert not list(bench.said.waits()), "it comes back when they were read"
        await bench.ends()
        assert (bench.asked, bench.done) == ([JOB], 1)
        assert bench.said.look(JOB) == "no"
        (again,) = bench.said.waits()
        assert again.seconds == NEXT_SECONDS
        assert bench.said.look("") == ""

    asyncio.run(run())


def test_those_of_a_job_that_has_its_pod_by_now_are_not_read() -> None:
    async def run() -> None:
        few = Few(1)
        slow, bench = Bench(few), Bench(few)
        for one in (slow, bench):
            one.said.look(JOB)
            one.clock.now += FIRST_SECONDS
            one.said.look(JOB)
        await asyncio.sleep(0)
        bench.said.look("")
        await slow.ends()
        assert (slow.asked, bench.asked) == ([JOB], [])

    asyncio.run(run())


def test_slow_reads_keep_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose inspect Job has no pod."""

    async def run() -> None:
        world = World()
        key = world.service()
        answers, asked = asyncio.Event(), list[str]()

        async def read(_: Cluster, __: str, about: str) -> tuple[PodEvent, ...]:
            asked.append(about)
            await answers.wait()
            return ()

        monkeypatch.setattr(Cluster, "read_events", read)
        for _ in range(2):
            await world.reconciler.reconcile(key)
            world.watch()
            world.clock.now += FIRST_SECONDS + 1
        await asyncio.wait_for(world.reconciler.reconcile(key), 5)
        await asyncio.sleep(0)
        assert len(asked) == 1
        answers.set()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        assert key in world.requeued

    asyncio.run(run())

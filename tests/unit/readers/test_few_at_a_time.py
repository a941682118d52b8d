"""What pods and kubelets may make take long goes on for a few at a time, whatever asks, and namespaces take turns."""

import asyncio
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from support.fake_api import FakeApi
from support.pod_status import failed as killed
from support.snapshots import loading, pod, service
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import Key
from vllm_operator.assess.fits import Assessment
from vllm_operator.batches import memory as batches
from vllm_operator.batches import progress
from vllm_operator.cluster import Cluster
from vllm_operator.loop.aside import Aside
from vllm_operator.loop.kinds import Queues, Surroundings, queues
from vllm_operator.readers import configuration, engine, hangs, pod_http
from vllm_operator.readers.devices import DeviceClasses
from vllm_operator.readers.pod_http import read_state
from vllm_operator.readers.reader import Reader
from vllm_operator.readers.together import Together
from vllm_operator.services import judge
from vllm_operator.services import memory as services
from vllm_operator.services.holdings import SupplyReader
from vllm_operator.services.view import View
from vllm_operator.settings import Settings
from vllm_operator.snapshots.batch import BatchPod
from vllm_operator.snapshots.pod import Ending, PodSnapshot
from vllm_operator.snapshots.pod_event import PodEvent
from vllm_operator.status.evidence import Engine, Evidence
from vllm_operator.turns.few import Few
from vllm_operator.vllm.batch import RUN

MIB = 1 << 20
PART = b" " * (MIB // 64)
MOST = 3
MANY = 12
OWNER = service(apiKeySecretRef={"name": "key", "key": "key"}, image="vllm:1")
SERVES = [pod(f"p{number}", ip=f"10.0.0.{number}") for number in range(MANY)]
SILENT = [replace(one, ready=False, silent=True) for one in SERVES]
KILLED = [killed(code=137)]
FAILS = [loading("p", ending=Ending("Completed", 0, 60, served=True, started="2026-11-25T10:00:00Z"))]


class Asked:
    """Counts what goes on at the same time."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0
        self._ended = asyncio.Event()

    async def ask(self, *_: Any, **__: Any) -> Any:
        self.now, self.all = self.now + 1, self.all + 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.005)
        self.now -= 1
        self._ended.set()

    async def one_ends(self) -> None:
        self._ended.clear()
        await self._ended.wait()


class SlowCluster(Cluster):
    """Reads of logs and of Events take a while."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(FakeApi(), lambda _: 10.0)
        self._asked = asked

    async def read_log(self, *_: Any, **__: Any) -> str:
        await self._asked.ask()
        return "a log"

    async def read_events(self, *_: Any) -> tuple[PodEvent, ...]:
        await self._asked.ask()
        return ()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    for module, name in ((configuration, "read_state"), (hangs, "read_state"), (progress, "read_progress")):
        monkeypatch.setattr(module, name, found.ask)

    async def read_engine(_: str) -> Engine:
        await found.ask()
        return Engine("0.32.0", 1, 1)

    monkeypatch.setattr(engine, "read_engine", read_engine)
    return found


def around(asked: Asked) -> Surroundings:
    return Surroundings(
        SlowCluster(asked),
        Settings(),
        {},
        frozenset,
        lambda _: None,
        lambda: 0.0,
        lambda *_: (),
        Queues(Few(MOST), Few(MOST), Few(MOST), Aside()),
    )


def of_services(world: Surroundings) -> Iterator[services.Memory]:
    shared = services.Shared(
        Together(world.settings, world.requeue, world.clock),
        DeviceClasses(world.cluster, world.clock),
        SupplyReader(View(world.indices), world.clock),
    )
    yield from (services.remember(Key(f"team-{number}", "llama"), "uid", world, shared) for number in range(MANY))


def reader(name: str, memory: services.Memory | batches.BatchMemory) -> Reader:
    return next(one for one in memory.readers if type(one).__name__ == name)


async def until_asked(asked: Asked, count: int) -> None:
    while asked.all < count or asked.now:
        await asked.one_ends()


@pytest.mark.parametrize(
    ("name", "pods", "each"),
    [
        ("ConfigurationReader", SERVES, MANY),
        ("HangReader", SILENT, MANY),
        ("EngineReader", SERVES, 1),
        ("LogReader", FAILS, 1),
    ],
)
def test_of_all_services(asked: Asked, name: str, pods: list[PodSnapshot], each: int) -> None:
    async def look() -> None:
        world = around(asked)
        for memory in of_services(world):
            await reader(name, memory).read(Evidence(OWNER, pods=pods))
        await asyncio.wait_for(until_asked(asked, each * MANY), 5)

    asyncio.run(look())
    assert (asked.most, asked.all) == (MOST, each * MANY)


def test_many_silent_servers_of_one_namespace_delay_no_hang_of_another(asked: Asked) -> None:
    """The answer to one of another namespace comes when the first of those that are being asked gives up."""

    async def look() -> None:
        world = around(asked)
        first, second, *_ = of_services(world)
        await reader("HangReader", first).read(
            Evidence(OWNER, pods=[replace(SILENT[0], name=f"x{n}") for n in range(1000)])
        )
        await asyncio.sleep(0)
        other = reader("HangReader", second)
        await other.read(Evidence(OWNER, pods=SILENT[:1]))
        while list(other.waits()):
            await asked.one_ends()
            await asyncio.sleep(0)
        assert asked.all <= 3 * MOST

    asyncio.run(asyncio.wait_for(look(), 5))


def test_of_all_batches(asked: Asked) -> None:
    async def look() -> None:
        world = around(asked)
        for number in range(MANY):
            memory = batches.remember(Key("team-a", f"b{number}"), "uid", world)
            memory.progress.read([BatchPod(RUN, "uid", index, one) for index, one in enumerate(SERVES)])
        await asyncio.wait_for(until_asked(asked, MANY * MANY), 5)
        assert (asked.most, asked.all) == (MOST, MANY * MANY)
        for number in range(MANY):
            memory = batches.remember(Key("team-a", f"b{number}"), "uid", world)
            await reader("LogReader", memory).read(Evidence(OWNER, pods=FAILS))
        await asyncio.wait_for(until_asked(asked, MANY * MANY + MANY), 5)

    asyncio.run(look())
    assert asked.most == MOST


def test_events_of_services_and_batches_together(asked: Asked) -> None:
    async def look() -> None:
        world = around(asked)
        of_batches = (batches.remember(Key("team-a", f"b{number}"), "uid", world) for number in range(MANY))
        memories: list[services.Memory | batches.BatchMemory] = [*of_services(world), *of_batches]
        for memory in memories:
            await reader("EventReader", memory).read(Evidence(OWNER, pods=KILLED))
        await asyncio.wait_for(until_asked(asked, 2 * MANY), 5)

    asyncio.run(look())
    assert (asked.most, asked.all) == (MOST, 2 * MANY)


def test_what_fits_is_worked_out_in_one_thread_for_all_kinds(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def work_out(*_: Any) -> Assessment:
        threads.append(threading.get_ident())
        return Assessment(True, Reason.FITS, "it fits")

    monkeypatch.setattr(judge, "assess", work_out)

    async def look() -> None:
        world = around(asked)
        await asyncio.gather(*(judge.Judge(world, lambda: ()).assess(Evidence(OWNER)) for _ in range(2)))

    asyncio.run(look())
    assert (len(threads), len({*threads})) == (2, 1)


def test_pods_that_hold_large_answers_back_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of 400 pods; the servers of the test are in the same process."""
    held: set[Any] = set()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.add(asyncio.current_task())
        writer.write(head)
        with suppress(ConnectionError):
            for _ in range(63):
                writer.write(PART)
                await writer.drain()
            while await reader.read(1024):
                pass
        writer.close()

    async def run() -> int:
        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        monkeypatch.setattr(pod_http, "PORT", server.sockets[0].getsockname()[1])
        few = queues().pods
        tracemalloc.start()
        answers = await asyncio.gather(*(few.do("team-a", partial(read_state, "127.0.0.1")) for _ in range(400)))
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        server.close()
        await asyncio.wait(held)
        assert {*answers} == {None}
        return taken

    assert asyncio.run(run()) < 64 * MIB

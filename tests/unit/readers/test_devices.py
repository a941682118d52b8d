"""The devices of a service's DeviceClass: read once for all services, and never a reason to stop."""

import asyncio
from typing import Any, cast

from support.clock import Clock
from support.snapshots import service
from vllm_operator.again import soonest
from vllm_operator.assess.device_classes import Claimed
from vllm_operator.cluster import Cluster, RefusedError
from vllm_operator.readers.devices import AGAIN_SECONDS, FRESH_SECONDS, DeviceClasses, DeviceReader
from vllm_operator.status.evidence import Evidence


class Api:
    """An API server with one class and one device."""

    def __init__(self) -> None:
        self.reads = 0
        self.refuses = False

    async def read(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        rule = {"cel": {"expression": "device.driver == 'gpu.example.com'"}}
        return {"spec": {"selectors": [rule]}} if name == "gpus" else None

    async def read_slices(self) -> list[dict[str, Any]]:
        self.reads += 1
        if self.refuses:
            raise RefusedError("may not list resourceslices")
        device = {"name": "gpu-0", "capacity": {"memory": {"value": "80Gi"}}}
        return [{"spec": {"driver": "gpu.example.com", "nodeName": "a", "devices": [device]}}]


def evidence(**accelerator: Any) -> Evidence:
    return Evidence(service(accelerator=accelerator))


def test_slices_are_read_once_for_all_services_and_again_when_they_are_old() -> None:
    api, clock = Api(), Clock()

    async def look() -> list[Claimed | None]:
        classes = DeviceClasses(cast("Cluster", api), clock)
        readers = [DeviceReader(classes.of) for _ in range(3)]
        found = [(await reader.read(evidence(deviceClass="gpus"))).claimed for reader in readers]
        assert api.reads == 1
        clock.now += FRESH_SECONDS
        await readers[0].read(evidence(deviceClass="gpus"))
        assert api.reads == 2
        again = soonest(readers[0].waits())
        assert again is not None
        assert again.seconds == AGAIN_SECONDS
        return found

    found = asyncio.run(look())
    assert [one.devices[0].memory_mib if one else None for one in found] == [80 * 1024] * 3


def test_a_service_without_a_class_reads_nothing() -> None:
    api = Api()
    reader = DeviceReader(DeviceClasses(cast("Cluster", api), Clock()).of)
    assert asyncio.run(reader.read(evidence())).claimed is None
    assert (api.reads, soonest(reader.waits())) == (0, None)


def test_what_may_not_be_read_is_said() -> None:
    api = Api()
    api.refuses = True
    reader = DeviceReader(DeviceClasses(cast("Cluster", api), Clock()).of)
    found = asyncio.run(reader.read(evidence(deviceClass="gpus"))).claimed
    assert found is not None
    assert found.why.startswith("the operator cannot read the devices of class gpus (may not list resourceslices)")
    missing = asyncio.run(reader.read(evidence(deviceClass="other"))).claimed
    assert missing == Claimed(why="there is no DeviceClass other")


def test_classes_that_nobody_names_any_more_are_forgotten() -> None:
    clock = Clock()

    async def look() -> int:
        classes = DeviceClasses(cast("Cluster", Api()), clock)
        for number in range(100):
            await classes.of(f"class-{number}")
            clock.now += 1
        return len(classes._found)

    assert asyncio.run(look()) <= FRESH_SECONDS

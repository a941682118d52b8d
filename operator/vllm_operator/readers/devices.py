"""What devices the DeviceClass of a service has, from the cluster's ResourceSlices. They are never watched."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from ..again import Again
from ..api.limits import OverLimitError
from ..assess.device_classes import Claimed, claimed
from ..cluster import Cluster, GoneError, RefusedError
from ..snapshots.device import Device, devices_in
from ..status.evidence import Evidence
from .reader import Clock

log = logging.getLogger(__name__)
# Devices come and go with nodes. All services read the same slices.
FRESH_SECONDS = 60.0
AGAIN_SECONDS = 300.0


class DeviceClasses:
    """The classes that services name, and all devices: read once for all services, and again when they are old."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        self._found: dict[str, tuple[Claimed, float]] = {}
        self._reading = asyncio.Lock()

    async def of(self, name: str) -> Claimed:
        """What pods get of a class. Raises UnavailableError where the API server does not answer."""
        async with self._reading:
            found, until = self._found.get(name, (Claimed(), 0.0))
            if self._clock() < until:
                return found
            found = await self._read(name)
            # Names that nobody asks for any more go.
            now = self._clock()
            self._found = {known: one for known, one in self._found.items() if now < one[1]}
            self._found[name] = found, now + FRESH_SECONDS
            return found

    async def _read(self, name: str) -> Claimed:
        try:
            device_class = await self._cluster.read("DeviceClass", "", name)
            bodies = await self._cluster.read_slices() if device_class else []
        except (RefusedError, GoneError, OverLimitError) as error:
            log.info("the devices of class %s: %s", name, error)
            return Claimed(
                why=f"the operator cannot read the devices of class {name} ({error}): set accelerator.memory"
            )
        return await asyncio.to_thread(claimed, name, device_class, _devices(bodies))


def _devices(bodies: list[dict[str, object]]) -> Iterator[Device]:
    for body in bodies:
        yield from devices_in(body)


class DeviceReader:
    """The devices that one service's pods may claim."""

    def __init__(self, of: Callable[[str], Awaitable[Claimed]]) -> None:
        self._of = of
        self._asked = False

    async def read(self, evidence: Evidence) -> Evidence:
        """The evidence with what the class has; as it is where the service names none."""
        name = evidence.service.spec.accelerator.device_class
        self._asked = name is not None
        return replace(evidence, claimed=await self._of(name)) if name else evidence

    def waits(self) -> Iterator[Again]:
        """Drivers tell of new devices without an event for us."""
        if self._asked:
            yield Again(AGAIN_SECONDS, "the devices of its class are looked at again")

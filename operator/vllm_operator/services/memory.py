"""What is remembered of one service between reconciles. Losing it costs requests, never correctness."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from ..again import Again
from ..api.resource import InferenceService, Key
from ..apply.ledger import Ledger
from ..apply.replicas import Replicas
from ..assess.resolution import Resolution, Resolved
from ..assess.terms import Terms
from ..diagnosis import Finding
from ..loop.kinds import Surroundings
from ..loop.write import StatusWriter
from ..manifests import Packed
from ..manifests.names import CONTAINER, DOWNLOADER
from ..readers.configuration import ConfigurationReader
from ..readers.devices import DeviceClasses, DeviceReader
from ..readers.download import DownloadReader
from ..readers.engine import EngineReader
from ..readers.events import EventReader
from ..readers.hangs import HangReader
from ..readers.inspection import InspectionReader
from ..readers.logs import LogReader
from ..readers.reader import Reader
from ..readers.said import Events
from ..readers.together import Together
from ..snapshots.groups import Fallen
from ..snapshots.pod import PodSnapshot
from ..snapshots.ray import Taking
from ..status.evidence import Jobs
from ..status.figures import Restarts
from .claims import Claims
from .holdings import SupplyReader


class Shared(NamedTuple):
    """What the readers of all services have together."""

    together: Together
    classes: DeviceClasses
    supply: SupplyReader


@dataclass(slots=True)
class Memory:
    """Of one very service: another one of the same name has another uid, and a memory of its own."""

    uid: str
    readers: tuple[Reader, ...]
    """In the order in which they are asked."""
    writer: StatusWriter
    claims: Claims
    ledger: Ledger = field(default_factory=Ledger)
    replicas: Replicas = field(default_factory=Replicas)
    restarts: Restarts = field(default_factory=Restarts)
    fallen: Fallen = field(default_factory=Fallen)
    answering: frozenset[str] | None = None
    """The RayServices whose application answers; None: not looked at yet."""
    taking: Taking = field(default_factory=Taking)
    parsed: tuple[InferenceService, Finding | None] | None = None
    resolution: tuple[object, Resolution] | None = None
    """What the spec came to with its class, and what that was made of."""
    terms: tuple[object, Terms] | None = None
    """What held then, with what was kept, and what that was made of."""
    rendered: Mapping[str, Packed] = field(default_factory=dict)
    """The rendering of the current spec, by its revision: the watch may not show what keeps it yet."""
    learned: tuple[str, tuple[Resolved, ...]] | None = None
    """What other services taught the plan of a spec, by its revision."""
    jobs: Jobs = field(default_factory=Jobs)
    """What became of its Jobs when the children were seen to last."""
    settled_at: float | None = None
    """When the children were first as they should be."""

    def waits(self) -> list[Again]:
        """What is being read, or due."""
        return [*self.claims.waits(), *(wait for reader in self.readers for wait in reader.waits())]


def remember(key: Key, uid: str, surroundings: Surroundings, shared: Shared) -> Memory:
    """The memory of a service that was not seen before."""
    cluster, clock = surroundings.cluster, surroundings.clock
    claims = Claims(partial(cluster.read, "PersistentVolumeClaim", key.namespace), clock)
    return Memory(uid, _readers(key, surroundings, shared), StatusWriter(cluster, clock), claims)


def _readers(key: Key, surroundings: Surroundings, shared: Shared) -> tuple[Reader, ...]:
    cluster, settings, clock = surroundings.cluster, surroundings.settings, surroundings.clock
    done = partial(surroundings.requeue, key)
    read_claim = partial(cluster.read, "PersistentVolumeClaim", key.namespace)
    read_events = partial(cluster.read_events, key.namespace)
    read_in_turn = partial(surroundings.queues.events.do, key.namespace)
    turn = partial(surroundings.queues.pods.do, key.namespace)
    asks_pods: tuple[Reader, ...] = (EngineReader(clock, turn, done), ConfigurationReader(clock, turn, done))
    return (
        InspectionReader(read_claim, Events(read_events, read_in_turn, done), clock, shared.together),
        DeviceReader(shared.classes.of),
        DownloadReader(_download_log(surroundings, key.namespace), clock, done, settings),
        EventReader(read_events, clock, read_in_turn, done),
        *((HangReader(clock, turn, done),) if settings.engine_metrics else ()),
        LogReader(_log_reader(surroundings, key.namespace), clock, done),
        *(asks_pods if settings.engine_metrics else ()),
        shared.supply,
    )


def _download_log(surroundings: Surroundings, namespace: str) -> Callable[[str], Awaitable[str]]:
    async def read(pod: str) -> str:
        return await surroundings.read_log(namespace, pod, DOWNLOADER)

    return read


def _log_reader(surroundings: Surroundings, namespace: str) -> Callable[[PodSnapshot], Awaitable[str]]:
    async def read(pod: PodSnapshot) -> str:
        previous = pod.ending is not None and pod.ending.replaced
        return await surroundings.read_log(namespace, pod.name, CONTAINER, previous=previous)

    return read

"""What is remembered of one batch between reconciles. Losing it costs requests, never correctness."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ..again import Again
from ..api.resource import Key
from ..loop.kinds import Surroundings
from ..loop.write import StatusWriter
from ..manifests.names import CONTAINER
from ..readers.events import EventReader
from ..readers.inspection import InspectionReader
from ..readers.logs import LogReader
from ..readers.reader import Reader
from ..readers.said import REFUSED, Events, Said
from ..readers.together import Together
from ..services.claims import Claims
from ..snapshots.batch import told
from ..snapshots.pod import PodSnapshot
from ..vllm.batch import STEPS
from .progress import ProgressReader

# What Kueue says is not watched.
QUEUE_SECONDS = 15.0


@dataclass(slots=True)
class BatchMemory:
    """Of one very batch: another one of the same name has another uid, and a memory of its own."""

    uid: str
    readers: tuple[Reader, ...]
    progress: ProgressReader
    refusals: Mapping[str, Said]
    """What the API server says as it refuses the pods of a step."""
    writer: StatusWriter
    claims: Claims
    """Those that the batch names."""
    queue: tuple[str, float] | None = None
    """What Kueue said of why it holds the batch, and when."""

    def waits(self) -> list[Again]:
        """What is being read, or due."""
        refusals = (wait for said in self.refusals.values() for wait in said.waits())
        return [*self.progress.waits(), *(wait for reader in self.readers for wait in reader.waits()), *refusals]


def remember(key: Key, uid: str, surroundings: Surroundings) -> BatchMemory:
    """The memory of a batch that was not seen before."""
    cluster, clock = surroundings.cluster, surroundings.clock
    to_read = _events(key, surroundings)
    progress = ProgressReader(clock, partial(surroundings.queues.pods.do, key.namespace), to_read.done)
    refusals = {step: Said(to_read, clock, REFUSED) for step in STEPS}
    claims = Claims(partial(cluster.read, "PersistentVolumeClaim", key.namespace), clock)
    return BatchMemory(uid, new_readers(key, surroundings), progress, refusals, StatusWriter(cluster, clock), claims)


def new_readers(key: Key, surroundings: Surroundings) -> tuple[Reader, ...]:
    """Those of one batch, which have read nothing yet."""
    cluster, clock = surroundings.cluster, surroundings.clock
    to_read = _events(key, surroundings)

    async def read_log(pod: PodSnapshot) -> str:
        log = await surroundings.read_log(key.namespace, pod.name, CONTAINER)
        return told(log, served=pod.ending is not None and pod.ending.served)

    read_claim = partial(cluster.read, "PersistentVolumeClaim", key.namespace)

    # A batch goes when it has ended: each has a Job of its own.
    alone = Together(surroundings.settings, surroundings.requeue, clock)
    return (
        InspectionReader(read_claim, to_read, clock, alone),
        EventReader(to_read.read, clock, to_read.turn, to_read.done),
        LogReader(read_log, clock, to_read.done),
    )


def _events(key: Key, surroundings: Surroundings) -> Events:
    read = partial(surroundings.cluster.read_events, key.namespace)
    turn = partial(surroundings.queues.events.do, key.namespace)
    return Events(read, turn, partial(surroundings.requeue, key))

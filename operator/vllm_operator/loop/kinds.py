"""What a kind of ours brings to the loop: what is watched for it, and what is done with a key of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple, Protocol

from prometheus_client.registry import Collector

from ..api.resource import Key
from ..assess.limits import Claimants
from ..cluster import Cluster
from ..readers.events import MOST_READS_OF_EVENTS
from ..readers.logs import MOST_LOGS
from ..readers.pod_http import MOST_ASKED
from ..settings import Settings
from ..turns.few import Few
from ..watch.sources import Indices, Source
from .aside import Aside


class Queues(NamedTuple):
    """What others may make take long, and is done a few pieces at a time for the objects of all kinds."""

    pods: Few
    """Pods are asked over HTTP."""
    logs: Few
    """Logs are read."""
    events: Few
    """Events are read: each read costs the API server a look at all that the namespace has."""
    aside: Aside
    """It is worked out what fits."""


def queues() -> Queues:
    """Those of one operator."""
    return Queues(Few(MOST_ASKED), Few(MOST_LOGS), Few(MOST_READS_OF_EVENTS), Aside())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reconciler works with. Whatever changes while the operator runs is asked for."""

    cluster: Cluster
    settings: Settings
    indices: Indices
    """What the watches have shown: always the newest."""
    served: Callable[[], frozenset[str]]
    """The optional kinds that the cluster knows now."""
    requeue: Callable[[Key], None]
    """Makes a key of this kind come back at once."""
    clock: Callable[[], float]
    """Seconds that only go up."""
    claimants: Claimants
    """Of all kinds."""
    queues: Queues
    """Those of all kinds."""

    async def read_log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        """A log, as `Cluster.read_log`, once it is the namespace's turn."""
        read = partial(self.cluster.read_log, namespace, pod, container, previous=previous)
        return await self.queues.logs.do(namespace, read)


class Reconciler(Protocol):
    """Brings objects of one kind to their desired state. One call per key at a time."""

    async def reconcile(self, key: Key) -> float | None:
        """Returns seconds after which to look again; None: wait for a change. What is raised is tried again."""

    def known(self) -> Iterable[Key]:
        """All objects of the kind."""

    def forget(self, key: Key) -> None:
        """Another operator may have changed the object: drops what is remembered of it, and tells nothing of it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: a kind, its watches, and its reconciler."""

    name: str
    sources: tuple[Source, ...]
    reconciler: Callable[[Surroundings], Reconciler]
    collectors: tuple[Collector, ...] = ()
    """What Prometheus is told of its objects."""
    claimants: Callable[[Indices, Settings], Claimants] | None = None
    """Which of its objects ask for GPUs of a class."""


def all_claimants(kinds: Sequence[Kind], indices: Indices, settings: Settings) -> Claimants:
    """Those of all kinds together: one count of a namespace's GPUs."""
    each = [kind.claimants(indices, settings) for kind in kinds if kind.claimants]
    return lambda namespace, own: chain.from_iterable(claimants(namespace, own) for claimants in each)

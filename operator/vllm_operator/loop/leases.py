"""Who acts: of all operators in a cluster, the one that holds the Leases, for the cluster or namespace by namespace.

An operator for the whole cluster needs a Lease of a fixed name; one for some namespaces needs one for each of them, and
acts where it holds it, so that operators for different namespaces do not wait for each other. All of these lie in one
namespace that is the same for all releases and that only the platform team writes (the setting leaseNamespace): who may
edit in a tenant's namespace has no say. An operator for the whole cluster and one for a namespace of it do not know of
each other.

Versions up to 0.1 know only an older Lease: in `default` for the cluster, else in the watched namespace itself, where
tenants may write it. So that one operator acts at each moment of an upgrade, and of the way back, this version holds
that one too, after the other. A tenant must not end the operator by it. An operator takes a Lease only when it was seen
unchanged for its duration; so what is written into one that was renewed in time was not written by an operator, and is
taken back. What a tenant still can do is to keep this operator from beginning: in his own namespace, or from `default`
in the whole cluster. Hence the setting heedOldLeases, to be switched off when no such version runs any more.

Operators that share the cluster's namespaces out (the setting shards) hold the Lease of the whole cluster together,
under one name that has their number in it, and each another one for its part. So one for all, or as many as there were
before, never act beside them.

A Lease that is lost ends the work on what it covers, and nothing else: the process goes on, forgets what it remembered
of these objects, as another operator may have changed them, and waits for its turn.
"""

import asyncio
import logging
import os
import platform
from collections.abc import Callable, Collection, Coroutine
from typing import Any, NamedTuple
from uuid import uuid4

from .. import metrics
from ..cluster import Cluster
from ..resources import OLD_CLUSTER_NAMESPACE, OLD_LEASE, lease_of, lease_of_shard
from ..settings import Settings
from .lease import DEADLINE_SECONDS, Lease, Place, now
from .shares import WHOLE, Share

log = logging.getLogger(__name__)

# How often each Lease is looked at.
LOOK_SECONDS = 2.0


class Told(NamedTuple):
    """Who wants to know, of a namespace (None: of all), that this operator may act, and that another one has acted."""

    held: Callable[[str | None], None]
    lost: Callable[[str | None], None]


def places(namespace: str | None, settings: Settings, share: Share = WHOLE) -> list[Place]:
    """The Leases that an operator needs to act in a namespace (None: in all), in the order in which it takes them."""
    together = f"{share.of} shards" if share.of > 1 else ""
    own = [Place(settings.lease_namespace, lease_of(namespace), shared_as=together)]
    if together:  # first, so that those which wait for it have no part in what the others share
        own.insert(0, Place(settings.lease_namespace, lease_of_shard(share.index)))
    old = Place(namespace or OLD_CLUSTER_NAMESPACE, OLD_LEASE, contested=True, shared_as=together)
    return [*own, *([old] if settings.heed_old_leases else [])]


class Hold:
    """What it takes to act in one namespace, or in all: every one of these Leases, each after the one before it."""

    def __init__(self, leases: list[Lease], on_held: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._leases, self._on_held, self._on_lost = leases, on_held, on_lost
        self._held = False

    def seconds(self) -> float:
        """For how many seconds no other operator acts: a write has to be over by then. 0: none may begin."""
        left = min(lease.seconds() for lease in self._leases)
        if self._held and not left:
            log.warning("could not renew %s in time: writes nothing", self)
            self._held = False  # who is turned away now is to come back when it is held again
        return left

    def acts(self) -> bool:
        """Whether this operator acts now."""
        return self._held and all(lease.seconds() for lease in self._leases)

    def kept(self) -> bool:
        """Whether no other operator is known to have acted since this one did."""
        return all(lease.kept for lease in self._leases)

    def __str__(self) -> str:
        return " and ".join(f"the Lease {lease.place}" for lease in self._leases)

    def tasks(self, cluster: Cluster) -> list[Coroutine[Any, Any, None]]:
        """What has to run for the Leases to be held: each is renewed by itself, so that none waits for another."""
        return [self._hold(cluster, number) for number in range(len(self._leases))]

    async def _hold(self, cluster: Cluster, number: int) -> None:
        while True:
            await self.look(cluster, number)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, cluster: Cluster, number: int) -> None:
        """Looks at one of the Leases; it is taken and renewed only where the ones before it are held."""
        lease = self._leases[number]
        if await lease.look(cluster, take=all(before.seconds() for before in self._leases[:number])):
            log.warning("another operator has taken the Lease %s: leaves to it what that covers", lease.place)
            self._held = False
            self._on_lost()
            # Whoever has taken this one needs the ones after it.
            await asyncio.gather(*(after.release(cluster) for after in self._leases[number + 1 :]))
        if self.seconds() and not self._held:
            self._held = True
            lease.say(f"holds {self}: acts")
            self._on_held()

    async def release(self, cluster: Cluster) -> None:
        """Lets others act."""
        await asyncio.gather(*(lease.release(cluster) for lease in self._leases))

    def answered(self) -> float:
        """When the API server has answered last."""
        return max(lease.answered for lease in self._leases)


class Leases:
    """All Leases of one operator, as its settings have it."""

    def __init__(self, settings: Settings, told: Told, share: Share = WHOLE, clock: Callable[[], float] = now) -> None:
        self._clock = clock
        # A container that was restarted in its pod goes on at once; outside of a pod, every process is another one.
        identity = os.environ.get("POD_NAME") or f"{platform.node()}_{uuid4().hex[:12]}"

        def hold(namespace: str | None) -> Hold:
            leases = [Lease(place, identity, clock) for place in places(namespace, settings, share)]
            return Hold(leases, lambda: told.held(namespace), lambda: told.lost(namespace))

        namespaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
        self._holds = {namespace: hold(namespace) for namespace in namespaces}
        for namespace, found in self._holds.items():
            part = namespace or (f"shard-{share.index}" if share.of > 1 else "cluster")
            metrics.acts.labels(part).set_function(found.acts)

    def leave_out(self, namespaces: Collection[str]) -> None:
        """Does not act there, and lets others do so. The metric tells that this operator does not."""
        self._holds = {namespace: hold for namespace, hold in self._holds.items() if namespace not in namespaces}

    def seconds(self, namespace: str) -> float:
        """For how many seconds this operator may write in a namespace; 0: not now."""
        found = self._hold_of(namespace)
        return found.seconds() if found else 0.0

    def kept(self, namespace: str) -> bool:
        """Whether no other operator is known to have acted in a namespace since this one did."""
        found = self._hold_of(namespace)
        return found is not None and found.kept()

    def _hold_of(self, namespace: str) -> Hold | None:
        return self._holds.get(None) or self._holds.get(namespace)

    def tasks(self, cluster: Cluster) -> list[Any]:
        """What has to run for the Leases to be held."""
        return [task for hold in self._holds.values() for task in hold.tasks(cluster)]

    async def release(self, cluster: Cluster) -> None:
        """Lets others act."""
        await asyncio.gather(*(hold.release(cluster) for hold in self._holds.values()))

    def silence(self) -> float:
        """For how many seconds the API server has not answered; very many where it has never done so."""
        return self._clock() - max(hold.answered() for hold in self._holds.values())

    def api_answers(self) -> bool:
        """Whether the API server has answered a moment ago."""
        return self.silence() < DEADLINE_SECONDS

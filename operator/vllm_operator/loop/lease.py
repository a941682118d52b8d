"""Who acts: of all operators in a cluster, the one that holds the Lease.

An operator for the whole cluster holds one Lease of a fixed name in a fixed namespace, whatever its release is called.
One for some namespaces holds a Lease in each of them and acts where it holds it, so that operators for different
namespaces do not wait for each other. An operator for the whole cluster and one for a namespace of it do not know of
each other.

No two clocks are compared, and none that can be set is read: a Lease is free when it was seen unchanged for its
duration. Its holder writes nothing when it could not renew it in time, and ends when somebody else has taken it.
"""

import asyncio
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ..cluster import Cluster, GoneError, RefusedError, UnavailableError
from ..manifests import Manifest
from ..resources import LEASE_NAME

log = logging.getLogger(__name__)

# Every cluster has it, nobody can delete it, and hosted clusters that keep kube-system to themselves let us write here.
CLUSTER_NAMESPACE = "default"
DURATION_SECONDS = 15
# The holder writes nothing when its last renewal was sent longer ago.
DEADLINE_SECONDS = 10.0
RENEW_SECONDS = 5.0
# How often one that waits looks.
LOOK_SECONDS = 2.0


class LeaseLostError(Exception):
    """Somebody else has taken the Lease: what we remember of the cluster may be wrong."""


def _now() -> float:
    """Seconds that nobody can set, and that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The Lease of one namespace. `on_held()` is called whenever it is held after it was not."""

    def __init__(self, namespace: str, identity: str, on_held: Callable[[], None]) -> None:
        self._namespace, self._identity, self._on_held = namespace, identity, on_held
        self._lease: Manifest | None = None
        self._changed = 0.0
        self._renewed: float | None = None
        self._said = ""
        # When the API server answered last.
        self.answered = 0.0

    @property
    def held(self) -> bool:
        """Whether nobody else can hold it now."""
        return self._renewed is not None and _now() - self._renewed < DEADLINE_SECONDS

    async def hold(self, cluster: Cluster) -> None:
        """Waits until the Lease is free, takes it and renews it, until cancelled. Raises LeaseLostError."""
        while True:
            held = self.held
            try:
                await self._step(cluster)
            except (UnavailableError, RefusedError, GoneError) as error:
                self._say(f"cannot read or write the Lease {self._namespace}/{LEASE_NAME}: {error}", logging.WARNING)
            if self.held and not held:
                self._say(f"holds the Lease {self._namespace}/{LEASE_NAME}: acts")
                self._on_held()
            elif held and not self.held:
                log.warning("could not renew the Lease %s/%s in time: writes nothing", self._namespace, LEASE_NAME)
            await asyncio.sleep(LOOK_SECONDS)

    async def release(self, cluster: Cluster) -> None:
        """Lets the next one take it at once."""
        if self._renewed is not None and self._lease:
            self._renewed = None
            try:
                await cluster.write_lease(self._written(self._lease, holder=""))
            except (UnavailableError, RefusedError, GoneError) as error:
                log.info("could not release the Lease %s/%s: %s", self._namespace, LEASE_NAME, error)

    async def _step(self, cluster: Cluster) -> None:
        """Renews the Lease when that is due, or looks whether it is free and takes it."""
        if self._renewed is not None and _now() - self._renewed < RENEW_SECONDS:
            return
        if self._renewed is not None and self._lease and await self._write(cluster, self._lease):
            return
        found = await cluster.read("Lease", self._namespace, LEASE_NAME)
        self.answered = _now()
        if found is None or _version(found) != _version(self._lease):
            self._changed = _now()
        self._lease = found
        holder = _holder(found)
        if self._renewed is not None and holder not in ("", self._identity):
            self._renewed = None  # so that the end of this operator does not release what is another's
            raise LeaseLostError(f"{holder} has taken the Lease {self._namespace}/{LEASE_NAME}")
        if holder in ("", self._identity) or _now() - self._changed >= DURATION_SECONDS:
            await self._write(cluster, found)
        else:
            self._say(f"waits: {holder} holds the Lease {self._namespace}/{LEASE_NAME}")

    async def _write(self, cluster: Cluster, found: Manifest | None) -> bool:
        """Takes or renews the Lease as it was found; False when somebody has changed it since."""
        sent = _now()
        written = await cluster.write_lease(self._written(found, self._identity))
        self.answered = _now()
        if written:
            self._lease, self._renewed = written, sent
        return written is not None

    def _written(self, found: Manifest | None, holder: str) -> Manifest:
        """The Lease to write. Times are for people who look at it."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = dict(found["spec"]) if found else {}
        spec = {**before, "holderIdentity": holder, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now}
        if holder and _holder(found) != holder:
            spec |= {"acquireTime": now, "leaseTransitions": before.get("leaseTransitions", -1) + 1}
        meta = found["metadata"] if found else {"name": LEASE_NAME, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}

    def _say(self, text: str, level: int = logging.INFO) -> None:
        """Logs what is not what was said last."""
        if text != self._said:
            log.log(level, "%s", text)
            self._said = text


class Leases:
    """The Leases of one operator. `on_held(namespace)` is called when it may act there; None: in all namespaces."""

    def __init__(self, namespaces: Iterable[str], on_held: Callable[[str | None], None]) -> None:
        # A container that was restarted in its pod goes on at once; outside of a pod, every process is another one.
        identity = os.environ.get("POD_NAME") or f"{platform.node()}_{uuid4().hex[:12]}"

        def lease(namespace: str | None) -> Lease:
            return Lease(namespace or CLUSTER_NAMESPACE, identity, lambda: on_held(namespace))

        self._by_namespace: dict[str | None, Lease] = {name: lease(name) for name in namespaces} or {None: lease(None)}

    def allow(self, namespace: str) -> bool:
        """Whether this operator may write in a namespace now."""
        found = self._by_namespace.get(None) or self._by_namespace.get(namespace)
        return found is not None and found.held

    def tasks(self, cluster: Cluster) -> list[Any]:
        """What has to run for the Leases to be held."""
        return [lease.hold(cluster) for lease in self._by_namespace.values()]

    async def release(self, cluster: Cluster) -> None:
        """Lets others act."""
        await asyncio.gather(*(lease.release(cluster) for lease in self._by_namespace.values()))

    def api_answers(self) -> bool:
        """Whether the API server has answered a moment ago."""
        return any(_now() - lease.answered < DEADLINE_SECONDS for lease in self._by_namespace.values())


def _holder(lease: Manifest | None) -> str:
    return (lease or {}).get("spec", {}).get("holderIdentity") or ""


def _version(lease: Manifest | None) -> str:
    return str(lease["metadata"]["resourceVersion"]) if lease else ""

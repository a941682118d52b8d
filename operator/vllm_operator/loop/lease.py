"""One Lease: whether this operator holds it, and for how long it may write because of that.

No two clocks are compared, and none that can be set is read: a Lease is free when it was seen unchanged for its
duration. Whoever takes it has seen our last renewal, so that is `DURATION_SECONDS` after it was sent at the earliest.
The holder begins no write when that renewal is older than `DEADLINE_SECONDS`, and each write has its time-out, at the
API server too: it is over `MARGIN_SECONDS` before anybody else may act.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from ..cluster import Cluster, GoneError, RefusedError, UnavailableError
from ..manifests import Manifest

log = logging.getLogger(__name__)

# As in every version: what one counts as free, another must not hold any more.
DURATION_SECONDS = 15.0
# The holder begins no write when its last renewal was sent longer ago.
DEADLINE_SECONDS = 10.0
# Between the end of a write and the first one of another operator.
MARGIN_SECONDS = 1.0
RENEW_SECONDS = 5.0
# What the API takes: whoever may write a contested Lease can have counted that far.
_MOST_TRANSITIONS = 2**31 - 1


def now() -> float:
    """Seconds that nobody can set, and that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def seconds_to_write(age: float) -> float:
    """How long a write may take that begins `age` seconds after the last renewal was sent; 0: it must not begin."""
    return DURATION_SECONDS - MARGIN_SECONDS - age if age < DEADLINE_SECONDS else 0.0


class Place(NamedTuple):
    """Where a Lease lies."""

    namespace: str
    name: str
    contested: bool = False
    """Whether people may write it who must not decide who acts: see `Lease.look`."""
    shared_as: str = ""
    """The holder that several operators are, which hold it together; empty: each is one of its own."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Lease:
    """A Lease, as the operator with this identity sees it."""

    def __init__(self, place: Place, identity: str, clock: Callable[[], float] = now) -> None:
        self.place = place
        self._identity, self._clock = place.shared_as or identity, clock
        self._lease: Manifest | None = None
        self._changed = 0.0
        self._renewed: float | None = None
        # When what is known of it was asked for: whoever has changed it since did so later.
        self._asked = 0.0
        self._said = ""
        # When the API server answered last.
        self.answered = 0.0

    def seconds(self) -> float:
        """For how many seconds nobody else can hold it: a write has to be over by then. 0: none may begin."""
        return 0.0 if self._renewed is None else seconds_to_write(self._clock() - self._renewed)

    @property
    def kept(self) -> bool:
        """Whether it was taken, and nobody is known to have had it since; it may be too old to write on."""
        return self._renewed is not None

    async def look(self, cluster: Cluster, *, take: bool = True) -> bool:
        """Renews the Lease when that is due, or looks whether it is free and takes it. True when another has taken it.

        Without `take` it is only looked at, so that it is known to be free when it may be taken.
        A contested one that somebody else wrote while we held it is taken back: it was not free, so no operator did it.
        """
        try:
            return await (self._hold(cluster) if take else self._watch(cluster))
        except (UnavailableError, RefusedError, GoneError) as error:
            self.say(f"cannot read or write the Lease {self.place}: {error}", logging.WARNING)
            return False

    async def release(self, cluster: Cluster) -> None:
        """Lets the next one take it at once; not where others hold it, too: it is free when none renews it."""
        held, self._renewed = self._renewed is not None, None
        if held and self._lease and not self.place.shared_as:
            try:
                await cluster.write_lease(self._written(self._lease, holder=""))
            except (UnavailableError, RefusedError, GoneError) as error:
                log.info("could not release the Lease %s: %s", self.place, error)

    async def _watch(self, cluster: Cluster) -> bool:
        if self._renewed is None:
            await self._read(cluster)
        return False

    async def _read(self, cluster: Cluster) -> Manifest | None:
        self._asked = self._clock()
        found = await cluster.read("Lease", self.place.namespace, self.place.name)
        self.answered = self._clock()
        if found is None or _version(found) != _version(self._lease):
            self._changed = self._clock()
        self._lease = found
        return found

    async def _hold(self, cluster: Cluster) -> bool:
        if not self.place.shared_as:
            if self._is_fresh():
                return False
            if self._renewed is not None and self._lease and await self._write(cluster, self._lease):
                return False
        before, asked, found = self._lease, self._asked, await self._read(cluster)
        holder = _holder(found)
        if self._renewed is not None and self._was_anothers(before, found):
            # Also where nobody holds it now: somebody may have, since we did.
            if not (self.place.contested and self.seconds()):
                self._renewed = None
                return True
            self.say(f"somebody wrote the Lease {self.place}, which was not free: takes it back", logging.WARNING)
            await self._write(cluster, found)
            return False
        if self.place.shared_as:
            if self._renewed is not None and _version(found) != _version(before):
                # One of the others has renewed it, after `before` was asked for: nobody gets into another's way.
                self._renewed = max(self._renewed, asked)
            if self._is_fresh():
                return False
        if holder in ("", self._identity) or self._clock() - self._changed >= DURATION_SECONDS:
            await self._write(cluster, found)
        else:
            self.say(f"waits: {holder} holds the Lease {self.place}")
        return False

    def _is_fresh(self) -> bool:
        return self._renewed is not None and self._clock() - self._renewed < RENEW_SECONDS

    def _was_anothers(self, before: Manifest | None, found: Manifest | None) -> bool:
        """Whether somebody else has held it since it was `before`. One that is shared may be back in our name."""
        if self.place.shared_as and _transitions(found) != _transitions(before):
            return True
        return _holder(found) != self._identity

    async def _write(self, cluster: Cluster, found: Manifest | None) -> bool:
        """Takes or renews the Lease as it was found; False when somebody has changed it since."""
        sent = self._clock()
        written = await cluster.write_lease(self._written(found, self._identity))
        self.answered = self._clock()
        if written:
            self._lease, self._renewed, self._asked = written, sent, sent
        return written is not None

    def _written(self, found: Manifest | None, holder: str) -> Manifest:
        """The Lease to write. Times are for people who look at it."""
        time_now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (found or {}).get("spec") or {}
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(DURATION_SECONDS),
            "renewTime": time_now,
            "acquireTime": before.get("acquireTime", time_now),
            "leaseTransitions": before.get("leaseTransitions", -1),
        }
        if holder and _holder(found) != holder:
            spec |= {"acquireTime": time_now, "leaseTransitions": min(spec["leaseTransitions"] + 1, _MOST_TRANSITIONS)}
        meta = found["metadata"] if found else {"name": self.place.name, "namespace": self.place.namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}

    def say(self, text: str, level: int = logging.INFO) -> None:
        """Logs what is not what was said last."""
        if text != self._said:
            log.log(level, "%s", text)
            self._said = text


def _holder(lease: Manifest | None) -> str:
    return ((lease or {}).get("spec") or {}).get("holderIdentity") or ""


def _transitions(lease: Manifest | None) -> int:
    return int(((lease or {}).get("spec") or {}).get("leaseTransitions") or 0)


def _version(lease: Manifest | None) -> str:
    return str(lease["metadata"]["resourceVersion"]) if lease else ""

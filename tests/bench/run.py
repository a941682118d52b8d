"""One run of `make bench` against one control plane: the creation, and what the audit log says of any moment of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.client import CREATIONS, send
from bench.fakes import Moment, patience, seconds, wait
from bench.figures import Table, cpu_seconds
from bench.profiles import Profile, namespace, namespaces
from bench.readiness import Readiness
from bench.shares import Shares, programs
from cluster.control_plane import ControlPlane
from support.operator_process import OperatorProcess
from support.rights import WRITES, now, requests


class Speed(NamedTuple):
    """How long so many objects took, in seconds from the first creation."""

    applied: float
    """Until the children of all were applied."""
    ready: float
    """Until all were Ready; without an operator, all pods."""


@dataclass
class Run:
    """One run against one control plane."""

    profile: Profile
    plane: ControlPlane
    operator: OperatorProcess
    count: int
    table: Table
    quiet: float
    """Seconds for which writes are looked for."""

    def now(self) -> Moment:
        """The current moment."""
        return Moment(now(), self.plane.audit_log.stat().st_size)

    def _since(self, since: Moment, user: str, where: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        found = requests(self.plane.audit_log, user, since.offset)
        own = where or namespaces(self.count)
        ours = (one for one in found if one.get("objectRef", {}).get("namespace") in own)
        return (one for one in ours if one["requestReceivedTimestamp"] >= since.time)

    def asked(self, since: Moment) -> list[dict[str, Any]]:
        """What the operator has asked for in the namespaces."""
        return list(self._since(since, self.profile.user))

    def applied(self, since: Moment, *resources: str, where: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The writes of children among them; in other namespaces, where these are named."""
        some = resources or self.profile.children
        asked = self._since(since, self.profile.user, where)
        return [one for one in asked if one["verb"] in WRITES and one["objectRef"]["resource"] in some]

    def each(self, verb: str, change: Callable[[int], dict[str, Any]], *, named_urls: bool) -> None:
        """Sends one request for each object, as fast as the API server takes them."""
        url = self.profile.url if named_urls else lambda number: self.profile.collection(namespace(number))
        urls = map(url, range(self.count))
        asyncio.run(send(self.plane, [(verb, url, change(number)) for number, url in enumerate(urls)], CREATIONS))

    def ready(self) -> int:
        """How many objects are Ready."""
        items = (self.plane.api().get(self.profile.collection("")) or {"items": []})["items"]
        return sum(map(self.profile.is_ready, items))

    def create(self) -> Speed:
        """From the first object to all of them Ready."""
        process = self.operator.process
        assert process
        since, started, cpu = self.now(), time.time(), cpu_seconds(process.pid)
        shares = Shares({**programs(self.plane), "the operator": process.pid})
        with shares, Readiness(self.plane, self.profile.collection(""), self.profile.is_ready) as readiness:
            self.each("POST", self.profile.body, named_urls=False)
            wait("all objects are Ready", patience(self.count), lambda: len(readiness.at) >= self.count, 0.2)
        time.sleep(5)  # what is still on its way
        done = self.done(since)
        table = self.table
        shares.tell(table, "created", self.count)
        speed = Speed(max(done.values()) - started, max(readiness.at.values()) - started)
        table.add("children of all applied", self.count / speed.applied, "services/s")
        table.add("all Ready in the status after", speed.ready, "s")
        table.add("the same, as a rate", self.count / speed.ready, "services/s")
        created = self.created(since)
        table.times("creation to children", [done[name] - created[name] for name in done])
        table.times("creation to Ready", [at - created[name] for name, at in readiness.at.items()])
        pods = self._pods_ready(since)
        table.times(
            "its pod's Ready to Ready in the status", [readiness.at[name] - pods[name] for name in pods], most=1
        )
        self._count(since)
        table.add("operator's CPU for one", (cpu_seconds(process.pid) - cpu) / self.count * 1000, "ms")
        table.add("operator's memory", self.operator.resident_mib(), "MiB", most=self.memory())
        return speed

    def metric(self, name: str) -> float:
        """A metric of the operator's that has no labels."""
        lines = self.operator.metrics().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def memory(self) -> float:
        """MiB that it may take with so many services."""
        return 130 if self.count <= 1000 else 450

    def created(self, since: Moment) -> dict[str, float]:
        """When each object was created, by whoever made it."""
        made = (one for one in self._since(since, "admin") if one["verb"] == "create")
        own = (one for one in made if one["objectRef"].get("resource") == self.profile.resource)
        return {one["objectRef"]["name"]: seconds(one["stageTimestamp"]) for one in own}

    def done(self, since: Moment) -> dict[str, float]:
        """When the child that makes the pods was applied first, by object."""
        found: dict[str, float] = {}
        for one in self.applied(since, self.profile.last):
            found.setdefault(one["objectRef"]["name"], seconds(one["stageTimestamp"]))
        return found

    def _pods_ready(self, since: Moment) -> dict[str, float]:
        """When the fake kubelet said of a pod of an object, for the last time, how it is."""
        found: dict[str, float] = {}
        for one in self._since(since, "admin"):
            where = one["objectRef"]
            name = str(where.get("name", "")).split("-")[0]
            told = where["resource"] == "pods" and where.get("subresource") == "status"
            if told and "inspect" not in where["name"]:
                found[name] = seconds(one["stageTimestamp"])
        return found

    def _count(self, since: Moment) -> None:
        """What one object costs, by verb and resource."""
        counted: Counter[str] = Counter()
        for one in self.asked(since):
            where = one["objectRef"]
            counted[f"{one['verb']} {'/'.join(filter(None, (where['resource'], where.get('subresource'))))}"] += 1
        limits = {f"patch {child}": 1.0 for child in self.profile.children} | {"patch jobs": 1.0}
        limits |= {f"patch {self.profile.resource}/status": 2.0, "create events": 2.0}
        limits["delete jobs"] = 1.0
        limits["patch controllerrevisions"] = 2.0  # the template, and the model that was inspected
        for request, number in sorted(counted.items()):
            if request.split()[0] in (*WRITES, "get", "list"):
                self.table.add(f"{request}, for one", number / self.count, "", most=limits.get(request, 0.0))

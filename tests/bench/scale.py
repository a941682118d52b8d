"""`make bench N=300`: so many objects at once on fake nodes, beside a bare client. What an operator takes of time, of
the API server and memory: creation, a change of all, repair, restart, and silence. Exits with 1 when a median misses.

The counts are the API server's: they come from its audit log. What a machine can do at all is measured in the same run,
by a bare client that sends the same to a control plane of its own, as many at a time as the operator does.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.client import CREATIONS, Told, send, stand_in
from bench.figures import Table, cpu_seconds, peak_mib
from bench.peers import PEERS
from bench.profiles import OURS, Profile, is_ready, named, namespace, namespaces
from bench.readiness import Readiness
from bench.shares import Shares, programs
from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from support.kube import Kube
from support.operator_process import OperatorProcess, install_rights
from support.rights import WRITES, now, requests, writes
from vllm_operator.cluster import path
from vllm_operator.settings import Settings

NODES, SERVICES_OF_A_NODE = 20, 80
REPAIRS = 10
PROFILES = {one.name: one for one in (OURS, *PEERS)}


def seconds(timestamp: str) -> float:
    """An audit log's time as seconds."""
    return datetime.fromisoformat(timestamp).timestamp()


def wait(what: str, limit: float, done: Callable[[], object], step: float = 1.0) -> None:
    """Waits until `done()` is true."""
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not so after {limit:.0f} s")
        time.sleep(step)  # to look costs the API server, too


@contextmanager
def control_plane(name: str, reports: dict[str, str], count: int, where: Sequence[str]) -> Iterator[ControlPlane]:
    """One with fake nodes for the pods of so many services, and these namespaces."""
    plane = ControlPlane.start(name)
    try:
        plane.start_kwok(reports)
        plane.add_kwok_nodes(max(NODES, count // SERVICES_OF_A_NODE))
        for one in where:
            Kube(plane.kubeconfig, one).run("create", "namespace", one)
        yield plane
    finally:
        plane.stop()


def patience(count: int) -> float:
    """Seconds after which so many objects cannot be waited for any longer."""
    return max(600.0, count / 2)


class Moment(NamedTuple):
    """Since when the audit log is looked at."""

    time: str
    offset: int
    """Where it ended then, in bytes."""


class Speed(NamedTuple):
    """How long so many objects took, in seconds from the first creation."""

    applied: float
    """Until the children of all were applied."""
    ready: float
    """Until all were Ready; without an operator, all pods."""


def by_bare_client(profile: Profile, told: Told, count: int, table: Table) -> Speed:
    """What the machine can do: without an operator, but with all that it sent."""
    with control_plane("bench-limit", {}, count, namespaces(count)) as plane:
        install_rights(plane)  # and the CRDs
        pods = Readiness(plane, "/api/v1/pods", is_ready)
        with Shares(programs(plane)) as shares, pods:
            started = time.time()
            applied = asyncio.run(stand_in(plane, profile, told, count, Settings().workers))
            wait("all pods are Ready", patience(count), lambda: len(pods.at) >= count, 0.2)
        shares.tell(table, "bare client", count)
        return Speed(applied - started, max(pods.at.values()) - started)


def set_beside(speed: Speed, bare: Speed, count: int, table: Table) -> None:
    """The rates of both, and their ratios."""
    table.add("children of all applied by a bare client", count / bare.applied, "services/s")
    table.add("children of all, of a bare client's rate", bare.applied / speed.applied, "", least=0.85)
    table.add("all pods Ready, by a bare client, after", bare.ready, "s")
    table.add("all Ready, of the rate of pods by a bare client", bare.ready / speed.ready, "")


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

    def _since(self, since: Moment, user: str) -> Iterator[dict[str, Any]]:
        found = requests(self.plane.audit_log, user, since.offset)
        own = namespaces(self.count)
        ours = (one for one in found if one.get("objectRef", {}).get("namespace") in own)
        return (one for one in ours if one["requestReceivedTimestamp"] >= since.time)

    def asked(self, since: Moment) -> list[dict[str, Any]]:
        """What the operator has asked for in the namespaces."""
        return list(self._since(since, self.profile.user))

    def applied(self, since: Moment, *resources: str) -> list[dict[str, Any]]:
        """The writes of children among them."""
        some = resources or self.profile.children
        return [one for one in self.asked(since) if one["verb"] in WRITES and one["objectRef"]["resource"] in some]

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
        done = self._done(since)
        table = self.table
        shares.tell(table, "created", self.count)
        speed = Speed(max(done.values()) - started, max(readiness.at.values()) - started)
        table.add("children of all applied", self.count / speed.applied, "services/s")
        table.add("all Ready in the status after", speed.ready, "s")
        table.add("the same, as a rate", self.count / speed.ready, "services/s")
        created = {one["objectRef"]["name"]: seconds(one["stageTimestamp"]) for one in self._created(since)}
        table.times("creation to children", [done[name] - created[name] for name in done])
        table.times("creation to Ready", [at - created[name] for name, at in readiness.at.items()])
        pods = self._pods_ready(since)
        table.times(
            "its pod's Ready to Ready in the status", [readiness.at[name] - pods[name] for name in pods], most=1
        )
        self._count(since)
        table.add("operator's CPU for one", (cpu_seconds(process.pid) - cpu) / self.count * 1000, "ms")
        table.add("operator's memory", self.operator.resident_mib(), "MiB", most=self._memory())
        return speed

    def _memory(self) -> float:
        """MiB that it may take with so many services."""
        return 130 if self.count <= 1000 else 450

    def _created(self, since: Moment) -> list[dict[str, Any]]:
        """The creations of the objects, by whoever made them."""
        made = (one for one in self._since(since, "admin") if one["verb"] == "create")
        return [one for one in made if one["objectRef"].get("resource") == self.profile.resource]

    def _done(self, since: Moment) -> dict[str, float]:
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
        limits["patch controllerrevisions"], limits["delete jobs"] = 2.0, 1.0  # the template, and the model that was inspected
        for request, number in sorted(counted.items()):
            if request.split()[0] in (*WRITES, "get"):
                self.table.add(f"{request}, for one", number / self.count, "", most=limits.get(request, 0.0))

    def change(self) -> None:
        """A change of all objects' pods: each child that changes is written once."""
        since, started, step = self.now(), time.time(), max(3.0, self.count / 300)
        self.each("MERGE", lambda _: self.profile.change(1), named_urls=True)
        wait("all are changed", patience(self.count), lambda: len(self._done(since)) >= self.count, step)
        self.table.add("change of all, applied", self.count / (max(self._done(since).values()) - started), "services/s")
        wait("all pods serve again", patience(self.count), lambda: self.ready() == self.count, step)
        time.sleep(15)  # progress that is written later
        written = len(self.applied(since, self.profile.last)) / self.count
        self.table.add(f"writes of {self.profile.last} for one changed", written, "", most=1)

    def repair(self) -> None:
        """Some objects' pods are scaled by hand, one after the other: until the operator has written them again."""
        took: list[float] = []
        for number in range(min(REPAIRS, self.count)):
            since, started = self.now(), time.time()
            url = path("Deployment", namespace(number), named(number))
            self.plane.api().patch(url, {"spec": {"replicas": 2}})
            wait("it is repaired", 60, partial(self.applied, since, "deployments"), 0.2)
            took.append(seconds(self.applied(since, "deployments")[0]["stageTimestamp"]) - started)
        self.table.times("a Deployment edited by hand, until it is repaired", took, most=1)

    def restart(self) -> None:
        """The operator starts again, and one object is changed meanwhile."""
        time.sleep(15)  # whatever was under way
        self.operator.stop()
        since, started = self.now(), time.time()
        self.operator.start(**self.profile.settings)
        self.plane.api().patch(self.profile.url(0), self.profile.change(2))
        wait("the edit is served", 120, lambda: named(0) in self._done(since), 0.5)
        self.table.add(
            "operator restart, until a first edit is served", self._done(since)[named(0)] - started, "s", most=10
        )
        wait("it has caught up", 300, lambda: not self._metric("vllm_operator_queue_depth"), 0.5)
        self.table.add("operator restart, until nothing waits", time.time() - started, "s", most=60)
        time.sleep(40)
        assert self.operator.process
        self.table.add("operator restart, memory at most", peak_mib(self.operator.process.pid), "MiB")
        self.table.add("operator's memory after a restart", self.operator.resident_mib(), "MiB", most=self._memory())
        others = [one for one in self.applied(since) if not one["objectRef"]["name"].startswith(f"{named(0)}-")]
        others = [one for one in others if one["objectRef"]["name"] != named(0)]
        self.table.add("writes of children by a restart, that one aside", len(others), "", most=0)

    def list_all(self) -> None:
        """`kubectl vllm status -A`, and a scrape."""
        env = {**os.environ, "KUBECONFIG": str(self.plane.kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator")}
        started = time.monotonic()
        command = [sys.executable, "-m", "vllm_operator", "status", "-A"]
        subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)
        self.table.add("kubectl vllm status -A", time.monotonic() - started, "s", most=5)
        started = time.monotonic()
        self._metric("vllm_operator_queue_depth")
        self.table.add("a scrape of the operator", time.monotonic() - started, "s", most=1)

    def _metric(self, name: str) -> float:
        """A metric of the operator's without labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operator.ports['metrics']}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def change_node(self) -> None:
        """A node gets other GPUs, on which no plan rests yet: what that costs the operator, beside as long a rest."""
        process = self.operator.process
        assert process
        spent: list[float] = []
        for product in (None, "NVIDIA-H200"):
            before = cpu_seconds(process.pid)
            if product:
                labels = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": "143771"}
                self.plane.api().patch("/api/v1/nodes/fake-0", {"metadata": {"labels": labels}})
            time.sleep(30)
            spent.append(cpu_seconds(process.pid) - before)
        self.table.add("one node changes: CPU of the operator", spent[1] - spent[0], "s", most=1)

    def silence(self) -> None:
        """Writes of the operator while nobody changes an object of its own."""
        since = now()
        with churn(self.plane) as done:
            time.sleep(self.quiet)
        found = writes(self.plane.audit_log, self.profile.user, since)
        self.table.add(f"writes in {self.quiet:.0f} s of pods and node changes of others", len(found), "", most=0)
        print(f"{done['rounds']} such changes", *found[:10], sep="\n")


@contextmanager
def churn(plane: ControlPlane) -> Iterator[Counter[str]]:
    """Pods of others come and go and nodes change, several times a second, until the block ends."""
    stop, done = threading.Event(), Counter[str]()
    api = plane.api()

    def run() -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            container = {"name": "web", "image": "web", "resources": {"requests": {"cpu": "1"}}}
            meta = {"name": f"other-{number}", "labels": {"app": "other"}}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
            api.create("/api/v1/namespaces/default/pods", pod)
            beat = {"metadata": {"labels": {"example.com/beat": str(number)}}}
            api.patch(f"/api/v1/nodes/fake-{number % NODES}", beat)
            if number > 20:
                api.request("DELETE", f"/api/v1/namespaces/default/pods/other-{number - 20}")
            done["rounds"] = number

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def one_run(profile: Profile, count: int, parts: Sequence[str], silence: float, table: Table) -> None:
    """The creation on a control plane of its own, then what is asked for of the rest; of others, the creation alone."""
    with control_plane("bench-scale", profile.reports, count, namespaces(count)) as plane:
        operator = profile.install(plane)
        try:
            operator.start(**profile.settings)
            time.sleep(2)  # its watches are up
            table.add("operator's memory before", operator.resident_mib(), "MiB", most=80)
            run = Run(profile, plane, operator, count, table, silence)
            speed = run.create()
            if profile.applies is None:
                return
            told = Told.of(plane, profile)
            for part in (one for one in PARTS if one in parts):
                PARTS[part](run)
            operator.check()
        finally:
            operator.stop()
    if "bare" in parts:
        set_beside(speed, by_bare_client(profile, told, count, table), count, table)


PARTS: dict[str, Callable[[Run], None]] = {
    "list": Run.list_all,
    "repair": Run.repair,
    "node": Run.change_node,
    "change": Run.change,
    "silence": Run.silence,
    "restart": Run.restart,
}
ALL = (*PARTS, "bare")


def main() -> int:
    """Runs it all, as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--silence", type=float, default=600, help="seconds to watch for writes (default: %(default)s)")
    parser.add_argument("--parts", nargs="*", choices=ALL, default=ALL, metavar="PART", help=f"of: {', '.join(ALL)}")
    parser.add_argument("--profiles", nargs="+", choices=sorted(PROFILES), default=[OURS.name], metavar="NAME")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench")
    arguments = parser.parse_args()
    table = Table()
    settings = {"services": arguments.services, "runs": arguments.runs, "profiles": " ".join(arguments.profiles)}
    try:
        for _ in range(arguments.runs):
            for name in arguments.profiles:
                table.about = "" if name == OURS.name else name
                one_run(PROFILES[name], arguments.services, arguments.parts, arguments.silence, table)
    finally:
        table.about = ""
        table.write(arguments.output, settings | {"fake nodes": NODES, "workers": Settings().workers})
    if table.missed:
        print(f"missed: {', '.join(table.missed)}")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-shards N=2000`: services in 20 namespaces, which two operators share out. What each of them writes, and
what it is to one that the other is killed. Exits with 1 when a figure misses.

The counts come from the API server's audit log. Pods are those of fake nodes, as in `bench.scale`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.client import CREATIONS, send
from bench.fakes import control_plane, seconds, wait
from bench.figures import Table, cpu_seconds
from bench.profiles import OURS, named
from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from support.operator_process import OperatorProcess, account, install_rights
from support.rights import WRITES, now, requests
from support.services import service
from support.shards import sharing
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.loop.shares import Share

SHARDS, NAMESPACES = 2, 20
SETTINGS = {**OURS.settings, "shards": SHARDS}


def teams(index: int | None = None) -> list[str]:
    """The namespaces of all parts, or of one."""
    names = [f"bench-{number}" for number in range(NAMESPACES)]
    return [name for name in names if index is None or Share(index, SHARDS).covers(Key(name, ""))]


def written(one: OperatorProcess, since: str, resource: str = "") -> list[dict[str, Any]]:
    """What an operator wrote in the namespaces of the benchmark."""
    found = requests(one.control_plane.audit_log, account(one.name))
    ours = (event for event in found if event.get("objectRef", {}).get("namespace") in teams())
    writes = (event for event in ours if event["verb"] in WRITES and event["requestReceivedTimestamp"] >= since)
    return [event for event in writes if resource in ("", event["objectRef"]["resource"])]


def strays(one: OperatorProcess, since: str = "") -> int:
    """Writes of an operator to namespaces that are not its own."""
    own = teams(one.shard)
    return sum(event["objectRef"]["namespace"] not in own for event in written(one, since))


def served(one: OperatorProcess, since: str) -> dict[str, float]:
    """When each namespace's first Deployment was written since then."""
    found: dict[str, float] = {}
    for event in written(one, since, "deployments"):
        found.setdefault(event["objectRef"]["namespace"], seconds(event["stageTimestamp"]))
    return found


def create(plane: ControlPlane, operators: Sequence[OperatorProcess], count: int, table: Table) -> None:
    """All services at once, until their status says Ready."""
    since, started = now(), time.time()
    cpu = [cpu_seconds(one.process.pid) for one in operators if one.process]
    wanted = [
        ("POST", path("InferenceService", team), service(named(number)))
        for number in range(count // NAMESPACES)
        for team in teams()
    ]
    asyncio.run(send(plane, wanted, CREATIONS))

    def all_ready() -> bool:
        items = (plane.api().get(path("InferenceService", "")) or {"items": []})["items"]
        return len(items) == len(wanted) and all(map(OURS.is_ready, items))

    wait("all services are Ready", 1800, all_ready, 5)
    table.add("all Ready in the status after", time.time() - started, "s")
    for one, before in zip(operators, cpu, strict=True):
        applied = written(one, since, "deployments")
        last = max(seconds(event["stageTimestamp"]) for event in applied)
        share = len(teams(one.shard)) * (count // NAMESPACES)
        assert one.process
        table.add(f"{one.name}: services", share)
        table.add(f"{one.name}: children of all applied", share / (last - started), "services/s")
        table.add(f"{one.name}: writes of a Deployment for one", len(applied) / share, "", most=1)
        table.add(f"{one.name}: CPU for one", 1000 * (cpu_seconds(one.process.pid) - before) / share, "ms")
        table.add(f"{one.name}: memory", one.resident_mib(), "MiB")
        table.add(f"{one.name}: writes in namespaces of the other", strays(one), "", most=0)


def kill(plane: ControlPlane, operators: Sequence[OperatorProcess], table: Table) -> None:
    """One is killed, and one service of each namespace is changed."""
    dead, alive = operators
    time.sleep(15)  # whatever was under way
    dead.kill()
    since, started = now(), time.time()
    change = {"spec": {"maxModelLen": 2048}}
    urls = [f"{path('InferenceService', team)}/{named(0)}" for team in teams()]
    asyncio.run(send(plane, [("MERGE", url, change) for url in urls], CREATIONS))
    own = teams(alive.shard)
    wait("the other serves its own", 120, lambda: len(served(alive, since)) == len(own), 0.5)
    took = [at - started for at in served(alive, since).values()]
    table.times("one killed: a change in a namespace of the other, until it is written", took)
    time.sleep(20)  # the Lease of the dead one is free by then
    table.add("one killed: writes of the other in its namespaces", strays(alive, since), "", most=0)
    since, again = now(), time.time()
    dead.start(**SETTINGS)
    wait("it catches up", 300, lambda: len(served(dead, since)) == len(teams(dead.shard)), 0.5)
    table.add("started again, until its changes are written", max(served(dead, since).values()) - again, "s", most=60)
    time.sleep(30)
    others = [one for one in written(dead, since, "deployments") if one["objectRef"]["name"] != named(0)]
    table.add("started again: writes of Deployments that did not change", len(others), "", most=0)
    table.add("started again: writes in namespaces of the other", strays(dead, since), "", most=0)


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench-shards")
    count = (arguments := parser.parse_args()).services
    table = Table()
    try:
        with control_plane("bench-shards", OURS.reports, count, teams()) as plane:
            install_rights(plane)
            with sharing(plane, SHARDS, in_pods=True, **OURS.settings) as operators:
                time.sleep(2)  # their watches are up
                create(plane, operators, count, table)
                kill(plane, operators, table)
    finally:
        table.write(arguments.output, {"services": count, "namespaces": NAMESPACES, "shards": SHARDS})
    return table.status()


if __name__ == "__main__":
    sys.exit(main())

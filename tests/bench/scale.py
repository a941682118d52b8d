"""`make bench N=300`: so many objects at once on fake nodes, beside a bare client. What an operator takes of time, of
the API server and memory: creation, a change of all, repair, restart, and silence. Exits with 1 when a median misses.

The counts are the API server's: they come from its audit log. What a machine can do at all is measured in the same run,
by a bare client that sends the same to a control plane of its own, as many at a time as the operator does.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.client import Told, stand_in
from bench.fakes import NODES, control_plane, patience, wait
from bench.figures import Table
from bench.peers import PEERS
from bench.profiles import OURS, Profile, is_ready, namespaces
from bench.readiness import Readiness
from bench.run import Run, Speed
from bench.shares import Shares, programs
from bench.upkeep import PARTS
from cluster.host import REPOSITORY
from support.operator_process import install_rights
from vllm_operator.settings import Settings

PROFILES = {one.name: one for one in (OURS, *PEERS)}
ALL = (*PARTS, "bare")
# Minutes of its own.
USUAL = tuple(one for one in ALL if one != "reconcile")


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


def main() -> int:
    """Runs it all, as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--silence", type=float, default=600, help="seconds to watch for writes (default: %(default)s)")
    parser.add_argument("--parts", nargs="*", choices=ALL, default=USUAL, metavar="PART", help=f"of: {', '.join(ALL)}")
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
    return table.status()


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-slow N=1000`: an edit of one service, while the model servers of a thousand others answer nothing.

First where nobody listens at the addresses of their pods, which is told at once. Then each of them takes connections
and says nothing: the operator begins anew, so that it asks all of them. Exits with 1 when a figure misses.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench.fakes import control_plane, wait
from bench.figures import Table
from bench.profiles import OURS, namespaces
from bench.run import Run
from bench.upkeep import edited, settle_alone
from cluster.host import REPOSITORY
from hostile.lying_pods import LyingPods, silent
from vllm_operator.cluster import path
from vllm_operator.readers.pod_http import TIMEOUT_SECONDS

# Their pods have addresses of this machine.
CIDR = "--cidr=127.77.0.1/16"
PROFILE = replace(OURS, settings={**OURS.settings, "engineMetrics": True})
EDITS = 30


def measure(run: Run) -> None:
    """The edits, and what was asked meanwhile."""
    settle_alone(run)
    table = run.table
    table.times("an edit, where nobody listens", [edited(run, turn) for turn in range(EDITS)])
    addresses = _addresses(run)
    with LyingPods(silent, addresses) as pods:
        run.operator.stop()
        run.operator.start(**run.profile.settings)
        wait("half of them are asked", 300, lambda: pods.asked >= run.count / 2, 0.1)
        beside: list[float] = []
        for turn in range(EDITS, 2 * EDITS):
            beside.append(edited(run, turn))
            time.sleep(0.5)
        # An operator that waited for one of them would take as long as it gives a pod.
        table.times(
            "an edit, while all of them take connections and say nothing", beside, most=1, worst=TIMEOUT_SECONDS
        )
        table.add("requests to them meanwhile", pods.asked, "", least=run.count)
    table.add("operator's memory", run.operator.resident_mib(), "MiB", most=run.memory())


def _addresses(run: Run) -> list[str]:
    """Of all pods, but those of the one that is edited: it has a namespace of its own."""
    found = (run.plane.api().get(path("Pod", where)) or {"items": []} for where in namespaces(run.count))
    return [pod["status"]["podIP"] for pods in found for pod in pods["items"] if "podIP" in pod["status"]]


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench-slow")
    count = (arguments := parser.parse_args()).services
    table = Table()
    try:
        with control_plane("bench-slow", PROFILE.reports, count, namespaces(count), CIDR) as plane:
            operator = PROFILE.install(plane)
            try:
                operator.start(**PROFILE.settings)
                run = Run(PROFILE, plane, operator, count, table, 0)
                run.create()
                measure(run)
                operator.check()
            finally:
                operator.stop()
    finally:
        table.write(arguments.output, {"services": count})
    return table.status()


if __name__ == "__main__":
    sys.exit(main())

"""Control planes with fake nodes for a benchmark, and how it waits for what happens there."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from cluster.control_plane import ControlPlane
from support.kube import Kube

NODES, SERVICES_OF_A_NODE = 20, 80
# Where ten thousand pods change, kwok renews its nodes' Leases late: they are not to count as lost.
_PATIENT = "--node-monitor-grace-period=30m"


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
def control_plane(
    name: str, reports: dict[str, str], count: int, where: Sequence[str], *flags: str
) -> Iterator[ControlPlane]:
    """One with fake nodes for the pods of so many services, and these namespaces. `flags` are kwok's."""
    plane = ControlPlane.start(name, _PATIENT)
    try:
        plane.start_kwok(reports, *flags)
        plane.add_kwok_nodes(max(NODES, count // SERVICES_OF_A_NODE))
        for one in where:
            Kube(plane.kubeconfig, one).run("create", "namespace", one)
        yield plane
    finally:
        plane.stop()


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Does some work in a thread while the block runs; it is to end once its event is set."""
    ends = threading.Event()
    thread = threading.Thread(target=work, args=(ends,))
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def patience(count: int) -> float:
    """Seconds after which so many objects cannot be waited for any longer."""
    return max(600.0, count / 2)


class Moment(NamedTuple):
    """Since when the audit log is looked at."""

    time: str
    offset: int
    """Where it ended then, in bytes."""

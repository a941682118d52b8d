"""Fixtures that more than one kind of test uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from cluster.control_plane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real API server with controllers and a scheduler, and no node; it ends with the test session."""
    running = ControlPlane.start("test-control-plane")
    try:
        yield running
    finally:
        running.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first; what waits for an operator to act is slow.

    Limits of time are for a machine that does nothing else. What fails on a real cluster is tried once more, in a
    namespace of its own, and the summary tells of it: it is read as a failure that is not understood yet.
    """
    here = Path(__file__).parent
    first = (here / "e2e", faults := here / "control_plane" / "faults", here / "control_plane")
    items.sort(key=lambda item: first.index(item.path.parent) if item.path.parent in first else len(first))
    real = {here / "e2e", here / "control_plane", faults, here / "hostile"}
    for item in items:
        if item.path.parent in real:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if item.path.parent == faults or "operator" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


class FolderScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """A folder's tests stay in one process: they share a cluster. The folders are taken in order (`make test`)."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


@pytest.hookimpl(optionalhook=True)  # tests run without xdist too
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FolderScheduling:
    """With --dist=loadscope."""
    return FolderScheduling(config, log)

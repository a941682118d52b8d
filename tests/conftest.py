"""Fixtures that more than one kind of test uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real API server with controllers and a scheduler, and no node; it ends with the test session."""
    running = ControlPlane.start("test-control-plane")
    try:
        yield running
    finally:
        running.stop()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, and a folder's tests stay in one process: they share clusters (`make test`)."""
    here = Path(__file__).parent
    first = (here / "e2e", here / "control_plane" / "faults", here / "control_plane")
    items.sort(key=lambda item: first.index(item.path.parent) if item.path.parent in first else len(first))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent.relative_to(here))))

"""Fixtures that more than one kind of test uses."""

from collections.abc import Iterator

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

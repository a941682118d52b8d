"""A control plane of its own for what is ill-treated, and an operator that reaches it through a faulty network."""

from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane
from control_plane.faults.proxy import FaultProxy
from support.kube import Kube, namespace_of
from support.operator_process import IN_A_POD, OperatorProcess, install_rights
from support.services import PATIENCE, await_garbage_collection


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """A control plane that may be ill-treated."""
    running = ControlPlane.start("test-faults")
    try:
        # Their pods have addresses of this machine.
        running.start_kwok(None, "--cidr=127.77.0.1/24")
        running.add_kwok_nodes(2)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def proxy(plane: ControlPlane) -> Iterator[FaultProxy]:
    """What the operator takes for the API server."""
    running = FaultProxy(plane)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def process(plane: ControlPlane, proxy: FaultProxy) -> Iterator[OperatorProcess]:
    """The operator."""
    kubeconfig = proxy.kubeconfig(install_rights(plane))
    running = OperatorProcess(plane, kubeconfig, env=IN_A_POD)
    await_garbage_collection(Kube(plane.kubeconfig, "default"))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def kube(plane: ControlPlane, process: OperatorProcess, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """An empty namespace, and an operator that runs before and after."""
    if process.process is None:
        process.start()
    name = namespace_of(request.node)
    kube = Kube(plane.kubeconfig, name, PATIENCE)
    kube.run("create", "namespace", name)
    try:
        yield kube
        if process.process:
            process.check()
    finally:
        kube.run("delete", "namespace", name, "--wait=false", check=False)

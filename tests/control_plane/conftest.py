"""One control plane with fake nodes and one operator for all tests of its behaviour; each test has its namespace."""

from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane
from control_plane import keda, monitors
from support import groups, kuberay
from support.batch_objects import add_volumes
from support.kube import Kube, namespace_of
from support.model_reports import REPORTS
from support.operator_process import OperatorProcess, install_rights
from support.services import PATIENCE, await_garbage_collection


@pytest.fixture(scope="session")
def operator() -> Iterator[OperatorProcess]:
    """A running operator with the chart's rights, and two nodes of eight GPUs."""
    plane = ControlPlane.start("test-operator")
    process: OperatorProcess | None = None
    try:
        plane.start_kwok(REPORTS)
        plane.add_kwok_nodes(2)
        add_volumes(plane, 40)
        process = OperatorProcess(plane, install_rights(plane))
        await_garbage_collection(Kube(plane.kubeconfig, "default"))
        process.start()
        yield process
    finally:
        if process:
            process.stop()
        plane.stop()


@pytest.fixture
def kube(operator: OperatorProcess, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """An empty namespace, and an operator that runs with its default settings before and after."""
    if operator.process is None:
        operator.start()
    name = namespace_of(request.node)
    kube = Kube(operator.control_plane.kubeconfig, name, PATIENCE)
    kube.run("create", "namespace", name)
    try:
        yield kube
        operator.check()
    finally:
        kube.run("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def every_api(kube: Kube, operator: OperatorProcess) -> Iterator[None]:
    """The optional APIs are served, and models are inspected: every kind of child can be made."""
    monitors.install_api(kube)
    keda.install_api(kube)
    groups.install_api(kube)
    kuberay.install_api(kube)
    operator.restart(images={"operator": "vllm-operator:test"})
    yield
    operator.stop()
    kuberay.remove_api(kube)
    groups.remove_api(kube)
    keda.remove_api(kube)
    monitors.remove_api(kube)
    operator.start()

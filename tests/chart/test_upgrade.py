"""From the last release to this one as users do it: `helm upgrade`, with its CRDs and rights, while services run."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from support.chart import CHART, CRD_NAME, NAMESPACE, RELEASE, Client
from support.earlier import GIT, RELEASED, unpacked
from support.kube import Kube, Object, established
from support.operator_process import OperatorProcess, kubeconfig_of
from support.services import PATIENCE, args, await_garbage_collection, ready

pytestmark = [pytest.mark.chart, pytest.mark.slow]
SPECS: dict[str, dict[str, Any]] = {
    "plain": {"extraArgs": ["--seed=1"], "env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
    "two": {"replicas": 2, "maxModelLen": 1024, "rollout": {"maxSurge": 1}},
    "scaled": {"autoscaling": {"maxReplicas": 3}, "networkPolicy": {"allowFrom": [{"podSelector": {}}]}},
    "gpu": {"accelerator": {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}},
}


@pytest.fixture
def client() -> Iterator[Client]:
    """A cluster of its own: it has the CRDs of the last release first."""
    plane = ControlPlane.start("test-upgrade")
    try:
        plane.start_kwok()
        plane.add_kwok_nodes(1)
        Kube(plane.kubeconfig, NAMESPACE).run("create", "namespace", NAMESPACE)
        yield Client(plane)
    finally:
        plane.stop()


def every_field() -> Object:
    """A service with every field of the last release, as its tests have it; it runs nowhere."""
    show = [*GIT, "show", f"{RELEASED}:tests/control_plane/complete.yaml"]
    manifest: Object = yaml.safe_load(subprocess.run(show, check=True, capture_output=True, text=True).stdout)
    return {**manifest, "metadata": {"name": "every-field"}, "spec": {**manifest["spec"], "suspend": True}}


def running(kube: Kube) -> dict[str, Any]:
    """What must not change: the services, the pods' templates, and the pods."""
    found: dict[str, Any] = {}
    for item in kube.list("vis,deployments,replicasets,pods", ""):
        kept = item["spec"] if item["kind"] != "Deployment" else item["spec"]["template"]
        found[item["metadata"]["uid"]] = kept if item["kind"] in ("InferenceService", "Deployment") else item["kind"]
    return found


def goes_on(operator: OperatorProcess) -> None:
    """Starts it anew where it ended to see everything afresh, as the kubelet would: a CRD that changes may do that."""
    assert operator.process
    if operator.process.poll() is not None:
        assert "may have missed something: starting again" in operator.tail(), operator.tail()
        operator.restart(logFormat=None)


def test_helm_upgrade_from_the_last_release_rolls_nothing(client: Client, tmp_path: Path) -> None:
    source, chart = unpacked(RELEASED, tmp_path, "operator"), unpacked(RELEASED, tmp_path, f"charts/{CHART.name}")
    if source is None or chart is None:
        pytest.skip("git does not have the last version: a shallow clone")
    plane = client.control_plane
    kube = Kube(plane.kubeconfig, "default", PATIENCE)
    client.helm("install", chart).ok()
    kube.wait("the API is there", 30, lambda: established(kube.get("crd", CRD_NAME)))
    await_garbage_collection(kube)
    account = kubeconfig_of(plane, RELEASE)
    old = OperatorProcess(plane, account, "old", env={"PYTHONPATH": str(source)})
    new = OperatorProcess(plane, account, "new")
    try:
        old.start(logFormat=None)
        for name, spec in SPECS.items():
            ready(kube, name, **spec)
        kube.apply(every_field())
        before = running(kube)
        client.helm("upgrade", CHART).ok()  # before its operator is there, as with helm
        goes_on(old)
        assert running(kube) == before
        old.stop()
        new.start()
        ready(kube, "late")  # when this is ready, the others have been looked at
        for name in SPECS:
            kube.ready(name, 30)
        assert running(kube).items() >= before.items()
        kube.run("replace", "--dry-run=server", "-f", "-", stdin=kube.run("get", "vis", "-o", "yaml"))
        ready(kube, "plain", **SPECS["plain"], maxModelLen=2048)
        assert {"--seed=1", "--max-model-len=2048"} <= set(args(kube, "plain"))
    finally:
        old.stop()
        new.stop()

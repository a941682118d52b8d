"""Another version of the operator, with other default images, changes no pod that runs."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from cluster.host import REPOSITORY
from support.kube import Kube
from support.operator_process import OperatorProcess
from support.services import args, ready

pytestmark = pytest.mark.control_plane
# Changes of the operator between the two versions.
BACK = 12
SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two": {"replicas": 2, "maxModelLen": 1024},
    "scaled": {"autoscaling": {"maxReplicas": 3}},
    "gpu": {"accelerator": {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}},
}


def earlier_version(folder: Path) -> Path | None:
    """The operator's source as it was some changes ago; None where git does not go back so far."""
    git = ["git", "-C", str(REPOSITORY)]
    log = [*git, "log", "--format=%H", f"--skip={BACK}", "-1", "--", "operator/vllm_operator"]
    commit = subprocess.run(log, capture_output=True, text=True, check=False).stdout.strip()
    if not commit:
        return None
    packed = subprocess.run([*git, "archive", commit, "operator"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "operator"


def running(kube: Kube) -> dict[str, Any]:
    """The pod templates and what became of them: generations, ReplicaSets, pods."""
    names = set(SPECS)
    deployments = [item for item in kube.list("deployments") if item["metadata"]["name"] in names]
    sets = [item for item in kube.list("replicasets") if item["metadata"]["ownerReferences"][0]["name"] in names]
    pods = [item for item in kube.list("pods") if item["metadata"]["name"].rsplit("-", 2)[0] in names]
    found: dict[str, Any] = {
        item["metadata"]["name"]: (item["metadata"]["generation"], item["spec"]["template"]) for item in deployments
    }
    return found | {item["metadata"]["uid"]: item["metadata"]["name"] for item in (*sets, *pods)}


@pytest.mark.parametrize("version", ["earlier", "same"])
def test_an_upgrade_changes_no_pod(kube: Kube, operator: OperatorProcess, tmp_path: Path, version: str) -> None:
    source = earlier_version(tmp_path) if version == "earlier" else REPOSITORY / "operator"
    if source is None:
        pytest.skip("git does not go back far enough")
    operator.stop()
    before = OperatorProcess(operator.control_plane, operator.kubeconfig, "before", env={"PYTHONPATH": str(source)})
    try:
        # An earlier version may not know the newest settings.
        before.start(images={"cpu": "localhost/vllm-cpu:a", "gpu": "example.com/vllm:a"}, logFormat=None)
        for name, spec in SPECS.items():
            ready(kube, name, **spec)
    finally:
        before.stop()
    pods = running(kube)
    assert len(pods) > 3 * len(SPECS)
    operator.start(images={"cpu": "localhost/vllm-cpu:b", "gpu": "example.com/vllm:b"})
    ready(kube, "new")  # when this is ready, the others have been looked at
    new = kube.get("deployment", "new")
    assert new
    assert new["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/vllm-cpu:b"
    # A repair brings back what ran, not what would be rendered now.
    kube.merge("service", "two", {"spec": {"selector": {"app": "other"}}})
    kube.wait("it is repaired", 20, lambda: "app" not in (kube.get("service", "two") or {})["spec"]["selector"])
    assert running(kube) == pods
    ready(kube, "plain", maxModelLen=2048)
    assert "--max-model-len=2048" in args(kube, "plain")
    operator.stop()
    operator.start()

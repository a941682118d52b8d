"""Another version of the operator, with other default images, changes no pod that runs."""

import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.host import REPOSITORY
from support.earlier import GIT, RELEASED, source_of
from support.kube import Kube, conditions
from support.model_reports import LLAMA_8B
from support.operator_process import ACCOUNT, OperatorProcess, version
from support.rights import writes
from support.services import CHILDREN, LABEL, args, ready, service

pytestmark = pytest.mark.control_plane
# Changes of the operator between the two versions.
BACK = 12
# A fleet of the last version.
SERVICES = 50
# What that version does not keep: what is known of a model stood in its statuses.
NEW_KINDS = {"ControllerRevision"}
# What every claim has got since: the annotations that keep Argo CD from it.
WRITTEN_ONCE = {"PersistentVolumeClaim"}
H100 = {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}
SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two": {"replicas": 2, "maxModelLen": 1024},
    "scaled": {"autoscaling": {"maxReplicas": 3}},
    "gpu": {"accelerator": {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}},
}


def earlier_version(folder: Path) -> Path | None:
    """The operator's source as it was some changes ago; None where git does not go back so far."""
    log = [*GIT, "log", "--format=%H", f"--skip={BACK}", "-1", "--", "operator/vllm_operator"]
    commit = subprocess.run(log, capture_output=True, text=True, check=False).stdout.strip()
    return source_of(commit, folder) if commit else None


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


def of_fleet(number: int) -> dict[str, Any]:
    """A service of the fleet: five forms in turn, one of them with a model that was inspected."""
    forms: list[dict[str, Any]] = [
        {},
        {"replicas": 2, "cache": {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany"}}},
        {"autoscaling": {"minReplicas": 2, "maxReplicas": 3}},
        {"networkPolicy": {"allowFrom": [{"podSelector": {}}]}, "maxModelLen": 1024},
        {"model": {"uri": f"hf://{LLAMA_8B}"}, "accelerator": H100},
    ]
    return service(f"s{number}", **forms[number % len(forms)])


def test_an_upgrade_of_a_fleet_rolls_no_pod_and_writes_each_status_at_most_once(
    kube: Kube, operator: OperatorProcess, tmp_path: Path
) -> None:
    source = source_of(RELEASED, tmp_path)
    if source is None:
        pytest.skip("git does not have the last version: a shallow clone")
    images = {"operator": "vllm-operator:test"}
    operator.stop()
    before = OperatorProcess(operator.control_plane, operator.kubeconfig, "before", env={"PYTHONPATH": str(source)})
    try:
        before.start(images=images)
        kube.apply(*map(of_fleet, range(SERVICES)))
        kube.wait("all are Ready", 240, lambda: all_ready(kube, SERVICES))
        time.sleep(15)  # what was still on its way
    finally:
        before.stop()
    pods = {item["metadata"]["uid"] for kind in ("pods", "replicasets") for item in kube.list(kind)}
    children = {version(item): item["kind"] for item in kube.list(CHILDREN)}
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    operator.start(images=images)
    kube.apply(service("new"))
    kube.wait("all were looked at", 240, lambda: all_ready(kube, SERVICES + 1) and not reports(kube))
    time.sleep(15)
    assert pods <= {item["metadata"]["uid"] for kind in ("pods", "replicasets") for item in kube.list(kind)}
    now = {version(item): item for item in kube.list(CHILDREN) if item["metadata"]["labels"][LABEL] != "new"}
    changed = children.keys() - now.keys()
    assert {children[name] for name in changed} <= WRITTEN_ONCE, "others were written or deleted"
    assert {name[:2] for name in changed} <= {name[:2] for name in now}, "a claim was deleted"
    assert {item["kind"] for name, item in now.items() if name not in children} <= NEW_KINDS | WRITTEN_ONCE
    told = [one.split()[2] for one in writes(operator.control_plane.audit_log, ACCOUNT, since) if "/status " in one]
    often = {name: count for name, count in Counter(told).items() if count > 1 and not name.endswith("/new")}
    assert often == {}
    operator.stop()
    operator.start()


def all_ready(kube: Kube, count: int) -> bool:
    """Whether so many services are Ready."""
    states = [conditions(item).get("Ready", {}).get("status") for item in kube.list("vis")]
    return states == ["True"] * count


def reports(kube: Kube) -> list[str]:
    """Services whose status still has what the inspection left, packed."""
    return [item["metadata"]["name"] for item in kube.list("vis") if "report" in item["status"].get("model", {})]

"""Pods that get no node, are refused, or replace others in vain: told with counts and names, by the real scheduler."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess
from support.services import ready, reason, service

pytestmark = pytest.mark.control_plane

L4: Object = {"accelerator": {"product": "NVIDIA-L4"}, "planPolicy": "Warn"}


@pytest.fixture
def small_nodes(operator: OperatorProcess) -> Iterator[list[str]]:
    """Two nodes of four GPUs of a product of their own."""
    plane = operator.control_plane
    names = plane.add_kwok_nodes(2, 4, "NVIDIA-L4")
    yield names
    for name in names:
        Kube(plane.kubeconfig, "default").run("delete", "node", name)


def told(kube: Kube, expected: str, name: str = "llama") -> str:
    """Waits until Ready has a reason; returns its message."""
    kube.wait(f"{name} says {expected}", 30, lambda: reason(kube, name=name) == expected)
    return str(conditions(kube.get("vis", name) or {})["Ready"]["message"])


def test_gpus_that_are_free_on_different_nodes_do_not_help(kube: Kube, small_nodes: list[str]) -> None:
    for name in ("one", "two"):
        ready(kube, name, tensorParallelSize=3, **L4)
    kube.apply(service(tensorParallelSize=2, **L4), service("wide", tensorParallelSize=4, **L4))
    message = told(kube, "GpusFragmented")
    first, second = small_nodes
    assert f"2 of 8 nvidia.com/gpu are free ({first} 1 of 4, {second} 1 of 4)" in message
    assert f"held by {kube.namespace}/one (3), {kube.namespace}/two (3): enough together" in message
    assert "2 of 8 nvidia.com/gpu are free" in told(kube, "InsufficientGpus", "wide")
    kube.run("delete", "vis", "wide", "one")
    kube.ready("llama", 60)


def test_gpus_of_a_product_that_no_node_has(kube: Kube) -> None:
    kube.apply(service(accelerator={"product": "NVIDIA-B200"}, planPolicy="Warn"))
    message = told(kube, "NoMatchingNode")
    assert "nvidia.com/gpu.product=NVIDIA-B200" in message
    assert "(the cluster has NVIDIA-H100-80GB-HBM3 on 2 nodes)" in message


def test_more_gpus_than_any_node_has(kube: Kube, small_nodes: list[str]) -> None:
    kube.apply(service(tensorParallelSize=8, **L4))
    words = f"even when empty (the largest, {small_nodes[0]}, has 4 nvidia.com/gpu)"
    # The scheduler may have seen the new nodes before the operator has.
    kube.wait("it says so", 60, lambda: words in told(kube, "GpuNodesTooSmall"))


def test_taints_are_named(kube: Kube, small_nodes: list[str]) -> None:
    for name in small_nodes:
        kube.run("taint", "node", name, "team=other:NoSchedule")
    kube.apply(service(tensorParallelSize=2, **L4))
    words = "add the nodes' taints (team=other:NoSchedule) to pod.tolerations"
    kube.wait("it says so", 60, lambda: words in told(kube, "UntoleratedTaints"))


def test_a_quota_of_gpus_names_who_uses_it_up(kube: Kube) -> None:
    hard = {"requests.nvidia.com/gpu": "4"}
    meta = {"name": "gpus"}
    kube.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}})
    kube.wait("the quota holds", 10, lambda: (kube.get("resourcequota", "gpus") or {}).get("status", {}).get("hard"))
    gpu: Object = {"accelerator": {"resource": "nvidia.com/gpu"}, "planPolicy": "Warn"}
    ready(kube, "first", tensorParallelSize=3, **gpu)
    kube.apply(service(tensorParallelSize=2, **gpu))
    message = told(kube, "QuotaExceeded")
    assert "ResourceQuota gpus is used up: a pod asks for requests.nvidia.com/gpu=2" in message
    assert f"held in this namespace by {kube.namespace}/first (3); scale another service" in message
    assert "Stalled" not in conditions(kube.get("vis", "llama") or {})


def claim(name: str, **spec: object) -> Object:
    """A claim without a class."""
    wants = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {**wants, **spec}}


def test_claims_that_are_missing_unbound_or_elsewhere_are_named(kube: Kube) -> None:
    expression = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["nowhere"]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "far"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nonexistent"},
            "claimRef": {"namespace": kube.namespace, "name": "far"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }
    kube.apply(volume, claim("far", volumeName="far"), claim("unbound", volumeName="none"))
    for name in ("missing", "unbound", "far"):
        kube.apply(service(name, model={"uri": f"pvc://{name}/llama"}))
    assert "PersistentVolumeClaim missing does not exist" in told(kube, "ClaimMissing", "missing")
    assert "its claims are not bound (unbound)" in told(kube, "VolumeNotBound", "unbound")
    assert "the volume of far is only for nodes elsewhere" in told(kube, "VolumeElsewhere", "far")
    kube.run("delete", "pv", "far", "--wait=false")


def test_a_rollout_that_is_stuck_names_the_pods_that_serve_and_heals(kube: Kube) -> None:
    ready(kube, replicas=2)
    before = kube.list("pods", "app.kubernetes.io/instance=llama,app.kubernetes.io/name=vllm")
    revision = before[0]["metadata"]["labels"]["vllm-operator.dev/revision"]
    kube.apply(service(replicas=2, pod={"nodeSelector": {"pool": "none"}}))
    message = told(kube, "NoMatchingNode")
    (serving,) = [pod["metadata"]["name"] for pod in before if pod["metadata"]["name"] in message]
    assert message.startswith("0 of 2 pods serve: no node for pod ")
    assert f"of the previous spec still serve: {serving} with revision {revision}" in message
    kube.apply(service(replicas=2))
    kube.ready("llama", 60)
    assert serving in {pod["metadata"]["name"] for pod in kube.list("pods")}


def test_the_probe_that_killed_a_container_is_told_by_the_pods_events(kube: Kube) -> None:
    ready(kube)
    (pod,) = kube.list("pods", "app.kubernetes.io/name=vllm")
    meta, now = pod["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"kind": "Pod", "namespace": kube.namespace, "name": meta["name"], "uid": meta["uid"], "apiVersion": "v1"}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "killed"},
        "involvedObject": about,
        "reason": "Killing",
        "message": "Container vllm failed liveness probe, will be restarted",
        "type": "Normal",
        "firstTimestamp": now,
        "lastTimestamp": now,
    }
    kube.apply(event)
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": pod["status"]["startTime"], "finishedAt": now}
    container = {**pod["status"]["containerStatuses"][0], "ready": False, "state": {"terminated": ended}}
    conditions_of = pod["status"]["conditions"]
    unready = [{**entry, "status": "False"} if entry["type"] == "Ready" else entry for entry in conditions_of]
    status = {"containerStatuses": [container], "conditions": unready}
    kube.run("patch", "pod", meta["name"], "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    assert "no longer answered its liveness probe" in told(kube, "LivenessFailed")

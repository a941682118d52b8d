"""What the operator cannot do is a condition that says so, and it heals when the cause goes."""

import json

import pytest
import yaml

from control_plane import monitors
from control_plane.monitors import MONITORS
from support.chart import RELEASE
from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess, add_lease_rights
from support.services import args, children, ready, reason, service

pytestmark = pytest.mark.control_plane


def test_an_image_that_is_not_allowed(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(service(image="docker.io/somebody/vllm:latest"))
    kube.wait("it says so", 10, lambda: reason(kube) == "ImageNotAllowed")
    found = conditions(kube.get("vis", "llama") or {})
    assert "docker.io/somebody/vllm:latest is not allowed" in found["SpecValid"]["message"]
    assert found["Stalled"]["status"] == "True"
    assert children(kube) == {}
    operator.restart(allowedImages=["docker.io/somebody/*"])
    kube.ready("llama", 30)
    operator.restart()


def test_a_quota_that_refuses_a_child(kube: Kube) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/deployments.apps": "0"}},
    }
    kube.apply(quota)
    kube.wait("the quota holds", 10, lambda: (kube.get("resourcequota", "none") or {}).get("status", {}).get("hard"))
    kube.apply(service())
    kube.wait("it says so", 20, lambda: reason(kube) == "QuotaExceeded")
    assert "ResourceQuota none is used up" in conditions(kube.get("vis", "llama") or {})["Ready"]["message"]
    kube.run("delete", "resourcequota", "none")
    kube.ready("llama", 60)


def test_a_new_default_image_waits_for_a_change_of_the_spec(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube)

    def at_rest() -> Object | None:
        found = kube.get("deployment", "llama") or {}
        progressing = conditions(found).get("Progressing", {}).get("reason")
        return found if progressing == "NewReplicaSetAvailable" and found["status"].get("availableReplicas") else None

    before = kube.wait("its Deployment is at rest", 60, at_rest)
    operator.restart(images={"cpu": "localhost/vllm-cpu:next"})
    ready(kube, "other")
    other = kube.get("deployment", "other")
    assert other
    assert other["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/vllm-cpu:next"
    assert kube.get("deployment", "llama") == before
    restarted = service(rollout={"restartedAt": "2026-11-24T12:00:00Z"})
    kube.apply(restarted)
    kube.ready("llama", 30)
    after = kube.get("deployment", "llama")
    assert after
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/vllm-cpu:next"
    operator.restart()
    ready(kube, "third")
    assert (kube.get("deployment", "llama") or {})["spec"]["template"] == after["spec"]["template"]


def test_only_the_namespaces_that_are_watched(kube: Kube, operator: OperatorProcess) -> None:
    add_lease_rights(operator.control_plane, RELEASE, "default")
    operator.restart(watchNamespaces=["default"])
    kube.apply(service())
    elsewhere = Kube(kube.kubeconfig, "default", kube.patience)
    ready(elsewhere, "watched")
    assert children(kube) == {}
    elsewhere.run("delete", "vis", "watched")
    operator.restart()
    kube.ready("llama", 30)


def test_a_service_monitor_is_made_once_there_is_such_an_api(kube: Kube) -> None:
    """With a CRD that keeps everything: what the Prometheus Operator takes is for another test."""
    ready(kube)
    found = conditions(kube.get("vis", "llama") or {})
    assert found["MonitoringAvailable"]["reason"] == "ServiceMonitorApiMissing"
    assert found["Ready"]["status"] == "True"
    monitors.install_api(kube)
    try:
        kube.wait("a condition says so", 60, lambda: reason(kube, "MonitoringAvailable") == "ServiceMonitorApplied")
        monitor = kube.get(MONITORS, "llama")
        assert monitor
        assert monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "llama"
        kube.merge(MONITORS, "llama", {"spec": {"selector": {"matchLabels": {"app.kubernetes.io/instance": "x"}}}})
        kube.wait("an edit is repaired", 20, lambda: kube.get(MONITORS, "llama")["spec"] == monitor["spec"])  # type: ignore[index]
    finally:
        monitors.remove_api(kube)
    kube.wait("a condition says so", 60, lambda: reason(kube, "MonitoringAvailable") == "ServiceMonitorApiMissing")
    ready(kube, maxModelLen=1024)
    assert "--max-model-len=1024" in args(kube)


def test_transitions_are_events(kube: Kube) -> None:
    ready(kube)

    def told() -> set[str]:
        return {e["reason"] for e in kube.list("events") if e["involvedObject"]["kind"] == "InferenceService"}

    kube.wait("an Event tells of it", 30, lambda: "Available" in told())
    assert yaml.safe_load(kube.run("get", "events", "-o", "yaml"))


def test_a_failed_container_is_explained_without_its_log_too(kube: Kube) -> None:
    """A fake node keeps no log: asking for it fails, and what Kubernetes itself knows is told."""
    ready(kube)
    (pod,) = kube.list("pods", "app.kubernetes.io/name=vllm")
    ended = {"exitCode": 1, "reason": "Error", "startedAt": pod["status"]["startTime"]}
    container = {**pod["status"]["containerStatuses"][0], "ready": False, "started": False}
    container["state"] = {"terminated": {**ended, "finishedAt": pod["status"]["startTime"]}}
    unready = [{**entry, "status": "False"} for entry in pod["status"]["conditions"] if entry["type"] == "Ready"]
    status = {"containerStatuses": [container], "conditions": unready}
    name = pod["metadata"]["name"]
    kube.run("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    kube.wait("it says so", 20, lambda: reason(kube) == "ContainerFailed")
    assert "exit code 1" in conditions(kube.get("vis", "llama") or {})["Ready"]["message"]

"""`kubectl vllm status` and `logs` against a real API server. With a real vLLM: tests/e2e/test_fleet.py."""

import json
from pathlib import Path

import pytest
import yaml

from cluster.control_plane import ControlPlane
from support.fleet_command import table, vllm
from support.kube import Kube, Object
from support.services import ready, reason, service

pytestmark = pytest.mark.control_plane
H100 = {"product": "NVIDIA-H100-80GB-HBM3"}


@pytest.fixture
def failing(kube: Kube) -> Kube:
    """A service whose only pod fails; fake nodes keep no log beyond what Kubernetes itself does."""
    ready(kube)
    (pod,) = kube.list("pods", "app.kubernetes.io/name=vllm")
    since = pod["status"]["startTime"]
    message = "INFO 11-24 12:00:00 [a.py:1] with hf_abcdefghijklmnop\nValueError: the head is missing\n"
    ended = {"exitCode": 1, "reason": "Error", "startedAt": since, "finishedAt": since, "message": message}
    container = {**pod["status"]["containerStatuses"][0], "ready": False, "started": False}
    container["state"] = {"terminated": ended}
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": since}
    conditions = [unready if entry["type"] == "Ready" else entry for entry in pod["status"]["conditions"]]
    status = {"containerStatuses": [container], "conditions": conditions}
    name = pod["metadata"]["name"]
    kube.run("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    kube.wait("it says so", 20, lambda: reason(kube) == "ContainerFailed")
    return kube


def test_a_fleet_at_a_glance(kube: Kube) -> None:
    kube.apply(service("refused", image="docker.io/somebody/vllm:latest"))
    kube.apply(service("large", accelerator=H100, tensorParallelSize=8, replicas=3))
    ready(kube, "small", replicas=2)
    kube.wait("two of three have a node", 60, lambda: reason(kube, name="large") == "Available")
    kube.wait("the other is refused", 20, lambda: reason(kube, name="refused") == "ImageNotAllowed")
    found = table(kube.kubeconfig, "-n", kube.namespace)
    # Fake nodes answer no request, so neither tokens nor requests are known.
    assert found == {
        "large": [kube.namespace, "large", "hf://org/name", "2/3", "16", "8", "-", "-", "-", "Available"],
        "refused": [kube.namespace, "refused", "hf://org/name", "0/1", "0", "0", "-", "-", "-", "ImageNotAllowed"],
        "small": [kube.namespace, "small", "hf://org/name", "2/2", "0", "0", "-", "-", "-", "Available"],
    }
    assert list(found) == sorted(found)
    everywhere = table(kube.kubeconfig, "-A")
    assert everywhere.items() >= found.items()
    assert table(kube.kubeconfig, "-n", kube.namespace, "large") == {"large": found["large"]}
    status, text, _ = vllm(kube.kubeconfig, "status", "-n", kube.namespace)
    assert status == 0
    assert text.endswith("1 of 3 services have all their pods; GPUs: 16 used, 8 waiting\n")


def test_a_fleet_for_scripts(kube: Kube) -> None:
    ready(kube)
    status, text, said = vllm(kube.kubeconfig, "status", "-n", kube.namespace, "-o", "json")
    assert (status, said) == (0, "")
    (row,) = json.loads(text)["services"]
    assert row == {
        "namespace": kube.namespace,
        "name": "llama",
        "model": "hf://org/name",
        "ready": 1,
        "wanted": 1,
        "gpus": 0,
        "gpusWaiting": 0,
        "kvCacheTokens": None,
        "requests": None,
        "podsUnasked": 1,
        "reason": "Available",
    }


def test_a_service_whose_pods_fail_is_explained(failing: Kube) -> None:
    status, text, said = vllm(failing.kubeconfig, "logs", "llama", "-n", failing.namespace)
    (pod,) = failing.list("pods", "app.kubernetes.io/name=vllm")
    assert (status, said) == (0, "")
    assert text.startswith(f"{failing.namespace}/llama, hf://org/name: not ready (ContainerFailed)\n")
    assert "ValueError: the head is missing (exit code 1)" in " ".join(text.split())
    assert "enough of its pods serve: no (ContainerFailed)" in text
    assert "it waits for somebody to change something: yes (ContainerFailed)" in text
    assert pod["metadata"]["name"] in text
    assert f"The log of pod {pod['metadata']['name']} cannot be read: " in text
    assert "hf_abc" not in text


def test_a_service_whose_pods_have_no_node_is_explained(kube: Kube) -> None:
    kube.apply(service(pod={"nodeSelector": {"example.com/none": "true"}}))
    kube.wait("it says so", 20, lambda: reason(kube) == "NoMatchingNode")
    status, text, _ = vllm(kube.kubeconfig, "logs", "llama", "-n", kube.namespace)
    assert status == 0
    assert "has no node" in text
    assert "example.com/none=true" in text
    assert "it is still being brought to its spec: yes (Progressing)" in text
    assert "From the log" not in text


def test_the_namespace_of_the_context_is_meant(kube: Kube, tmp_path: Path) -> None:
    ready(kube)
    config: Object = yaml.safe_load(kube.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = kube.namespace
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    assert list(table(path)) == ["llama"]
    status, text, _ = vllm("/nonexistent", "logs", "llama", f"--kubeconfig={path}")
    assert status == 0
    assert "llama, hf://org/name: ready (Available)" in text


def refused(kubeconfig: Path | str, *words: str) -> str:
    """The one line that says why there is no answer."""
    status, text, said = vllm(kubeconfig, *words)
    assert (status, text) == (1, "")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said.strip()


@pytest.fixture
def nobody(kube: Kube, tmp_path: Path) -> Path:
    """A kubeconfig of somebody who may do nothing."""
    kube.run("create", "serviceaccount", "nobody")
    config: Object = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": kube.run("create", "token", "nobody").strip()}
    path = tmp_path / "nobody"
    path.write_text(yaml.safe_dump(config))
    return path


def test_who_may_not_is_told_what(kube: Kube, nobody: Path) -> None:
    who = f'User "system:serviceaccount:{kube.namespace}:nobody" cannot list resource "inferenceservices"'
    assert who in refused(nobody, "status", "-n", kube.namespace)
    assert "at the cluster scope" in refused(nobody, "status", "-A")
    assert 'cannot get resource "inferenceservices"' in refused(nobody, "logs", "llama", "-n", kube.namespace)


def test_who_may_only_view_sees_all_but_the_requests(kube: Kube, nobody: Path) -> None:
    kube.run("create", "rolebinding", "view", "--clusterrole=view", f"--serviceaccount={kube.namespace}:nobody")
    ready(kube)
    assert table(nobody, "-n", kube.namespace)["llama"][3:] == ["1/1", "0", "0", "-", "-", "-", "Available"]
    assert "llama, hf://org/name: ready" in vllm(nobody, "logs", "llama", "-n", kube.namespace)[1]


def test_what_is_not_there_is_one_line(kube: Kube, tmp_path: Path) -> None:
    gone = f'inferenceservices.vllm-operator.dev "gone" not found in namespace {kube.namespace}'
    assert refused(kube.kubeconfig, "logs", "gone", "-n", kube.namespace) == f"vllm-operator logs: {gone}"
    assert refused(kube.kubeconfig, "status", "gone", "-n", kube.namespace) == f"vllm-operator status: {gone}"
    assert vllm(kube.kubeconfig, "status", "-n", kube.namespace)[:2] == (0, "no InferenceServices found\n")
    assert "leave out -A" in refused(kube.kubeconfig, "status", "-A", "llama")
    assert "there is no kubeconfig" in refused(tmp_path / "none", "status")
    assert "nope" in refused(kube.kubeconfig, "status", "--context=nope")
    config: Object = yaml.safe_load(kube.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "away").write_text(yaml.safe_dump(config))
    assert "cannot reach the cluster at https://127.0.0.1:9" in refused(tmp_path / "away", "status")
    (tmp_path / "broken").write_text("contexts: [")
    assert "cannot be used" in refused(tmp_path / "broken", "status")


def test_a_cluster_without_the_api_is_one_line() -> None:
    plane = ControlPlane.start("test-without-the-api")
    try:
        for words in (["status"], ["status", "-A"], ["status", "llama"], ["logs", "llama"]):
            assert "the cluster has no InferenceServices: install" in refused(plane.kubeconfig, *words)
    finally:
        plane.stop()

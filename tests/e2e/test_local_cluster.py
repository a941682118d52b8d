"""The local cluster itself: pods run, Services answer, volumes bind, and nothing is left when it is stopped."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.control_plane import state_of
from cluster.enclosure import CGROUPS, PLACES
from cluster.images import build
from cluster.kubelet import NODE
from cluster.node import LocalCluster
from cluster.tools import tool

NAME = "cluster-test"
WEB = """
import http.server, os, urllib.request
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        # /through asks the pod's own Service, which may lead back to this very pod.
        url = f"http://{os.environ['SERVICE']}/"
        self.wfile.write(urllib.request.urlopen(url, timeout=5).read() if self.path == "/through" else b"hello")
open("/volume/written", "w").write("by the pod")
print("serving", flush=True)
http.server.ThreadingHTTPServer(("", 8080), Pages).serve_forever()
"""


def _pod(name: str, image: str, service: str, node: str = NODE) -> dict[str, object]:
    container = {
        "name": "web",
        "image": image,
        "command": ["python", "-c", WEB],
        "env": [{"name": "SERVICE", "value": service}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "128Mi"}},
        "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    spec = {
        "containers": [container],
        "nodeSelector": {"kubernetes.io/hostname": node},
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "web"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def _apply(cluster: LocalCluster, service: str, *pods: dict[str, object]) -> None:
    """Pods, a claim that they share and a Service for the one called web; returns when they are Ready."""
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    ports = {"selector": {"app": "web"}, "clusterIP": service, "ports": [{"port": 80, "targetPort": 8080}]}
    items = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "web"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": ports},
        *pods,
    ]
    _kubectl(cluster, "apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    _kubectl(cluster, "wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    _until(lambda: _get(f"http://{service}/") == "hello")


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    """A cluster for this module alone, beside the one of the other tests."""
    running = LocalCluster.start(NAME)
    yield running
    running.stop()


def _kubectl(cluster: LocalCluster, *arguments: str, text: str | None = None) -> str:
    words = [str(tool("kubectl")), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True, input=text, timeout=90).stdout


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError as error:
        return str(error)


def _until(so: Callable[[], bool]) -> None:
    """Wait for what follows within moments."""
    deadline = time.monotonic() + 60
    while not so():
        assert time.monotonic() < deadline, "not so after 60 s"
        time.sleep(0.05)


def test_a_pod_runs_and_its_service_answers(own: LocalCluster) -> None:
    """From this machine and from the pod itself; with a volume, a GPU that is not there, logs and exec."""
    image, archive = build("operator")
    own.load(archive)
    own.fake_gpus(2)
    service = own.control_plane.site.services.replace("0.0/16", "7.7")
    _apply(own, service, _pod("web", image, service))
    assert _get(f"http://{service}/through") == "hello"
    assert "serving" in _kubectl(own, "logs", "web")
    assert _kubectl(own, "exec", "web", "--", "cat", "/volume/written") == "by the pod"
    volume = json.loads(_kubectl(own, "get", "pvc", "web", "--output=json"))["spec"]["volumeName"]
    assert (own.state / "volumes" / volume / "written").read_text() == "by the pod"


def test_what_runs_and_is_healthy_is_used_again(own: LocalCluster) -> None:
    """A second start changes nothing."""
    before = own.processes.pid("kubelet")
    assert LocalCluster.start(NAME).processes.pid("kubelet") == before


def test_a_broken_cluster_is_replaced(own: LocalCluster) -> None:
    """As after an interrupted start, or when a program has been killed."""
    before = own.processes.pid("kubelet")
    os.killpg(before, signal.SIGKILL)
    _until(lambda: not own.processes.pid("kubelet"))
    again = LocalCluster.start(NAME)
    assert again.healthy()
    assert again.processes.pid("kubelet") != before
    assert "No resources found" not in _kubectl(again, "get", "nodes")


def test_pods_of_two_nodes_reach_each_other() -> None:
    """Through a Service, from this machine and from the other node; with a claim that both mount, logs and exec."""
    both = LocalCluster.start(NAME, nodes=2)
    first, second = [node.name for node in both.nodes]
    image, archive = build("operator")
    both.load(archive)
    both.fake_gpus(1)
    service = both.control_plane.site.services.replace("0.0/16", "7.7")
    _apply(both, service, _pod("web", image, service, second), _pod("other", image, service, first))
    pods = {pod["metadata"]["name"]: pod for pod in json.loads(_kubectl(both, "get", "pods", "--output=json"))["items"]}
    assert [pods[name]["spec"]["nodeName"] for name in ("other", "web")] == [first, second]
    for pod in pods.values():
        url = f"http://{pod['status']['podIP']}:8080/through"
        _until(lambda url=url: _get(url) == "hello")  # type: ignore[misc]
    assert "serving" in _kubectl(both, "logs", "web")
    assert _kubectl(both, "exec", "web", "--", "cat", "/volume/written") == "by the pod"


def test_a_node_can_leave() -> None:
    """The other one stays healthy, and a new one can take its place."""
    both = LocalCluster.start(NAME, nodes=2)
    both.remove_node()
    assert len(both.nodes) == 1
    _until(both.healthy)
    assert len(LocalCluster.start(NAME, nodes=2).nodes) == 2


def test_stopping_leaves_nothing(own: LocalCluster) -> None:
    """No process, mount, network card, route, cgroup or directory, of either node."""
    networks = [node.enclosure.network for node in LocalCluster.start(NAME, nodes=2).nodes]
    assert len(networks) == 2
    own.stop()
    assert not state_of(NAME).exists()
    state = str(state_of(NAME)).encode()
    assert [line for line in _command_lines() if state in line] == []
    assert str(state_of(NAME)) not in Path("/proc/self/mountinfo").read_text()
    routes = subprocess.run(["ip", "route"], check=True, capture_output=True, text=True).stdout
    assert [network for network in networks if network is None or network.node in routes] == []
    # Not rglob, which raises when another cluster's group goes meanwhile.
    assert [path for path, *_ in os.walk(CGROUPS) if f"vllm-operator-{NAME}" in path] == []
    assert not LocalCluster(NAME).healthy()
    assert [place for place in PLACES if place != "/var/log" and Path(place).exists()] == [] or _another_node()


def _command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield path.read_bytes()


def _another_node() -> bool:
    """Whether another cluster's node still needs the mount points."""
    return any(p.name.startswith("vllm-op") for p in Path("/sys/class/net").iterdir())

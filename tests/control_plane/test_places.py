"""Namespaces with rules, and devices by claims: quotas, limits, taints, webhooks that fail, on a real API server."""

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_8B
from support.operator_process import OperatorProcess
from support.planned import fits, planned
from support.services import reason, service

pytestmark = pytest.mark.control_plane
LIMITS = {"requests": {"cpu": 4, "memory": "16Gi"}, "limits": {"cpu": 8, "memory": "24Gi"}}
DRIVER = "gpu.example.com"


@pytest.fixture(autouse=True, scope="module")
def inspecting(operator: OperatorProcess) -> Iterator[None]:
    """An operator that knows the image of its inspect Jobs."""
    operator.restart(images={"operator": "vllm-operator:test"})
    yield
    operator.restart()


def of(kind: str, name: str, version: str = "v1", **content: Any) -> Object:
    """An object of Kubernetes' own."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}


def test_a_quota_and_limits_take_the_inspect_job(kube: Kube) -> None:
    hard = {"limits.cpu": "20", "limits.memory": "100Gi", "requests.cpu": "20"}
    limits = {"type": "Container", "maxLimitRequestRatio": {"cpu": "10"}, "min": {"cpu": "100m"}}
    kube.apply(of("ResourceQuota", "limits", spec={"hard": hard}), of("LimitRange", "most", spec={"limits": [limits]}))
    kube.wait("the quota holds", 10, lambda: (kube.get("resourcequota", "limits") or {}).get("status", {}).get("hard"))
    kube.apply(planned(LLAMA_8B, maxModelLen=8192, resources=LIMITS))
    kube.ready("llama", 60)
    assert fits(kube)["status"] == "True"


def test_a_quota_that_wants_what_the_pods_do_not_say_is_told(kube: Kube) -> None:
    kube.apply(of("ResourceQuota", "limits", spec={"hard": {"limits.cpu": "20"}}))
    kube.wait("the quota holds", 10, lambda: (kube.get("resourcequota", "limits") or {}).get("status", {}).get("hard"))
    kube.apply(planned(LLAMA_8B))
    kube.wait("it says so", 60, lambda: reason(kube) == "PodsRefused")
    found = conditions(kube.get("vis", "llama") or {})
    assert "ResourceQuota limits wants limits.cpu of every pod: set it in resources" in found["Ready"]["message"]
    assert found["Stalled"]["status"] == "True"


def test_a_job_that_no_policy_takes_says_so_and_keeps_nothing_waiting(kube: Kube) -> None:
    most = {"type": "Container", "max": {"cpu": "500m"}}
    kube.apply(of("LimitRange", "small", spec={"limits": [most]}))
    kube.apply(planned(LLAMA_8B))
    found = kube.wait("it is told", 30, lambda: fits(kube))
    assert found["reason"] == "NotInspected"
    assert "the pod of the inspect Job is refused: " in found["message"]
    assert "maximum cpu usage per Container is 500m, but limit is 1" in found["message"]


def test_a_tainted_pool_of_gpus_takes_the_inspect_job_and_the_pods(kube: Kube, operator: OperatorProcess) -> None:
    nodes = operator.control_plane.add_kwok_nodes(1, 2, "NVIDIA-L4")
    try:
        for node in nodes:
            kube.run("label", "node", node, "pool=tainted")
            kube.run("taint", "node", node, "nvidia.com/gpu=present:NoSchedule")
        pool: Object = {"accelerator": {}, "pod": {"nodeSelector": {"pool": "tainted"}}, "maxModelLen": 8192}
        kube.apply(planned(LLAMA_8B, kvCache={"dtype": "fp8"}, **pool))
        found = kube.ready("llama", 60)
        assert found["status"]["plan"]["gpu"] == "NVIDIA-L4"
    finally:
        for node in nodes:
            kube.run("delete", "node", node)


def test_a_time_sliced_gpu_is_no_whole_one(kube: Kube, operator: OperatorProcess) -> None:
    nodes = operator.control_plane.add_kwok_nodes(1, 4, "NVIDIA-L4")
    try:
        for node in nodes:
            labels = ("pool=sliced", "nvidia.com/gpu.product=NVIDIA-L4-SHARED", "nvidia.com/gpu.replicas=4")
            kube.run("label", "--overwrite", "node", node, *labels)
        pool: Object = {"accelerator": {}, "pod": {"nodeSelector": {"pool": "sliced"}}, "maxModelLen": 8192}
        kube.apply(planned(LLAMA_8B, replicas=3, **pool))
        found = kube.wait("it is planned", 30, lambda: fits(kube))
        assert (found["status"], found["reason"]) == ("False", "GpuMemoryUtilizationTooLarge")
        assert "vLLM is to take 92 % of NVIDIA-L4-SHARED, of which the pod has 25 %" in found["message"]
        pool["accelerator"] = {"count": 4}
        kube.apply(planned(LLAMA_8B, kvCache={"dtype": "fp8"}, **pool))
        assert kube.ready("llama", 60)["status"]["gpus"] == 4
    finally:
        for node in nodes:
            kube.run("delete", "node", node)


class Hook(BaseHTTPRequestHandler):
    """A webhook that answers 500 until it is told to work."""

    works = False

    def do_POST(self) -> None:
        """One review."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"uid": asked["request"]["uid"], "allowed": True}
        body = json.dumps({**{key: asked[key] for key in ("apiVersion", "kind")}, "response": answer}).encode()
        self.send_response(200 if Hook.works else 500)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body if Hook.works else b"not now")

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def webhook(kube: Kube, operator: OperatorProcess, resources: list[str], group: str) -> Iterator[None]:
    """A webhook that fails for these resources of the namespace."""
    pki = operator.control_plane.certificates
    server, context = ThreadingHTTPServer(("127.0.0.1", 0), Hook), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hook.works = False
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources}
    hook = {
        "name": "fails.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kube.namespace}},
        "clientConfig": {
            "url": f"https://127.0.0.1:{server.server_address[1]}/",
            "caBundle": b64encode((pki / "ca.crt").read_bytes()).decode(),
        },
    }
    kind, version = "ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1"
    kube.apply(of(kind, kube.namespace, version, webhooks=[hook]))
    try:
        yield
    finally:
        kube.run("delete", kind, kube.namespace)
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("resource", "group"), [("pods", ""), ("deployments", "apps")])
def test_a_webhook_that_fails_for_a_while_is_no_end(
    kube: Kube, operator: OperatorProcess, resource: str, group: str
) -> None:
    with webhook(kube, operator, [resource], group):
        kube.wait("the webhook is asked", 20, lambda: _is_asked(kube, resource))
        kube.apply(service(model={"uri": f"hf://{LLAMA_8B}"}))
        kube.wait("it says so", 60, lambda: reason(kube) == "AdmissionFailed")
        found = conditions(kube.get("vis", "llama") or {})
        assert "Stalled" not in found
        assert found["Reconciling"]["status"] == "True"
        assert "webhook" in found["Ready"]["message"]
        Hook.works = True
        kube.ready("llama", 120)


def _is_asked(kube: Kube, resource: str) -> bool:
    """Whether the API server knows of the webhook: it takes a moment."""
    words = ("run",) if resource == "pods" else ("create", "deployment")
    try:
        kube.run(*words, "probe", "--image=probe", "--dry-run=server")
    except AssertionError as error:
        return "webhook" in str(error)
    return False


def test_devices_are_claimed_and_those_that_are_taken_are_told(kube: Kube, operator: OperatorProcess) -> None:
    (node,) = operator.control_plane.add_kwok_nodes(1, 0, "NVIDIA-L4")
    devices = [{"name": f"gpu-{number}", "capacity": {"memory": {"value": "80Gi"}}} for number in range(2)]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    offered = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": devices}
    slices = of("ResourceSlice", node, "resource.k8s.io/v1", spec=offered)
    rule = {"cel": {"expression": f"device.driver == '{DRIVER}'"}}
    kube.apply(of("DeviceClass", DRIVER, "resource.k8s.io/v1", spec={"selectors": [rule]}), slices)
    claims: Object = {"deviceClass": DRIVER}
    try:
        kube.apply(planned(LLAMA_8B, tensorParallelSize=2, accelerator=claims))
        kube.ready("llama", 60)
        assert "what its nodes tell" in conditions(kube.get("vis", "llama") or {})["Fits"]["message"]
        (first,) = kube.list("resourceclaimtemplates")
        other = planned(LLAMA_8B, accelerator=claims)
        other["metadata"]["name"] = "other"
        kube.apply(other)
        kube.wait("it says so", 60, lambda: reason(kube, name="other") == "InsufficientGpus")
        message = conditions(kube.get("vis", "other") or {})["Ready"]["message"]
        assert "without free devices that its claim asks for" in message
        kube.run("delete", "vis", "other")
        selector = f"device.capacity['{DRIVER}'].memory.compareTo(quantity('40Gi')) >= 0"
        kube.apply(planned(LLAMA_8B, tensorParallelSize=2, accelerator={**claims, "deviceSelector": selector}))
        kube.wait(
            "the old template is gone", 60, lambda: not kube.get("resourceclaimtemplate", first["metadata"]["name"])
        )
        kube.ready("llama", 60)
    finally:
        kube.run("delete", "vis", "--all")
        kube.run("delete", "deviceclass", DRIVER)
        kube.run("delete", "resourceslice", node)
        kube.run("delete", "node", node)

"""What Argo CD and Flux make of a service: its health from statuses that the operator wrote, and no drift."""

import json

import pytest

from support import gitops
from support.gitops import DEGRADED, HEALTHY, PROGRESSING, read
from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_70B
from support.operator_process import OperatorProcess
from support.services import CHILDREN, LABEL, children, ready, reason, replicas, service
from vllm_operator.api import InferenceServiceSpec

pytestmark = pytest.mark.control_plane


def live(kube: Kube, name: str = "llama") -> Object:
    """The service as it stands."""
    found = kube.get("vis", name)
    assert found
    return found


def test_before_the_operator_has_looked(kube: Kube, operator: OperatorProcess) -> None:
    operator.stop()
    kube.apply(service())
    assert read(live(kube)) == PROGRESSING
    operator.start()
    assert read(kube.ready("llama", 30)) == HEALTHY
    operator.stop()
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
    assert read(live(kube)) == PROGRESSING
    operator.start()
    assert read(kube.ready("llama", 30)) == HEALTHY


def test_while_pods_wait_for_a_node(kube: Kube) -> None:
    kube.apply(service(pod={"nodeSelector": {"example.com/none": "true"}}))
    kube.wait("it says so", 20, lambda: reason(kube) == "NoMatchingNode")
    assert read(live(kube)) == PROGRESSING
    assert "no node" in gitops.argocd(live(kube)).message


def test_when_the_spec_is_refused(kube: Kube) -> None:
    kube.apply(service(image="docker.io/somebody/vllm:latest"))
    kube.wait("it says so", 10, lambda: reason(kube) == "ImageNotAllowed")
    assert read(live(kube)) == DEGRADED
    assert "somebody/vllm:latest is not allowed" in gitops.argocd(live(kube)).message


def test_when_the_model_does_not_fit(kube: Kube, operator: OperatorProcess) -> None:
    operator.restart(images={"operator": "vllm-operator:test"})  # of the inspect Job
    gpu = {"product": "NVIDIA-H100-80GB-HBM3"}
    kube.apply(service(model={"uri": f"hf://{LLAMA_70B}"}, accelerator=gpu))
    kube.wait("it says so", 60, lambda: reason(kube) == "WeightsTooLarge")
    assert read(live(kube)) == DEGRADED
    assert "no pods are made" in gitops.argocd(live(kube)).message
    operator.restart()


def test_scaled_to_zero_and_being_deleted(kube: Kube) -> None:
    assert read(ready(kube, replicas=0)) == HEALTHY
    assert reason(kube) == "ScaledToZero"
    kube.merge("vis", "llama", {"metadata": {"finalizers": ["example.com/of-the-test"]}})
    kube.run("delete", "vis", "llama", "--wait=false")
    try:
        assert read(live(kube)) == ("Progressing", "Terminating", "Current")  # Flux waits for a deletion elsewhere
    finally:
        kube.merge("vis", "llama", {"metadata": {"finalizers": None}})


@pytest.mark.skipif("suspend" not in InferenceServiceSpec.model_fields, reason="the API has no spec.suspend")
def test_suspended(kube: Kube) -> None:
    ready(kube)
    kube.merge("vis", "llama", {"spec": {"suspend": True}})
    kube.wait("it says so", 20, lambda: reason(kube) == "Suspended" and not kube.list("pods", f"{LABEL}=llama"))
    kube.wait("nothing is left to do", 20, lambda: "Reconciling" not in conditions(live(kube)))
    # kstatus has no such word: without healthCheckExprs Flux would wait for the service.
    assert read(live(kube)) == ("Suspended", "InProgress", "Current")
    kube.merge("vis", "llama", {"spec": {"suspend": False}})
    assert read(kube.ready("llama", 30)) == HEALTHY


# How the two apply, with what they add to each object.
TRACKING = {"argocd.argoproj.io/tracking-id": "team-a-models:vllm-operator.dev/InferenceService:team-a/chat"}
LABELS = {"kustomize.toolkit.fluxcd.io/name": "team-a-models", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
SERVER_SIDE = ("--server-side", "--force-conflicts")
TOOLS = [
    pytest.param({"labels": LABELS}, (*SERVER_SIDE, "--field-manager=kustomize-controller"), id="flux"),
    pytest.param({"annotations": TRACKING}, (*SERVER_SIDE, "--field-manager=argocd-controller"), id="argo-cd"),
    pytest.param({"annotations": TRACKING}, (), id="argo-cd-client-side"),
]


def team(kube: Kube, extra: Object) -> str:
    """The team's services as a GitOps tool renders them for the test's namespace."""
    items = [item for item in gitops.examples("team-a") if item["kind"] == "InferenceService"]
    for item in items:
        item["metadata"] |= {"namespace": kube.namespace, **extra}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def volume(kube: Kube) -> None:
    """A volume for the cache that the example asks for: no provisioner makes any here."""
    modes = ["ReadWriteMany"]
    spec = {"capacity": {"storage": "200Gi"}, "accessModes": modes, "hostPath": {"path": "/nonexistent"}}
    kube.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": kube.namespace}, "spec": spec})


def written(item: Object) -> Object:
    """All of an object but its status and what the API server itself counts."""
    ignored = ("managedFields", "resourceVersion")
    metadata = {key: value for key, value in item["metadata"].items() if key not in ignored}
    return {"metadata": metadata, "spec": item["spec"]}


@pytest.mark.parametrize(("extra", "how"), TOOLS)
def test_there_is_no_drift(kube: Kube, extra: Object, how: tuple[str, ...]) -> None:
    volume(kube)
    manifests = team(kube, extra)
    applied = json.loads(kube.run("apply", *how, "-f", "-", "-o", "json", stdin=manifests))["items"]
    settled = [kube.ready(item["metadata"]["name"], 60) for item in applied]
    assert [written(item) for item in settled] == [written(item) for item in applied]
    for item, asked in zip(settled, json.loads(manifests)["items"], strict=True):
        assert item["spec"] == asked["spec"] | {"accelerator": item["spec"]["accelerator"]}  # its resource is defaulted
        assert "finalizers" not in item["metadata"]
    assert kube.run("diff", *how, "-f", "-", stdin=manifests) == ""  # fails where there is any
    again = json.loads(kube.run("apply", *how, "-f", "-", "-o", "json", stdin=manifests))["items"]
    assert [item["metadata"]["resourceVersion"] for item in again] == [
        item["metadata"]["resourceVersion"] for item in settled
    ]
    kube.run("delete", "pv", kube.namespace, "--wait=false")


@pytest.mark.parametrize(("extra", "how"), TOOLS)
def test_replicas_that_git_leaves_out_stay_as_scaled(kube: Kube, extra: Object, how: tuple[str, ...]) -> None:
    item = service()
    item["metadata"] |= extra
    manifest = json.dumps(item)
    kube.run("apply", *how, "-f", "-", stdin=manifest)
    kube.ready("llama", 30)
    kube.run("scale", "vis", "llama", "--replicas=3")
    scaled = kube.ready("llama", 30)
    assert (scaled["spec"]["replicas"], replicas(kube)) == (3, 3)
    assert kube.run("diff", *how, "-f", "-", stdin=manifest) == ""
    kube.run("apply", *how, "-f", "-", stdin=manifest)
    after = live(kube)
    assert after["spec"] == scaled["spec"]
    assert after["metadata"]["generation"] == scaled["metadata"]["generation"]
    changed = service(maxModelLen=1024)
    changed["metadata"] |= extra
    kube.run("apply", *how, "-f", "-", stdin=json.dumps(changed))
    assert kube.ready("llama", 30)["spec"]["replicas"] == 3
    assert replicas(kube) == 3


def test_pods_of_an_autoscaler_stay_when_git_is_applied_again(kube: Kube) -> None:
    manifest = json.dumps(service(autoscaling={"maxReplicas": 4}))
    how = (*SERVER_SIDE, "--field-manager=kustomize-controller")
    kube.run("apply", *how, "-f", "-", stdin=manifest)
    kube.ready("llama", 30)
    kube.run("scale", "deployment", "llama", "--replicas=3")  # as the autoscaler does
    kube.wait("three serve", 30, lambda: live(kube)["status"].get("readyReplicas") == 3)
    before = live(kube)
    kube.run("apply", *how, "-f", "-", stdin=manifest)
    kube.run("apply", *how, "-f", "-", stdin=json.dumps(service(autoscaling={"maxReplicas": 4}, maxModelLen=1024)))
    kube.ready("llama", 30)
    assert replicas(kube) == 3
    assert "replicas" not in before["spec"]


def test_a_namespace_goes_without_the_operator(kube: Kube, operator: OperatorProcess) -> None:
    cache = {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany", "retain": False}}
    kube.apply(service("scaled", autoscaling={"maxReplicas": 3}))
    ready(kube, cache=cache, networkPolicy={"allowFrom": []})
    operator.stop()
    elsewhere = Kube(kube.kubeconfig, "default", kube.patience)
    elsewhere.run("delete", "namespace", kube.namespace, "--timeout=90s")
    assert elsewhere.get("namespace", kube.namespace) is None
    operator.start()


def test_a_service_deleted_right_after_the_operator_leaves_nothing(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(service())
    kube.wait("its first child is there", 20, lambda: children(kube))
    assert operator.process
    operator.process.kill()
    operator.stop()
    kube.run("delete", "vis", "llama", "--timeout=10s")
    kube.wait("nothing is left", 60, lambda: not kube.list(f"{CHILDREN},pods", f"{LABEL}=llama"))
    operator.start()
    ready(kube, "other")  # by then it has looked at everything
    assert not kube.list(f"{CHILDREN},pods", f"{LABEL}=llama")

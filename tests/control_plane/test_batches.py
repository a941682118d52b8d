"""Batches on a real API server, with fake nodes whose pods of Jobs end at once: from the check to the output."""

import json
from collections.abc import Iterator

import pytest

from support.batch_objects import batch, claim
from support.gitops import argocd, kstatus
from support.kube import Kube, Object, conditions, established

pytestmark = pytest.mark.control_plane


def reason(kube: Kube, kind: str = "Ready", name: str = "nightly") -> str:
    """The reason of a condition; empty while there is none."""
    return str(conditions(kube.get("vib", name) or {}).get(kind, {}).get("reason", ""))


def ends(kube: Kube, name: str = "nightly") -> Object:
    """Waits until a batch has ended as it should, and returns it."""
    kube.wait("it is complete", 60, lambda: reason(kube, "Complete", name) == "Merged")
    found = kube.get("vib", name)
    assert found
    return found


def test_a_batch_goes_from_the_check_to_the_output_and_leaves_no_pods(kube: Kube) -> None:
    kube.apply(claim("data"), batch(parallelism=2))
    status = ends(kube)["status"]
    assert (status["total"], status["done"], status["failed"]) == (10, 9, 1)
    assert status["startedAt"] <= status["finishedAt"]
    kube.wait("its Jobs are gone", 30, lambda: not kube.list("jobs") and not kube.list("pods"))
    lines = kube.run("get", "batches").splitlines()
    assert lines[0].split() == ["NAME", "DONE", "FAILED", "TOTAL", "TOKENS/S", "END", "REASON", "AGE"]
    assert lines[1].split()[:4] == ["nightly", "9", "1", "10"]


def test_gitops_tools_see_how_it_stands(kube: Kube) -> None:
    kube.apply(claim("data"), batch(), batch("broken", input={"uri": "pvc://nowhere/in.jsonl"}))
    done = ends(kube)
    assert (argocd(done).status, kstatus(done)) == ("Healthy", ["Current"])
    kube.wait("the claim is missed", 30, lambda: reason(kube, "Stalled", "broken") == "Invalid")
    broken = kube.get("vib", "broken")
    assert broken
    assert (argocd(broken).status, kstatus(broken)) == ("Degraded", ["Failed"])


def test_a_claim_for_one_node_is_refused_for_several_pods(kube: Kube) -> None:
    kube.apply(claim("one", "ReadWriteOnce"), batch(output={"uri": "pvc://one/out"}, parallelism=2), claim("data"))
    kube.wait("it is refused", 90, lambda: reason(kube) == "ClaimNotShared")
    assert kube.list("jobs") == []


def test_a_batch_that_is_suspended_has_no_pods_and_goes_on(kube: Kube) -> None:
    kube.apply(claim("data"), batch(suspend=True))
    kube.wait("it is suspended", 30, lambda: reason(kube) == "Suspended")
    assert kube.list("jobs") == []
    kube.apply(batch(suspend=False))
    ends(kube)


def test_the_gpus_of_a_namespace_are_for_services_and_batches_together(kube: Kube) -> None:
    own, limits = kube.namespace, {"gpusPerNamespace": 2}
    spec = {"accelerator": {"resource": "nvidia.com/gpu"}, "limits": limits, "defaults": {"planPolicy": "Warn"}}
    of_class = {"model": {"uri": "hf://org/name"}, "servingClassName": own}
    made = {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "ServingClass", "metadata": {"name": own}, "spec": spec}
    service = {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "llama"},
        "spec": {**of_class, "tensorParallelSize": 2},
    }
    kube.apply(claim("data"), made, service)
    try:
        kube.wait("the service has its pods", 30, lambda: bool(kube.get("deployment", "llama")))
        template = {"model": {"uri": "hf://org/name"}}
        kube.apply(batch(template=template, servingClassName=own))
        kube.wait("the batch waits", 60, lambda: reason(kube, "Admitted") == "ClassLimitExceeded")
        kube.wait("its input is checked", 60, lambda: reason(kube, "InputValid") == "InputChecked")
        assert kube.get("job", "nightly-run") is None
        kube.run("delete", "vis", "llama")
        kube.wait(
            "its pods are made", 120, lambda: kube.get("job", "nightly-run") is not None or reason(kube) == "Merged"
        )
        assert reason(kube, "Admitted") == ""
    finally:
        kube.run("delete", "vsc", own)


WORKLOADS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "workloads.kueue.x-k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue/tree/main/config"},
    },
    "spec": {
        "group": "kueue.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "Workload", "plural": "workloads", "singular": "workload"},
        "versions": [
            {
                "name": "v1beta2",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def workloads(kube: Kube) -> Iterator[None]:
    """The API in which Kueue says why it holds a Job."""
    kube.apply(WORKLOADS)
    kube.wait("it is there", 30, lambda: established(kube.get("crd", "workloads.kueue.x-k8s.io")))
    yield
    kube.run("delete", "crd", "workloads.kueue.x-k8s.io")


@pytest.mark.usefixtures("workloads")
def test_a_batch_that_kueue_holds_says_what_it_waits_for(kube: Kube) -> None:
    gpus = {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}
    # No node has so many GPUs: the pods wait, as they do on a full cluster.
    template = {"model": {"uri": "hf://org/name"}, "accelerator": gpus, "tensorParallelSize": 16, "planPolicy": "Warn"}
    kube.apply(claim("data"), batch(labels={"kueue.x-k8s.io/queue-name": "gpus"}, template=template))
    kube.wait("its pods wait", 60, lambda: reason(kube, "Running") == "GpuNodesTooSmall")
    job = kube.get("job", "nightly-run")
    assert job
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    said = "insufficient unused quota for nvidia.com/gpu in flavor h100, 2 more needed"
    condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": said}
    labels = {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}
    workload = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload"}
    kube.apply({**workload, "metadata": {"name": "w", "labels": labels}, "status": {"conditions": [condition]}})
    kube.merge("job", "nightly-run", {"spec": {"suspend": True}})
    kube.wait("it is held", 30, lambda: reason(kube, "Running") == "HeldByQueue")
    found = kube.get("vib", "nightly")
    assert said in conditions(found or {})["Running"]["message"]
    assert argocd(found or {}).status == "Progressing"
    kube.merge("job", "nightly-run", {"spec": {"suspend": False}})
    kube.wait("it goes on", 30, lambda: reason(kube, "Running") != "HeldByQueue")


def test_a_batch_goes_by_itself_after_its_time(kube: Kube) -> None:
    kube.apply(claim("data"), batch(ttlSecondsAfterFinished=1))
    kube.wait("it is gone", 90, lambda: kube.get("vib", "nightly") is None)


def test_a_service_lends_its_model_and_stays_as_it_is(kube: Kube) -> None:
    service = {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "nightly"},
        "spec": {"model": {"uri": "hf://org/name"}, "accelerator": {"resource": "cpu"}, "maxNumSeqs": 8},
    }
    kube.apply(claim("data"), service)
    kube.ready("nightly", 30)
    kube.apply(batch(template=None, serviceRef={"name": "nightly"}))
    ends(kube)
    assert kube.ready("nightly", 30)["status"]["replicas"] == 1


def test_what_cannot_change_is_refused(kube: Kube) -> None:
    kube.apply(claim("data"), batch(suspend=True))
    for change, said in (
        ({"parallelism": 2}, "parallelism cannot be changed: make a new batch"),
        ({"output": {"uri": "pvc://data/other"}}, "output.uri cannot be changed"),
        ({"input": {"uri": "pvc://data/other"}}, "input cannot be changed"),
        ({"serviceRef": {"name": "x"}}, "set either template or serviceRef, and not both"),
        ({"input": {"uri": "s3://bucket/in.jsonl"}}, "input cannot be changed"),
    ):
        with pytest.raises(AssertionError, match=said):
            kube.run("patch", "vib", "nightly", "--type=merge", "-p", json.dumps({"spec": change}))


def test_an_input_in_a_config_map_cannot_change_either(kube: Kube) -> None:
    ref = {"name": "questions", "key": "in.jsonl"}
    kube.apply(claim("data"), batch(suspend=True, input={"configMapKeyRef": ref}))
    for change in (
        {"configMapKeyRef": {"name": "others"}},
        {"configMapKeyRef": {"key": "other.jsonl"}},
        {"configMapKeyRef": None, "uri": "pvc://data/in.jsonl"},
    ):
        with pytest.raises(AssertionError, match="input cannot be changed: make a new batch"):
            kube.run("patch", "vib", "nightly", "--type=merge", "-p", json.dumps({"spec": {"input": change}}))


def test_a_bucket_stays_where_it_is_and_its_keys_may_be_others(kube: Kube) -> None:
    at = {"endpoint": "https://minio.storage.svc:9000", "credentialsSecretName": "keys"}
    output = {"uri": "s3://data/out", "objectStore": at}
    kube.apply(batch(suspend=True, input={"uri": "s3://data/in.jsonl"}, output=output))
    for change, said in (
        ({"output": {"objectStore": {"endpoint": "https://other.svc"}}}, "output.objectStore.endpoint cannot be"),
        ({"output": {"objectStore": None}}, "output.objectStore.endpoint cannot be changed: make a new batch"),
        ({"input": {"objectStore": {"endpoint": "https://other.svc"}}}, "input.objectStore.endpoint cannot be changed"),
    ):
        with pytest.raises(AssertionError, match=said):
            kube.run("patch", "vib", "nightly", "--type=merge", "-p", json.dumps({"spec": change}))
    allowed = {"output": {"objectStore": {"credentialsSecretName": "others", "region": "eu"}}}
    kube.run("patch", "vib", "nightly", "--type=merge", "-p", json.dumps({"spec": allowed}))

"""Batches on a real API server, with fake nodes whose pods of Jobs end at once: from the check to the output."""

import json
from typing import Any

import pytest

from support.gitops import argocd, kstatus
from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.control_plane


def claim(name: str, mode: str = "ReadWriteMany") -> Object:
    spec = {"accessModes": [mode], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def batch(name: str = "nightly", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    given = {
        "template": {"model": {"uri": "hf://org/name"}, "accelerator": {"resource": "cpu"}},
        "input": {"uri": "pvc://data/in.jsonl"},
        "output": {"uri": "pvc://data/out"},
        **spec,
    }
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceBatch",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {key: value for key, value in given.items() if value is not None},
    }


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


def test_what_can_not_change_is_refused(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(claim("data"), batch(suspend=True))
    for change, said in (
        ({"parallelism": 2}, "parallelism cannot be changed: make a new batch"),
        ({"output": {"uri": "pvc://data/other"}}, "output.uri cannot be changed"),
        ({"input": {"uri": "pvc://data/other"}}, "input cannot be changed"),
        ({"serviceRef": {"name": "x"}}, "set either template or serviceRef, and not both"),
        ({"input": {"uri": "s3://bucket/in"}}, "s3:// is not supported yet"),
    ):
        with pytest.raises(AssertionError, match=said):
            kube.run("patch", "vib", "nightly", "--type=merge", "-p", json.dumps({"spec": change}))

"""What the operator knows before a pod starts: the inspect Job on a real kubelet, a hub in the cluster, the plan."""

from typing import Any

import pytest

from support.hub import COMMIT
from support.hub_pod import hub_pod
from support.kube import Kube, Object, conditions
from support.serving import tiny


def asleep(name: str, repository: str, token: str = "", **model: Any) -> Object:
    """A service without pods: what is known of it is what was inspected."""
    service = tiny(name, replicas=0)
    secret = {"tokenSecretRef": {"name": token, "key": "token"}} if token else {}
    service["spec"]["model"] = {"uri": f"hf://org/{repository}", **secret, **model}
    return service


CASES = {
    "plain": ("plain", "", {}, "Fits", ""),
    "renamed": ("renamed", "", {}, "Fits", ""),
    "private": ("private", "hub-token", {}, "Fits", ""),
    "locked": ("private", "", {}, "ModelNotFound", "model.tokenSecretRef"),
    "nowhere": ("nowhere", "hub-token", {}, "ModelNotFound", "check model.uri"),
    "stale": ("plain", "old-token", {}, "HubTokenRefused", "put a valid one"),
    "gated": ("gated", "hub-token", {}, "ModelGated", "accept its terms"),
    "busy": ("busy", "", {}, "HubRateLimited", "429"),
    "unrevised": ("plain", "", {"revision": "v9"}, "RevisionNotFound", "has no revision v9"),
}


def fits(kube: Kube, name: str) -> Object | None:
    """The condition, once it is settled."""
    found = conditions(kube.get("vis", name) or {}).get("Fits")
    # NotInspected: the Job has not come to run yet on this busy machine.
    return found if found and found["reason"] not in ("Inspecting", "NotInspected") else None


@pytest.fixture(scope="module")
def inspected(kube: Kube) -> Kube:
    """All cases, applied at once."""
    kube.apply(*hub_pod(kube))
    kube.run("wait", "pod/hub", "--for=condition=Ready", "--timeout=110s")
    kube.apply(*(asleep(name, repository, token, **model) for name, (repository, token, model, *_) in CASES.items()))
    return kube


@pytest.mark.parametrize("name", CASES)
def test_the_first_answer_comes_from_the_inspection(inspected: Kube, name: str) -> None:
    *_, reason, words = CASES[name]
    found = inspected.wait(f"{name} was inspected", 300, lambda: fits(inspected, name))
    assert found["reason"] == reason, found
    assert words in found["message"]
    assert found["status"] == ("True" if reason == "Fits" else "Unknown")


def test_a_branch_is_pinned_to_its_commit(inspected: Kube) -> None:
    inspected.wait("plain was inspected", 300, lambda: fits(inspected, "plain"))
    status = (inspected.get("vis", "plain") or {})["status"]
    assert status["model"]["commit"] == COMMIT
    assert status["model"]["weightsBytes"] == 128
    deployment = inspected.get("deployment", "plain")
    assert deployment
    assert f"--revision={COMMIT}" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    asked = inspected.run("logs", "hub").splitlines()
    weights = [line for line in asked if line.startswith("GET /org/plain/") and ".safetensors" in line]
    assert weights
    assert all("bytes=0-" in line for line in weights)


def test_jobs_go_when_their_result_is_kept(inspected: Kube) -> None:
    done = [name for name, case in CASES.items() if case[3] == "Fits"]
    label = f"app.kubernetes.io/instance in ({','.join(done)})"
    inspected.wait("their Jobs are gone", 60, lambda: not inspected.list("jobs", label))
    inspected.run("delete", "vis", *CASES)


def test_an_inspection_takes_seconds(inspected: Kube) -> None:
    inspected.apply(asleep("again", "plain"))
    inspected.wait("again was inspected", 30, lambda: fits(inspected, "again"))
    inspected.run("delete", "vis", "again")


def test_a_claim_that_waits_for_its_first_consumer_is_left_alone(kube: Kube) -> None:
    late = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "late"},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "late"},
        "spec": {
            "storageClassName": "late",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    service = tiny("late", replicas=0)
    service["spec"]["model"] = {"uri": "pvc://late/model"}
    kube.apply(late, claim, service)
    found = kube.wait("it says so", 30, lambda: fits(kube, "late"))
    assert found["reason"] == "VolumeNotBound"
    assert not kube.list("jobs", "app.kubernetes.io/instance=late")
    kube.run("delete", "vis,pvc", "late")
    kube.run("delete", "storageclass", "late")

"""What a service is made of, and that it goes as it came: without a trace, and without waiting for the operator."""

import pytest

from support.kube import Kube
from support.operator_process import OperatorProcess
from support.services import CHILDREN, LABEL, args, children, ready, reason, service, versions

pytestmark = pytest.mark.control_plane
CLAIM = {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany"}}


def test_the_children_are_there_and_owned(kube: Kube) -> None:
    found = ready(kube, replicas=2, cache=CLAIM, networkPolicy={"allowFrom": [{"podSelector": {}}]})
    made = children(kube)
    assert set(made) == {
        "Deployment",
        "ControllerRevision",
        "Service",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    claim = made.pop("PersistentVolumeClaim")
    assert "ownerReferences" not in claim["metadata"]  # it outlives the service
    for child in made.values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert owner["uid"] == found["metadata"]["uid"]
        assert owner["controller"] is True
    assert "finalizers" not in found["metadata"]
    assert "annotations" not in found["metadata"]
    status = found["status"]
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert status["url"] == f"http://llama.{kube.namespace}.svc:8000/v1"


def test_a_deleted_service_leaves_its_claim_alone(kube: Kube) -> None:
    ready(kube, cache=CLAIM)
    before = kube.get("pvc", "llama-cache")
    kube.run("delete", "vis", "llama")
    kube.wait("the children are gone", 30, lambda: set(children(kube)) == {"PersistentVolumeClaim"})
    kube.wait("the pods are gone", 30, lambda: not kube.list("pods", f"{LABEL}=llama"))
    ready(kube, cache=CLAIM)
    after = kube.get("pvc", "llama-cache")
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    claim = {"name": "cache", "persistentVolumeClaim": {"claimName": "llama-cache"}}
    assert claim in children(kube)["Deployment"]["spec"]["template"]["spec"]["volumes"]


def test_a_claim_goes_with_its_service_when_told(kube: Kube) -> None:
    ready(kube, cache={"claim": {"storage": "1Gi", "retain": False}})
    kube.run("delete", "vis", "llama")
    kube.wait("nothing is left", 30, lambda: not children(kube))


def test_a_service_made_again_at_once_gets_children_of_its_own(kube: Kube) -> None:
    first = ready(kube, maxModelLen=1024)
    kube.run("delete", "vis", "llama", "--wait=false")
    kube.wait("it is gone", 10, lambda: kube.get("vis", "llama") is None)
    second = ready(kube, maxModelLen=2048)
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert "--max-model-len=2048" in args(kube)
    for child in children(kube).values():
        assert child["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]


def test_deleting_does_not_need_the_operator(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube)
    operator.stop()
    kube.run("delete", "vis", "llama", "--timeout=10s")
    kube.wait("the children are gone", 30, lambda: not children(kube))
    operator.start()


def test_what_happened_while_the_operator_was_down_is_caught_up_with(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube)
    operator.stop()
    kube.apply(service("late"))
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
    kube.run("delete", "service", "llama")
    operator.start()
    kube.ready("late", 30)
    kube.ready("llama", 30)
    assert "--max-model-len=1024" in args(kube)
    assert kube.get("service", "llama")


def test_a_restart_of_the_operator_changes_nothing(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube, replicas=2, cache=CLAIM, networkPolicy={"allowFrom": []})
    kube.apply(service("scaled", autoscaling={"maxReplicas": 3}))
    kube.ready("scaled", 30)
    # The autoscaler's controller writes its own status once, and ours says so.
    kube.wait(
        "the autoscaler was looked at", 60, lambda: reason(kube, "ScalingActive", "scaled") == "MetricsApiMissing"
    )
    before = versions(kube)
    operator.restart()
    kube.apply(service("new"))  # when this is ready, the others have been looked at
    kube.ready("new", 30)
    kube.run("delete", "vis", "new")
    kube.wait("it is gone", 30, lambda: not kube.list(CHILDREN, f"{LABEL}=new"))
    assert versions(kube) == before

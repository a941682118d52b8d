"""How pods are replaced and taken away: a suspension, the steps of a rollout, what changes no pod."""

import json
from typing import Any

import pytest

from support.kube import Kube, conditions
from support.services import LABEL, children, ready, reason, replicas, service

pytestmark = pytest.mark.control_plane


def suspend(kube: Kube, *, value: bool) -> None:
    """Suspends the service, or goes on."""
    kube.merge("vis", "llama", {"spec": {"suspend": value}})


def pods(kube: Kube) -> set[str]:
    """The uids of the service's pods."""
    return {pod["metadata"]["uid"] for pod in kube.list("pods", f"{LABEL}=llama")}


def template(kube: Kube) -> Any:
    """The pod template of the Deployment."""
    return children(kube)["Deployment"]["spec"]["template"]


def test_a_suspension_takes_the_pods_and_nothing_else(kube: Kube) -> None:
    claim = {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany"}}
    ready(kube, replicas=2, cache=claim, networkPolicy={"allowFrom": []})
    before = children(kube)
    suspend(kube, value=True)
    kube.wait("the pods are gone", 20, lambda: not pods(kube))
    kube.wait("it says so", 10, lambda: reason(kube) == "Suspended")
    found = conditions(kube.get("vis", "llama") or {})
    assert found["Ready"]["status"] == "False"
    kube.wait("it has come to rest", 10, lambda: "Reconciling" not in conditions(kube.get("vis", "llama") or {}))
    assert "Stalled" not in found
    now = children(kube)
    assert set(now) == set(before)
    assert template(kube) == before["Deployment"]["spec"]["template"]
    for kind in set(before) - {"Deployment"}:
        assert now[kind]["metadata"]["uid"] == before[kind]["metadata"]["uid"]
    suspend(kube, value=False)
    assert kube.ready("llama", 30)["status"]["readyReplicas"] == 2


def test_no_autoscaler_fights_a_suspension(kube: Kube) -> None:
    ready(kube, autoscaling={"minReplicas": 2, "maxReplicas": 5})
    kube.run("scale", "deployment", "llama", "--replicas=4")  # as the autoscaler does
    kube.wait("four serve", 20, lambda: (kube.get("vis", "llama") or {})["status"].get("readyReplicas") == 4)
    suspend(kube, value=True)
    kube.wait("the pods are gone", 20, lambda: not pods(kube))
    # At 0 an HPA would do nothing, but KEDA would: while a service is suspended there is neither.
    assert not kube.get("hpa", "llama")
    assert replicas(kube) == 0
    kube.wait("it says so", 20, lambda: reason(kube) == "Suspended")
    suspend(kube, value=False)
    kube.wait("the autoscaler's least are back", 20, lambda: replicas(kube) == 2)
    kube.ready("llama", 30)
    manager = next(
        entry["manager"]
        for entry in json.loads(kube.run("get", "deployment", "llama", "-o", "json", "--show-managed-fields"))[
            "metadata"
        ]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    )
    assert manager != "vllm-operator"  # or the next apply would take the count back


def test_an_edit_while_suspended_arrives_with_the_pods(kube: Kube) -> None:
    ready(kube)
    suspend(kube, value=True)
    kube.wait("the pods are gone", 20, lambda: not pods(kube))
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024, "suspend": True}})
    kube.wait("the template is new", 10, lambda: "--max-model-len=1024" in json.dumps(template(kube)))
    assert replicas(kube) == 0
    assert not pods(kube)
    suspend(kube, value=False)
    kube.ready("llama", 30)


def test_the_steps_of_a_rollout_change_no_pod(kube: Kube) -> None:
    ready(kube, replicas=2)
    before, kept = pods(kube), template(kube)
    rollout = {"maxSurge": 1}
    kube.merge("vis", "llama", {"spec": {"rollout": rollout}})

    def steps() -> Any:
        return children(kube)["Deployment"]["spec"]["strategy"]["rollingUpdate"]

    kube.wait("the Deployment has them", 10, lambda: steps() == {"maxSurge": 1, "maxUnavailable": 0})
    kube.merge("vis", "llama", {"spec": {"rollout": {"maxUnavailable": 2}}})
    kube.wait("the Deployment has them", 10, lambda: steps() == {"maxSurge": 1, "maxUnavailable": 2})
    kube.ready("llama", 20)
    assert (pods(kube), template(kube)) == (before, kept)
    assert len(kube.list("controllerrevisions")) == 1
    kube.merge("vis", "llama", {"spec": {"rollout": {"drainTimeoutSeconds": 60}}})
    kube.wait("the pods are new", 30, lambda: pods(kube).isdisjoint(before))
    assert template(kube)["spec"]["terminationGracePeriodSeconds"] == 100


def test_a_single_replica_without_a_node_for_its_successor_says_that_it_is_down(kube: Kube) -> None:
    ready(kube)
    kube.merge("vis", "llama", {"spec": {"pod": {"nodeSelector": {"pool": "none"}}}})
    kube.wait("it says so", 20, lambda: "rollout.maxSurge: 1 avoids it" in _message(kube))
    kube.merge("vis", "llama", {"spec": {"pod": {"nodeSelector": {"pool": "none"}}, "rollout": {"maxSurge": 1}}})
    kube.wait("no longer", 10, lambda: "maxSurge" not in _message(kube))


def test_with_a_surge_a_failed_rollout_keeps_the_old_pod_and_heals_when_put_back(kube: Kube) -> None:
    ready(kube, rollout={"maxSurge": 1})
    before = pods(kube)
    kube.merge("vis", "llama", {"spec": {"pod": {"nodeSelector": {"pool": "none"}}}})
    kube.wait("it says so", 20, lambda: reason(kube) == "NoMatchingNode")
    assert "of the previous spec still serve: llama-" in _message(kube)
    kube.run("replace", "-f", "-", stdin=json.dumps(service(rollout={"maxSurge": 1})))
    kube.ready("llama", 30)
    kube.wait("the new pod is gone", 10, lambda: pods(kube) == before)


def _message(kube: Kube) -> str:
    return str(conditions(kube.get("vis", "llama") or {}).get("Ready", {}).get("message", ""))

"""`networkPolicy` where the network enforces it: who is named gets through, and the operator. Nobody else does."""

from collections.abc import Iterator

import pytest

from cluster.node import LocalCluster
from support.firewall import asker, enforced, reached
from support.kube import Kube, Object, conditions
from support.serving import OPERATOR_NAMESPACE

OPERATOR = "deployment/vllm-operator"
OTHERS = "e2e-others"
PODS = "app.kubernetes.io/instance=keyed,app.kubernetes.io/name=vllm"


@pytest.fixture(scope="module")
def others(cluster: LocalCluster, fleet: Kube) -> Iterator[Kube]:
    """Another team's namespace, and pods that ask, in it and beside the service."""
    fleet.apply(asker("friend", team="a"), asker("stranger"))
    others = Kube(fleet.kubeconfig, OTHERS)
    others.run("create", "namespace", OTHERS)
    # With the labels of those who are let in, which anybody can give to a pod.
    others.apply(asker("pretender", team="a", **{"app.kubernetes.io/name": "vllm-operator"}))
    for kube, names in ((fleet, ("friend", "stranger")), (others, ("pretender",))):
        kube.run("wait", "pod", *names, "--for=condition=Ready", "--timeout=60s")
    try:
        with enforced(cluster):
            yield others
    finally:
        fleet.merge("vis", "keyed", {"spec": {"networkPolicy": None}})
        fleet.run("delete", "pod", "friend", "stranger", "--wait=false")
        others.run("delete", "namespace", OTHERS, "--wait=false")


def test_who_is_named_gets_through_and_the_operator(fleet: Kube, others: Kube) -> None:
    operators = Kube(fleet.kubeconfig, OPERATOR_NAMESPACE)
    fleet.ready("keyed")
    (pod,) = fleet.list("pods", PODS)
    askers = {"friend": fleet, "stranger": fleet, "pretender": others, OPERATOR: operators}

    def allow(*peers: Object) -> None:
        fleet.merge("vis", "keyed", {"spec": {"networkPolicy": {"allowFrom": list(peers)} if peers else None}})

    def through() -> set[str]:
        found = {name: reached(kube, name, pod["status"]["podIP"], 8000)[8000] for name, kube in askers.items()}
        return {name for name, said in found.items() if said == "open"}

    assert through() == set(askers)
    allow({"podSelector": {"matchLabels": {"team": "a"}}})
    fleet.wait("it is enforced", 30, lambda: through() == {"friend", OPERATOR})
    # The kubelet's probes come from the node.
    ready = conditions(fleet.get("vis", "keyed") or {})["Ready"]
    assert (ready["status"], ready["reason"]) == ("True", "Available")
    allow()
    fleet.wait("everybody is let in again", 30, lambda: through() == set(askers))
    (same,) = fleet.list("pods", PODS)
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]

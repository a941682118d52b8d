"""Children are as declared: changes of the spec arrive, edits by hand go, and what others add stays."""

import json
from typing import Any

import pytest

from support.child_kinds import example
from support.kube import Kube
from support.services import args, children, ready, replicas, service
from vllm_operator.manifests.kinds import CHILD_KINDS
from vllm_operator.manifests.names import REVISION_LABEL

pytestmark = pytest.mark.control_plane
EVERYTHING: dict[str, Any] = {
    "replicas": 2,
    "cache": {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany"}},
    "networkPolicy": {"allowFrom": []},
}


def declared(child: dict[str, Any]) -> Any:
    """What there is to repair in a child."""
    return {"spec": child.get("spec"), "data": child.get("data"), "labels": child["metadata"]["labels"]}


@pytest.mark.usefixtures("every_api")
def test_edits_and_deletions_by_hand_are_repaired(kube: Kube) -> None:
    """Of every kind: there is a service for each, called like it."""
    examples = {row.kind: example(row) for row in CHILD_KINDS}
    owners = {kind: service(kind.lower(), **one.spec) for kind, one in examples.items()}
    names = {kind: one.name(owners[kind]) for kind, one in examples.items() if one.edit}
    kube.apply(*(owners[kind] for kind in names))

    def found() -> dict[str, dict[str, Any]]:
        now = {kind: kube.get(kind, name) for kind, name in names.items()}
        return {kind: child for kind, child in now.items() if child}

    kube.wait("all are there", 60, lambda: found().keys() == names.keys())
    for kind in ("Deployment", "PodDisruptionBudget"):
        kube.ready(kind.lower(), 60)
    before = found()

    def repaired() -> bool:
        now = found()
        return all(kind in now and declared(now[kind]) == declared(before[kind]) for kind in names)

    for number in range(2):
        for kind, name in names.items():
            kube.merge(kind, name, examples[kind].edits[number])
        kube.wait("all are repaired", 15, repaired)
    gone = [kind for kind in names if kind != "PersistentVolumeClaim"]  # a claim in use waits for its pods
    for kind in gone:
        kube.run("delete", kind, names[kind], "--wait=false")

    def made_again() -> bool:
        now = found()
        return all(kind in now and now[kind]["metadata"]["uid"] != before[kind]["metadata"]["uid"] for kind in gone)

    kube.wait("all are made again", 20, made_again)
    kube.ready("deployment", 30)


def test_what_others_add_stays(kube: Kube) -> None:
    ready(kube)
    kube.run("annotate", "deployment", "llama", "example.com/owner=team-a")
    kube.run("label", "service", "llama", "example.com/team=a")
    ready(kube, maxModelLen=1024)
    made = children(kube)
    assert made["Deployment"]["metadata"]["annotations"]["example.com/owner"] == "team-a"
    assert made["Service"]["metadata"]["labels"]["example.com/team"] == "a"


def test_a_change_rolls_and_putting_it_back_finds_the_old_pods_template(kube: Kube) -> None:
    ready(kube)
    first = children(kube)["Deployment"]["spec"]["template"]
    ready(kube, maxModelLen=1024)
    assert "--max-model-len=1024" in args(kube)
    assert len(kube.list("controllerrevisions")) == 2
    ready(kube)
    assert children(kube)["Deployment"]["spec"]["template"] == first
    assert len(kube.list("controllerrevisions")) == 2
    newest = max(kube.list("controllerrevisions"), key=lambda one: int(one["revision"]))
    assert newest["metadata"]["labels"][REVISION_LABEL] == first["metadata"]["labels"][REVISION_LABEL]


def test_few_old_templates_are_kept(kube: Kube) -> None:
    for length in range(1, 6):
        ready(kube, maxModelLen=length * 1024)
    kube.wait("old ones are gone", 10, lambda: len(kube.list("controllerrevisions")) <= 3)
    assert "--max-model-len=5120" in args(kube)


def test_what_is_no_longer_wanted_goes(kube: Kube) -> None:
    ready(kube, **EVERYTHING)
    kube.run("replace", "-f", "-", stdin=json.dumps(service(replicas=1)))
    kube.wait("it is pruned", 10, lambda: not {"PodDisruptionBudget", "NetworkPolicy"} & set(children(kube)))
    assert "PersistentVolumeClaim" in children(kube)  # weights are not thrown away by an edit
    kube.ready("llama", 30)


def test_a_claim_that_is_not_to_be_kept_goes_when_it_is_no_longer_named(kube: Kube) -> None:
    ready(kube, cache={"claim": {"storage": "1Gi", "retain": False}})
    kube.run("replace", "-f", "-", stdin=json.dumps(service()))
    kube.wait("it is pruned", 20, lambda: "PersistentVolumeClaim" not in children(kube))


def test_the_scale_subresource_scales(kube: Kube) -> None:
    ready(kube)
    kube.run("scale", "vis", "llama", "--replicas=3")
    found = kube.ready("llama", 30)
    assert (replicas(kube), found["status"]["readyReplicas"]) == (3, 3)
    assert "PodDisruptionBudget" in children(kube)
    kube.run("scale", "vis", "llama", "--replicas=0")
    kube.wait("no pods are left", 20, lambda: not kube.list("pods"))
    found = kube.ready("llama", 30)
    condition = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert condition["reason"] == "ScaledToZero"


def test_an_autoscaler_takes_over_and_gives_back_the_live_count(kube: Kube) -> None:
    ready(kube, replicas=3)
    seen: list[int] = []

    def settled(*, autoscaled: bool) -> bool:
        seen.append(replicas(kube))
        return ("HorizontalPodAutoscaler" in children(kube)) == autoscaled

    kube.run("replace", "-f", "-", stdin=json.dumps(service(autoscaling={"minReplicas": 2, "maxReplicas": 5})))
    kube.wait("the autoscaler is there", 10, lambda: settled(autoscaled=True))
    kube.run("scale", "deployment", "llama", "--replicas=4")  # as the autoscaler does
    kube.wait("four serve", 20, lambda: (kube.get("vis", "llama") or {})["status"].get("readyReplicas") == 4)
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
    kube.wait("the change has arrived", 10, lambda: "--max-model-len=1024" in args(kube))
    assert replicas(kube) == 4
    kube.run("replace", "-f", "-", stdin=json.dumps(service(replicas=2)))
    kube.wait("the autoscaler is gone", 10, lambda: settled(autoscaled=False))
    kube.wait("two are wanted", 10, lambda: replicas(kube) == 2)
    assert min(seen) >= 2

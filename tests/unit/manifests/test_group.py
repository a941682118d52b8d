"""Replicas over several nodes: what leader and workers are made of, who reaches them, and that one form is there."""

import copy
from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.api import QUEUE_LABEL
from vllm_operator.api.crd import MAX_NAME_LENGTH, MAX_QUEUED_NAME_LENGTH
from vllm_operator.api.resource import InferenceService
from vllm_operator.manifests import Parts, desired, pod_template
from vllm_operator.manifests.group import leader_worker_set, pods_of_replica
from vllm_operator.manifests.metadata import Manifest
from vllm_operator.manifests.names import TOPOLOGY_ANNOTATION, group_name, service_of_group
from vllm_operator.settings import Settings

OVER_TWO = {"nodesPerReplica": 2, "tensorParallelSize": 8, "pipelineParallelSize": 2}


def children(owner: InferenceService, of: InferenceService | None = None) -> dict[str, Manifest]:
    """The children by kind, with the kept template of a service."""
    made = desired(Parts(owner, pod_template(of or owner, Settings())), ("LeaderWorkerSet",))
    return {child["kind"]: child for child in made}


def templates(owner: InferenceService) -> tuple[Manifest, Manifest]:
    of_ranks = leader_worker_set(owner, pod_template(owner, Settings()))["spec"]["leaderWorkerTemplate"]
    return of_ranks["leaderTemplate"], of_ranks["workerTemplate"]


def test_the_leader_is_the_template_that_is_kept() -> None:
    owner = service(**OVER_TWO)
    template = pod_template(owner, Settings())
    before = copy.deepcopy(template)
    assert leader_worker_set(owner, template)["spec"]["leaderWorkerTemplate"]["leaderTemplate"] == before == template


def test_a_worker_is_the_leader_without_a_server() -> None:
    leader, worker = templates(service(**OVER_TWO))
    own, other = (one["spec"]["containers"][0] for one in (leader, worker))
    assert other["args"] == [*own["args"], "--headless"]
    gone = {"ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"}
    assert own.keys() - other.keys() == gone
    assert {key: own[key] for key in other if key != "args"} == {key: other[key] for key in other if key != "args"}
    assert worker["metadata"] == leader["metadata"]
    assert worker["spec"]["terminationGracePeriodSeconds"] == 30


def test_each_pod_asks_for_its_share_of_the_devices() -> None:
    for template in templates(service(**OVER_TWO)):
        resources = template["spec"]["containers"][0]["resources"]
        assert resources["limits"] == {"nvidia.com/gpu": "8"}
        (shm,) = (one["emptyDir"] for one in template["spec"]["volumes"] if one["name"] == "shm")
        assert shm["sizeLimit"] == "16Gi"


@pytest.mark.parametrize(
    ("rollout", "steps"),
    [
        ({}, {"maxSurge": 0, "maxUnavailable": 1}),
        ({"maxSurge": 1}, {"maxSurge": 1, "maxUnavailable": 0}),
        # As many more as there are, LeaderWorkerSet does not make.
        ({"maxSurge": 2}, {"maxSurge": 1, "maxUnavailable": 0}),
        ({"maxUnavailable": 2}, {"maxSurge": 0, "maxUnavailable": 2}),
    ],
)
def test_groups_roll_as_pods_do(rollout: dict[str, int], steps: dict[str, int]) -> None:
    made = children(service(**OVER_TWO, replicas=2, rollout=rollout))["LeaderWorkerSet"]
    assert made["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"] == steps


@pytest.mark.parametrize(
    ("fields", "more"),
    [({}, 0), ({"suspend": True, "replicas": 3}, 0), ({"autoscaling": {"minReplicas": 1, "maxReplicas": 3}}, 1)],
)
def test_a_rollout_never_waits_for_a_group_that_is_not_made(fields: dict[str, Any], more: int) -> None:
    for unavailable in ({}, {"maxUnavailable": 0}):
        made = children(service(**OVER_TWO, **fields, rollout={"maxSurge": 1, **unavailable}))["LeaderWorkerSet"]
        steps = made["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"]
        assert steps == {"maxSurge": more, "maxUnavailable": 1}


def metadata_of(owner: InferenceService) -> Manifest:
    made: Manifest = leader_worker_set(owner, pod_template(owner, Settings()))["metadata"]
    return made


def test_groups_are_queued_as_a_whole_where_the_set_names_the_queue() -> None:
    queued = service(**OVER_TWO, pod={"labels": {QUEUE_LABEL: "gpus", "team": "a"}})
    assert metadata_of(queued)["labels"][QUEUE_LABEL] == "gpus"
    assert "team" not in metadata_of(queued)["labels"]
    # Kueue 0.17 holds pods for ever that have the label beside.
    assert all(QUEUE_LABEL not in one["metadata"]["labels"] for one in templates(queued))
    assert all(one["metadata"]["labels"]["team"] == "a" for one in templates(queued))
    assert QUEUE_LABEL not in metadata_of(service(**OVER_TWO))["labels"]
    # The one that is unchangeable on a Deployment.
    alone = service(pod={"labels": {QUEUE_LABEL: "gpus"}})
    assert QUEUE_LABEL not in children(alone)["Deployment"]["metadata"]["labels"]


def test_groups_have_a_domain_to_themselves_by_the_template_that_is_kept() -> None:
    placed = service(**OVER_TWO, pod={"exclusiveTopology": "rack"})
    assert metadata_of(placed)["annotations"] == {TOPOLOGY_ANNOTATION: "rack"}
    assert "annotations" not in metadata_of(service(**OVER_TWO))
    # A class that says something else now, or a spec that is withheld, rolls no group.
    elsewhere = service(**OVER_TWO, pod={"exclusiveTopology": "zone"})
    made = leader_worker_set(elsewhere, pod_template(placed, Settings()))
    assert made["metadata"]["annotations"] == {TOPOLOGY_ANNOTATION: "rack"}
    alone = pod_template(service(pod={"exclusiveTopology": "rack"}), Settings())
    assert TOPOLOGY_ANNOTATION not in alone["metadata"]["annotations"], "a replica of one pod has no group"


def test_there_is_one_form_and_the_template_says_which() -> None:
    alone, over_two = service(), service(**OVER_TWO)
    assert {"Deployment", "LeaderWorkerSet"} & children(alone).keys() == {"Deployment"}
    assert {"Deployment", "LeaderWorkerSet"} & children(over_two).keys() == {"LeaderWorkerSet"}
    # What is deployed stays while the spec's own pods are withheld.
    assert {"Deployment", "LeaderWorkerSet"} & children(over_two, alone).keys() == {"Deployment"}
    assert pods_of_replica(pod_template(over_two, Settings())) == 2
    assert pods_of_replica(pod_template(service(nodesPerReplica=1), Settings())) == 1


@pytest.mark.parametrize("provider", ["HPA", "KEDA"])
def test_an_autoscaler_scales_groups(provider: str) -> None:
    owner = service(**OVER_TWO, autoscaling={"maxReplicas": 3, "provider": provider})
    served = ("LeaderWorkerSet", "ScaledObject")
    made = {child["kind"]: child for child in desired(Parts(owner, pod_template(owner, Settings())), served)}
    (scaler,) = (made[kind] for kind in ("HorizontalPodAutoscaler", "ScaledObject") if kind in made)
    target = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "llama-g"}
    assert scaler["spec"]["scaleTargetRef"] == target
    assert "replicas" not in made["LeaderWorkerSet"]["spec"]


def test_requests_go_to_leaders() -> None:
    selector = children(service(**OVER_TWO))["Service"]["spec"]["selector"]
    assert selector["leaderworkerset.sigs.k8s.io/worker-index"] == "0"
    assert "leaderworkerset.sigs.k8s.io/worker-index" not in children(service())["Service"]["spec"]["selector"]


def test_the_ports_of_ranks_are_for_the_service_alone() -> None:
    of_all, of_ranks = children(service(**OVER_TWO))["NetworkPolicy"]["spec"]["ingress"]
    assert of_all == {"ports": [{"port": 8000, "protocol": "TCP"}]}
    (peer,) = of_ranks["from"]
    assert "ports" not in of_ranks
    assert peer["podSelector"]["matchLabels"]["vllm-operator.dev/service-uid"] == "uid"
    assert "NetworkPolicy" not in children(service())


def test_who_may_send_requests_is_still_the_users_to_say() -> None:
    peers = [{"podSelector": {"matchLabels": {"app": "router"}}}]
    of_some, of_ranks = children(service(**OVER_TWO, networkPolicy={"allowFrom": peers}))["NetworkPolicy"]["spec"][
        "ingress"
    ]
    assert of_some["from"] == peers
    assert len(of_ranks["from"]) == 1


def test_the_set_is_not_called_like_the_service_and_its_longest_pod_has_a_valid_name() -> None:
    assert service_of_group(group_name("llama")) == "llama"
    assert service_of_group("llama") == ""
    # A StatefulSet of a group is called like its leader, and its pods have a label of 11 characters more.
    assert len(f"{group_name('m' * MAX_NAME_LENGTH)}-999") + len("-0123456789") <= 63


def test_the_longest_name_in_a_queue_fits_the_label_by_which_kueue_names_a_group() -> None:
    assert len(f"leaderworkerset-{group_name('m' * MAX_QUEUED_NAME_LENGTH)}-99-01234") == 63

"""The status: what people, `kubectl wait` and GitOps tools read off it."""

from dataclasses import replace
from typing import Any

import pytest

from support.accounts import Scene
from support.snapshots import deployment, failing, loading, pod, service, unscheduled
from vllm_operator.api.reasons import Reason
from vllm_operator.snapshots.pod import Asked, PodSnapshot
from vllm_operator.snapshots.pod_event import PodEvent
from vllm_operator.snapshots.workload import ConditionSnapshot
from vllm_operator.status.evidence import Engine
from vllm_operator.status.status import status

NOW = "2026-11-24T12:00:00Z"
LATER = "2026-11-24T13:00:00Z"


def conditions(observed: Scene, before: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    written = status(observed.account(service(**spec), before or {}), NOW)
    return {entry["type"]: entry for entry in written["conditions"]}


def test_a_service_whose_pods_all_serve_is_ready_and_settled() -> None:
    found = conditions(Scene(deployment=deployment(2), pods=[pod("a"), pod("b")]), replicas=2)
    assert found["Ready"]["status"] == "True"
    assert found["Ready"]["message"] == "2 of 2 pods serve"
    assert {"Reconciling", "Stalled"}.isdisjoint(found)


def test_one_pod_short_of_many_is_ready_but_reconciling() -> None:
    found = conditions(Scene(deployment=deployment(2), pods=[pod("a"), loading("b")]), replicas=2)
    assert found["Ready"]["status"] == "True"
    assert found["Reconciling"]["status"] == "True"


def test_a_ready_service_says_why_the_one_that_is_short_does_not_serve() -> None:
    broken = failing("b", "ValueError: no such model")
    found = conditions(Scene(deployment=deployment(2), pods=[pod("a"), broken]), replicas=2)["Ready"]
    assert (found["status"], found["reason"]) == ("True", Reason.AVAILABLE)
    assert found["message"].startswith("1 of 2 pods serve: ")
    assert "no such model" in found["message"]


def test_old_pods_that_still_serve_do_not_make_a_failed_rollout_ready() -> None:
    broken = failing("new", "ValueError: no such model")
    found = conditions(Scene(deployment=deployment(2), pods=[broken], old_pods=[pod("old")]), replicas=2)
    assert found["Ready"]["status"] == "False"
    assert found["Ready"]["reason"] == Reason.CONTAINER_FAILED
    assert "no such model" in found["Ready"]["message"]
    assert "; of the previous spec still serve: old with revision r" in found["Ready"]["message"]
    assert found["Stalled"]["status"] == "True"


def test_a_single_replica_that_rolls_says_that_it_is_down() -> None:
    rolling = (ConditionSnapshot("Progressing", "True", "ReplicaSetUpdated", ""),)
    observed = Scene(deployment=deployment(1, rolling), pods=[loading("new")], replaces=True)
    found = conditions(observed)["Ready"]
    assert found["reason"] == Reason.ROLLING_OUT
    assert "the service is down until that serves: rollout.maxSurge: 1 avoids it" in found["message"]
    claims = ({"storage": "1Gi"}, {"storage": "1Gi", "accessMode": "ReadWriteMany"})
    told = [conditions(observed, cache={"claim": claim})["Ready"]["message"] for claim in claims]
    assert ["with a ReadWriteMany cache, rollout.maxSurge: 1 avoids" in one for one in told] == [True, False]
    assert "down" not in conditions(observed, rollout={"maxSurge": 1})["Ready"]["message"]
    assert "down" not in conditions(observed, replicas=2)["Ready"]["message"]
    observed.replaces = False
    assert conditions(observed)["Ready"]["reason"] == Reason.STARTING


def test_a_rollout_that_a_queue_has_no_room_for_is_told_how_it_ends() -> None:
    rolling = (ConditionSnapshot("Progressing", "True", "ReplicaSetUpdated", ""),)
    words = PodEvent("Pending", "insufficient unused quota", "2026-11-28T00:00:00Z")
    held = loading("new", scheduled=False, reason="SchedulingGated", events=(words,))
    observed = Scene(deployment=deployment(1, rolling), pods=[held], old_pods=[pod("old")], replaces=True)
    found = conditions(observed, rollout={"maxSurge": 1})["Ready"]
    assert found["reason"] == Reason.QUEUED
    assert "the rollout needs room for one more: rollout.maxSurge: 0 ends an old one first" in found["message"]
    assert "maxSurge" not in conditions(observed)["Ready"]["message"]


ATTACHED = PodEvent(
    "FailedAttachVolume",
    'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) old',
    "2026-11-28T00:00:00Z",
)
FOR_ONE = (
    "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod "
    "access mode. preemption: 0/2 nodes are available"
)


@pytest.mark.parametrize(
    "new",
    [loading("new", started=False, sandboxed=False, events=(ATTACHED,)), unscheduled("new", FOR_ONE)],
)
def test_a_rollout_whose_old_pod_holds_the_volume_is_told_how_it_ends(new: PodSnapshot) -> None:
    rolling = (ConditionSnapshot("Progressing", "True", "ReplicaSetUpdated", ""),)
    observed = Scene(deployment=deployment(1, rolling), pods=[new], old_pods=[pod("old")], replaces=True)
    found = conditions(observed, rollout={"maxSurge": 1})["Ready"]
    assert found["reason"] == Reason.VOLUME_IN_USE
    assert "rollout.maxSurge: 0 ends the old one first, or a ReadWriteMany claim" in found["message"]
    assert "or wait" not in found["message"]
    assert "maxSurge" not in conditions(observed)["Ready"]["message"]
    observed.old_pods = ()
    assert "maxSurge" not in conditions(observed, rollout={"maxSurge": 1})["Ready"]["message"]


def test_a_rollout_whose_old_groups_keep_all_domains_is_told_how_it_ends() -> None:
    rolling = (ConditionSnapshot("Progressing", "True", "ReplicaSetUpdated", ""),)
    taken = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    new = replace(unscheduled("new", taken), asked=Asked(topology="rack"))
    observed = Scene(deployment=deployment(2, rolling), pods=[new], old_pods=[pod("old")], replaces=True)
    found = conditions(observed, replicas=2)["Ready"]
    assert found["reason"] == Reason.NO_DOMAIN_FREE
    assert "suspend the service until no pod is left" in found["message"]
    observed.replaces = False
    assert "suspend" not in conditions(observed, replicas=2)["Ready"]["message"]


def test_a_group_that_waits_for_a_lost_node_says_so() -> None:
    """Its leader has ended, or is about to be deleted; its worker is being deleted for ever."""
    lost = loading("llama-g-0-1", group="0", rank=1, node="gpu-2", lost=True, terminating=True)
    echo = "RuntimeError: NCCL error: remote process exited or there was a network error"
    leader = replace(failing("llama-g-0", echo), group="0", node="gpu-1")
    for pods in ([], [leader]):
        observed = Scene(deployment=deployment(1), pods=pods, fallen=lost)
        found = conditions(observed, nodesPerReplica=2, pipelineParallelSize=2)["WorkloadAvailable"]
        assert found["reason"] == Reason.NODE_LOST
        assert "nothing is heard of node gpu-2" in found["message"]
        assert "node.kubernetes.io/out-of-service (rank 1 of group 0 on node gpu-2)" in found["message"]


def test_a_restart_is_no_rollout() -> None:
    done = (ConditionSnapshot("Progressing", "True", "NewReplicaSetAvailable", ""),)
    observed = Scene(deployment=deployment(1, done), pods=[loading("again")], replaces=True)
    found = conditions(observed)["Ready"]
    assert found["reason"] == Reason.STARTING
    assert "down" not in found["message"]


@pytest.mark.parametrize("withheld", [True, False])
def test_a_suspended_service_is_neither_ready_nor_stalled(*, withheld: bool) -> None:
    observed = Scene(deployment=deployment(0), withheld=withheld)
    found = conditions(observed, suspend=True, autoscaling={"maxReplicas": 3})
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", Reason.SUSPENDED)
    assert {"Reconciling", "Stalled"}.isdisjoint(found)


def test_a_pod_without_a_node_is_progress_not_a_stall() -> None:
    waiting = unscheduled("a", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    found = conditions(Scene(deployment=deployment(1), pods=[waiting]))
    assert found["Ready"]["reason"] == Reason.UNSCHEDULABLE
    assert "3 with less free nvidia.com/gpu" in found["Ready"]["message"]
    assert "Stalled" not in found
    assert found["Reconciling"]["status"] == "True"


def test_an_invalid_spec_stalls_and_says_nothing_of_the_workload() -> None:
    found = conditions(Scene(spec_error=(Reason.IMAGE_NOT_ALLOWED, "image x is not allowed")))
    assert found["Ready"]["message"] == "image x is not allowed"
    assert found["Stalled"]["reason"] == Reason.IMAGE_NOT_ALLOWED
    assert "WorkloadAvailable" not in found


def test_a_missing_service_monitor_api_informs_but_does_not_gate_ready() -> None:
    found = conditions(Scene(deployment=deployment(1), pods=[pod("a")], monitoring=False))
    assert found["MonitoringAvailable"]["status"] == "False"
    assert found["Ready"]["status"] == "True"


def test_a_changed_secret_is_told_until_the_pods_are_known_to_have_it() -> None:
    observed = Scene(deployment=deployment(1), pods=[pod("a")], changed=("Secret/hf-token",))
    told = status(observed.account(service(), {}), NOW)
    outdated = told["conditions"][-1]
    assert (outdated["type"], outdated["status"], outdated["reason"]) == ("Outdated", "True", "ConfigurationChanged")
    assert outdated["message"].startswith("Secret hf-token changed after the pods had started")
    assert "rollout.restartedAt" in outdated["message"]
    observed.changed = None
    assert status(observed.account(service(), told), LATER) == told
    observed.changed = ()
    assert "Outdated" not in conditions(observed, told)


def test_the_transition_time_moves_only_when_the_status_flips() -> None:
    serving = Scene(deployment=deployment(1), pods=[pod("a")])
    before = status(serving.account(service(), {}), NOW)
    assert status(serving.account(service(), before), LATER) == before
    gone = status(Scene(deployment=deployment(1), pods=[loading("a")]).account(service(), before), LATER)
    times = {entry["type"]: entry["lastTransitionTime"] for entry in gone["conditions"]}
    assert times["Ready"] == LATER
    assert times["SpecValid"] == NOW


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        ({"tensorParallelSize": 4, "replicas": 2}, 8),
        ({"tensorParallelSize": 4, "pipelineParallelSize": 2}, 8),
        ({"accelerator": {"resource": "cpu"}}, 0),
        ({"replicas": 0}, 0),
        ({"replicas": 2, "suspend": True}, 0),
    ],
)
def test_gpus_are_those_of_all_wanted_replicas(spec: dict[str, Any], gpus: int) -> None:
    assert status(Scene().account(service(**spec), {}), NOW)["gpus"] == gpus


def test_what_vllm_reported_stands_for_the_same_spec_only() -> None:
    before = {"observedGeneration": 3, "vllmVersion": "0.32.0", "engine": {"kvCacheTokens": 1024, "maxModelLen": 512}}
    assert Engine.known(before, 3) == Engine("0.32.0", 1024, 512)
    assert Engine.known(before, 4) == Engine()

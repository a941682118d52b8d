"""Snapshots: what is kept of the bodies that the watches show."""

from typing import Any

from vllm_operator import observed


def managed(fields: dict[str, Any], manager: str = "vllm-operator") -> dict[str, Any]:
    return {"managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]}


def test_losing_a_field_to_somebody_else_changes_the_digest_and_other_edits_do_not() -> None:
    ours: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    digest = observed.owned_fields(managed(ours))
    with_others = managed(ours)
    with_others["managedFields"].append({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {}}})
    assert digest
    assert observed.owned_fields(with_others) == digest
    assert observed.owned_fields(managed({"f:spec": {}})) != digest
    assert observed.owned_fields(managed(ours, manager="kubectl")) == ""


def body(state: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "llama-0", "labels": {"vllm-operator.dev/revision": "r1"}},
        "spec": {"containers": [{"image": "vllm:1"}]},
        "status": {
            "podIP": "10.244.0.7",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{"restartCount": 3, "ready": False, **state}],
            **status,
        },
    }


def test_a_crash_loop_shows_how_the_last_container_ended() -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": "Traceback\nValueError: no such model\n\n"}
    pod = observed.pod(body({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}))
    assert (pod.reason, pod.message, pod.restarts) == ("Error", "exit code 1", 3)
    assert pod.log.endswith("ValueError: no such model\n\n")


def test_a_waiting_container_shows_the_kubelets_sentence() -> None:
    pod = observed.pod(body({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}))
    assert (pod.reason, pod.message, pod.started) == ("ErrImagePull", "not found", False)


def test_a_pod_without_a_node_shows_the_schedulers_sentence() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    pod = observed.pod(body({}, conditions=[scheduled]))
    assert (pod.reason, pod.message, pod.scheduled) == ("Unschedulable", "0/1 nodes", False)


def test_a_container_that_starts_is_no_trouble() -> None:
    assert observed.pod(body({"state": {"waiting": {"reason": "ContainerCreating"}}})).reason == ""
    assert observed.pod(body({"state": {"running": {}}})).started

"""What is kept of a pod's body: little while it serves, and what explains it while it does not."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.api.accelerator import WHOLE
from vllm_operator.assess.limits import gpus_of_pod
from vllm_operator.manifests import pod_template
from vllm_operator.settings import Settings
from vllm_operator.snapshots.pod import Asked, Ending
from vllm_operator.snapshots.pod import pod as pod_of


def body(state: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "llama-0", "labels": {"vllm-operator.dev/revision": "r1"}},
        "spec": {"containers": [{"name": "vllm", "image": "vllm:1"}]},
        "status": {
            "podIP": "10.244.0.7",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{"name": "vllm", "restartCount": 3, "ready": False, **state}],
            **status,
        },
    }


def test_a_crash_loop_shows_how_the_last_container_ended() -> None:
    times = {"startedAt": "2026-11-24T12:00:10Z", "finishedAt": "2026-11-24T12:00:22Z"}
    ended = {"exitCode": 1, "reason": "Error", "message": "Traceback\nValueError: no such model\n\n", **times}
    pod = pod_of(body({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}))
    assert (pod.reason, pod.message, pod.restarts) == ("", "", 3)
    log = "Traceback\nValueError: no such model"
    assert pod.ending == Ending("Error", 1, 12, served=False, log=log, replaced=True, started="2026-11-24T12:00:10Z")


def test_a_waiting_container_shows_the_kubelets_sentence() -> None:
    pod = pod_of(body({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}))
    assert (pod.reason, pod.message, pod.started) == ("ErrImagePull", "not found", False)


def test_a_pod_without_a_node_shows_the_schedulers_sentence() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    pod = pod_of(body({}, conditions=[scheduled]))
    assert (pod.reason, pod.message, pod.scheduled) == ("Unschedulable", "0/1 nodes", False)


def test_a_container_that_starts_is_no_trouble() -> None:
    assert pod_of(body({"state": {"waiting": {"reason": "ContainerCreating"}}})).reason == ""
    assert pod_of(body({"state": {"running": {}}})).started


def readiness(status: str, since: str) -> list[dict[str, Any]]:
    scheduled = {"type": "PodScheduled", "status": "True"}
    return [scheduled, {"type": "Ready", "status": status, "lastTransitionTime": since}]


def test_a_pod_was_ready_if_its_readiness_changed_after_it_was_first_reported() -> None:
    start, moment, later = "2026-11-24T12:00:00Z", "2026-11-24T12:00:01Z", "2026-11-24T12:05:00Z"
    never = pod_of(body({}, startTime=start, conditions=readiness("False", moment)))
    once = pod_of(body({}, startTime=start, conditions=readiness("False", later)))
    now = pod_of(body({}, startTime=start, conditions=readiness("True", later)))
    assert (never.was_ready, once.was_ready, now.was_ready) == (False, True, True)


def test_a_pod_that_serves_keeps_nothing_of_how_it_once_failed() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "x" * 2048}}
    status = {"conditions": readiness("True", "2026-11-24T12:05:00Z")}
    pod = pod_of(body({"state": {"running": {}}, "lastState": ended, "ready": True}, **status))
    assert pod.ready
    assert (pod.ending, pod.reason, pod.message, pod.asked) == (None, "", "", Asked())


def test_a_pod_that_serves_keeps_how_many_gpus_it_holds() -> None:
    manifest = body({"state": {"running": {}}}, conditions=readiness("True", "2026-11-24T12:05:00Z"))
    limits = {"nvidia.com/gpu": "4", "memory": "64Gi"}
    manifest["spec"] = {"containers": [{"name": "vllm", "resources": {"limits": limits}}], "nodeName": "gpu-1"}
    assert pod_of(manifest).asked == Asked("nvidia.com/gpu", 4)


def test_what_a_pod_without_service_asks_for_is_kept() -> None:
    manifest = body({})
    manifest["spec"] = {
        "nodeSelector": {"nvidia.com/gpu.product": "H100"},
        "containers": [
            {
                "name": "vllm",
                "image": "vllm:1",
                "resources": {"limits": {"nvidia.com/gpu": "4", "memory": "64Gi"}},
                "startupProbe": {"failureThreshold": 360, "periodSeconds": 5},
            }
        ],
        "volumes": [
            {"name": "chat", "configMap": {"name": "chat"}},
            {"name": "models", "persistentVolumeClaim": {"claimName": "weights"}},
        ],
    }
    assert pod_of(manifest).asked == Asked(
        resource="nvidia.com/gpu",
        count=4,
        selector="nvidia.com/gpu.product=H100",
        memory_limit="64Gi",
        startup_seconds=1800,
        mounts=(("chat", "ConfigMap chat"), ("models", "PersistentVolumeClaim weights")),
    )


def test_a_container_that_somebody_put_beside_ours_is_not_taken_for_it() -> None:
    manifest = body({"state": {"running": {}}})
    manifest["spec"]["containers"].insert(0, {"name": "istio-proxy", "image": "mesh:1"})
    manifest["status"]["containerStatuses"].insert(0, {"name": "istio-proxy", "restartCount": 9, "state": {}})
    pod = pod_of(manifest)
    assert (pod.image, pod.restarts, pod.started) == ("vllm:1", 3, True)


@pytest.mark.parametrize(
    ("quantity", "count"),
    [
        *[("8", 8), (8, 8), ("1k", 1000), ("1e1", 10), ("1Ki", 1024), ("2500m", 2), ("0", 0), ("1E", 1 << 20)],
        *[("", 0), ("-1", 0), ("x", 0), ("9" * 5000, 0), (None, 0), ([], 0), ("1e99", 1 << 20), ("99E999", 0)],
    ],
)
def test_devices_are_counted_in_any_form_of_a_quantity(quantity: Any, count: int) -> None:
    odd = body({})
    odd["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": quantity}}
    assert pod_of(odd).asked.count == count


@pytest.mark.parametrize(
    "accelerator",
    [
        {},
        {"count": 6},
        *({"resource": name} for name in ("amd.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb", "cpu")),
        {"deviceClass": "gpu.example.com"},
        *(
            {**some, "rdma": {"resource": "rdma/hca", "count": 8}}
            for some in ({}, {"resource": "cpu"}, {"deviceClass": "gpu.example.com"})
        ),
    ],
)
def test_a_pod_holds_the_gpus_that_its_spec_asks_for(accelerator: dict[str, Any]) -> None:
    whole = accelerator.get("resource", "nvidia.com/gpu") in WHOLE and "count" not in accelerator
    owner = service(accelerator=accelerator, **({"tensorParallelSize": 2} if whole else {}))
    rendered = pod_template(owner, Settings.model_validate({"allowedRdmaResources": ["rdma/*"]}))
    serves = {"conditions": readiness("True", "2026-11-24T12:05:00Z")}
    for status in ({}, serves):
        manifest = body({"state": {"running": {}}}, **status)
        manifest["spec"] = rendered["spec"]
        manifest["metadata"]["annotations"] = rendered["metadata"]["annotations"]
        assert pod_of(manifest).asked.count == gpus_of_pod(owner.spec)


@pytest.mark.parametrize("count", ["null", "-1", '"x"', "1e99", "[]", "[" * 5000])
def test_what_is_no_request_of_devices_ends_nothing(count: str) -> None:
    odd = body({})
    text = f'{{"deviceClassName": "a", "count": {count}}}'
    odd["metadata"]["annotations"] = {"vllm-operator.dev/device-request": text}
    assert pod_of(odd).asked.count in (0, 1 << 20)


def test_lines_of_a_log_are_cut_before_anybody_looks_for_something_in_them() -> None:
    log = "http://" * 9000 + "\n\n" + "x\n" * 900
    found = pod_of(body({"state": {"terminated": {"exitCode": 1, "message": log}}})).ending
    assert found is not None
    lines = found.log.split("\n")
    assert (len(lines), max(map(len, lines))) == (400, 1)


def test_a_pod_of_a_group_that_waits_shows_its_domain_and_its_place_in_a_queue() -> None:
    manifest = body({}, conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}])
    manifest["metadata"]["labels"]["kueue.x-k8s.io/pod-group-name"] = "leaderworkerset-llama-g-0-5f0c2"
    manifest["metadata"]["annotations"] = {"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack"}
    asked = pod_of(manifest).asked
    assert (asked.topology, asked.queued_as) == ("rack", "leaderworkerset-llama-g-0-5f0c2")

"""What is said of a pod that does not serve for something that is not vLLM's."""

from dataclasses import replace
from typing import Any

import pytest

from support.pod_status import CREATED, SERVED, STARTED, failed, found, pod
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import progress, workload

RUNS = {"state": {"running": {"startedAt": STARTED}}}
READY = {"name": "vllm", "ready": True, "restartCount": 0, **RUNS}
LOADS = {**READY, "ready": False}
WAITS = {"name": "vllm", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
ENDED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "INFO starts\nlevel=error no xds\n"}}
BACK_OFF = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}, "lastState": ENDED}
CRASHES = [BACK_OFF, {"state": ENDED}, {**RUNS, "lastState": ENDED}]
PULL = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "x: not found"}}}
CONFIG = {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no such key"}}}


def beside(ours: dict[str, Any], *others: dict[str, Any], changed: str = SERVED, **status: Any) -> Any:
    """A pod with our container and others, as its status shows them."""
    named = [{"name": "istio-proxy", "image": "istio:1", "ready": False, **one} for one in others]
    return pod(containerStatuses=[*named, ours], ready_changed=changed, **status)


def first(*inits: dict[str, Any], ours: dict[str, Any] = WAITS) -> Any:
    """The same with containers before ours."""
    named = [{"name": "istio-init", "image": "istio:1", "ready": False, **one} for one in inits]
    return pod(containerStatuses=[ours], initContainerStatuses=named)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        *((state, "istio-proxy: it ended with exit code 1; kubectl logs llama-0 -c istio-proxy") for state in CRASHES),
        (RUNS, "istio-proxy: it runs, and is not ready; kubectl logs llama-0 -c istio-proxy shows more"),
        (PULL, "istio-proxy: its image istio:1 cannot be pulled: it does not exist"),
        (CONFIG, "istio-proxy: it does not start: CreateContainerConfigError (no such key)"),
    ],
)
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_sidecar_that_fails_is_not_taken_for_a_silent_server(state: dict[str, Any], told: str, restarts: int) -> None:
    ours = {**READY, "restartCount": restarts, **({"lastState": ENDED} if restarts else {})}
    serves = beside(ours, state)
    assert not serves.silent
    assert not serves.lost
    reason, message = found(serves)
    assert (reason, told in message) == (Reason.SIDECAR_FAILED, True), message


@pytest.mark.parametrize("state", CRASHES)
def test_a_container_before_ours_that_fails_is_not_taken_for_one_that_takes_time(state: dict[str, Any]) -> None:
    reason, message = found(first(state))
    assert reason == Reason.SIDECAR_FAILED
    assert "container istio-init (before vLLM): it ended with exit code 1 (level=error no xds); kubectl" in message


def test_a_sidecar_that_fails_while_ours_loads_is_told() -> None:
    assert found(beside(LOADS, BACK_OFF, changed=CREATED))[0] == Reason.SIDECAR_FAILED
    assert found(first(BACK_OFF, ours=LOADS))[0] == Reason.SIDECAR_FAILED


def test_what_only_takes_time_is_no_trouble() -> None:
    runs = first({**RUNS})
    ended = first({"ready": True, "state": {"terminated": {"exitCode": 0}}}, ours=LOADS)
    loads = [beside(LOADS, one, changed=CREATED) for one in (RUNS, {**RUNS, "ready": True})]
    for waits in (runs, ended, *loads):
        assert workload(None, [waits]) is None


def test_vllms_own_end_is_told_first() -> None:
    own = failed("ValueError: x").ending
    assert own
    ours = {"name": "vllm", "ready": False, "restartCount": 1, **BACK_OFF}
    assert found(beside(ours, BACK_OFF, changed=CREATED))[0] == Reason.CONTAINER_FAILED


@pytest.mark.parametrize("others", [[], [{"ready": True, **RUNS}]])
def test_a_node_that_is_lost_is_named(others: list[dict[str, Any]]) -> None:
    """Its pods are shown as they were, but for the pod's readiness, which the API server takes from it."""
    lost = beside(READY, *others)
    assert (lost.silent, lost.lost) == (False, True)
    reason, message = found(lost)
    assert (reason, "nothing is heard of node gpu-1, where pod llama-0 served" in message) == (Reason.NODE_LOST, True)


def test_a_rank_of_a_lost_node_has_no_successor_by_itself() -> None:
    message = found(replace(beside(READY), group="1"))[1]
    assert ("another pod" in message, "node.kubernetes.io/out-of-service" in message) == (False, True)


def test_a_server_that_is_silent_is_still_told_so() -> None:
    assert found(beside(LOADS))[0] == Reason.NOT_ANSWERING
    assert found(beside(LOADS, {"ready": True, **RUNS}))[0] == Reason.NOT_ANSWERING


def test_a_readiness_gate_is_no_lost_node() -> None:
    scheduled = {"type": "PodScheduled", "status": "True"}
    closed = {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": CREATED}
    gated = beside(READY, conditions=[scheduled, closed])
    assert workload(None, [gated]) is None
    assert progress([gated]) == "pod llama-0 waits for its readiness gates: see kubectl describe pod"

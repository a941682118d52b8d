"""What `kubectl vllm status` and `logs` make of what they read. With a cluster: tests/control_plane."""

import json
from typing import Any

import pytest

from gitops import condition, recorded
from kube import Object
from vllm_operator.cli.fleet.explanation import Log, explanation, telling
from vllm_operator.cli.fleet.rows import Requests, as_json, as_text, counted, rows
from vllm_operator.cli.fleet.table import columns

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a} b"} 3.0
vllm:num_requests_running{engine="1",model_name="a} b"} 4.0
vllm:num_requests_waiting{engine="0",model_name="a} b"} 5.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a} b",reason="capacity"} 100.0
"""


SINCE = "2026-11-24T12:00:00Z"


def service(name: str, spec: Object | None = None, **status: Any) -> Object:
    item = recorded([condition("Ready", "True", "Available", "fine")])
    item["metadata"] |= {"name": name, "namespace": "team-a"}
    item["spec"] |= spec or {}
    item["status"] |= status
    return item


def pod(
    name: str, of: str = "chat", *, node: str = "n1", ready: bool = True, gpus: int = 4, phase: str = "Running"
) -> Object:
    container = {
        "name": "vllm",
        "image": "vllm",
        "resources": {"limits": {"nvidia.com/gpu": str(gpus), "memory": "1Gi"}},
    }
    ended = {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-11-24T12:00:00Z",
        "finishedAt": "2026-11-24T12:00:30Z",
    }
    state = {"running": {}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "labels": {"app.kubernetes.io/instance": of},
            "creationTimestamp": f"2026-11-24T12:00:0{name[-1]}Z",
        },
        "spec": {"containers": [container], **({"nodeName": node} if node else {})},
        "status": {
            "phase": phase,
            "startTime": SINCE,
            "conditions": [
                {"type": "PodScheduled", "status": "True" if node else "False"},
                {"type": "Ready", "status": str(ready), "lastTransitionTime": SINCE},
            ],
            "containerStatuses": [
                {"name": "vllm", "restartCount": 0, "state": state, "lastState": {} if ready else {"terminated": ended}}
            ],
        },
    }


def test_requests_of_all_engines_are_counted_once() -> None:
    assert counted(METRICS) == Requests(7, 5)
    assert counted("") == Requests(0, 0)


def test_a_row_sums_over_the_pods() -> None:
    pods = [
        pod("a1"),
        pod("a2"),
        pod("a3", node="", ready=False, phase="Pending"),
        pod("a4", ready=False, phase="Failed"),
    ]
    pods.append(pod("b1", of="other"))
    chat = service("chat", {"replicas": 3}, readyReplicas=2, engine={"kvCacheTokens": 1000})
    (row,) = rows([chat], pods, {("team-a", "a1"): Requests(7, 5), ("team-a", "b1"): Requests(100, 100)})
    assert (row.ready, row.wanted, row.gpus, row.gpus_waiting) == (2, 3, 8, 4)
    assert (row.kv_cache_tokens, row.requests, row.pods_unasked) == (2000, Requests(7, 5), 1)
    (line,) = as_text([row]).splitlines()[1:]
    assert line.split() == ["team-a", "chat", "hf://org/name", "2/3", "8", "4", "2,000", "7+", "5+", "Available"]
    assert json.loads(as_json([row]))["services"][0]["requests"] == {"running": 7, "waiting": 5}


@pytest.mark.parametrize(
    ("spec", "wanted"), [({}, 1), ({"replicas": 0}, 0), ({"autoscaling": {}}, 5), ({"replicas": 3, "suspend": True}, 0)]
)
def test_wanted_pods(spec: Object, wanted: int) -> None:
    assert rows([service("chat", spec, replicas=4, wantedReplicas=5)], [], {})[0].wanted == wanted


def test_what_is_not_known_is_a_dash() -> None:
    new = service("new", conditions=[], observedGeneration=-1)
    gone = service("gone")
    gone["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    first, second = rows([new, gone], [], {})
    assert (first.name, first.reason) == ("gone", "BeingDeleted")
    assert (second.name, second.reason) == ("new", "NotSeenByOperator")
    assert as_text([second]).splitlines()[1].split()[3:] == ["0/1", "0", "0", "-", "-", "-", "NotSeenByOperator"]
    assert as_text([]) == "no InferenceServices found"
    assert "0 of 2 services have all their pods; GPUs: 0 used, 0 waiting" in as_text([first, second])


def test_columns_are_aligned() -> None:
    cells = [["A", "N"], ["longer", "1"], ["b", "100"]]
    assert columns(cells, right={1}) == ["A          N", "longer     1", "b        100"]
    assert columns([]) == []


def explained(log: str, *, ready: bool = False, **changes: Any) -> str:
    item = service("chat", **changes)
    return explanation(item, [pod("a1", ready=ready)], (Log("a1", previous=not ready), log))


def test_the_log_of_a_failed_container_tells_most() -> None:
    assert telling([pod("a1"), pod("a3"), pod("a2", ready=False)]) == Log("a2", previous=True)
    assert telling([pod("a1"), pod("a3"), pod("a2")]) == Log("a3", previous=False)
    assert telling([]) is None


def test_before_it_served_the_log_is_shown_without_credentials() -> None:
    text = explained("INFO 11-24 12:00:00 [a.py:1] token=hf_abcdefghijklmnop\nValueError: the head is missing\n")
    assert "not ready" not in text.splitlines()[0]
    assert "  token=***" in text
    assert "  ValueError: the head is missing" in text
    assert "ContainerFailed: vLLM in pod a1 does not start" in text
    assert "kubectl logs a1 --previous" in text


def test_once_it_has_served_nothing_is_shown_that_could_be_a_prompt() -> None:
    log = """\
(APIServer pid=1) INFO 11-24 12:00:00 [logger.py:39] Received request cmpl-1: prompt: 'my secret diagnosis'
(APIServer pid=1) INFO 11-24 12:00:01 [loggers.py:271] Engine 000: Running: 1 reqs, Waiting: 0 reqs
ValueError: cannot tokenize 'my secret diagnosis'
"""
    text = explained(log, ready=True)
    assert "secret" not in text
    assert "  exceptions: ValueError" in text
    assert "  Engine 000: Running: 1 reqs, Waiting: 0 reqs" in text
    assert "nothing but what could hold users' requests" in explained("prompt: 'my secret'", ready=True)


def test_conditions_are_said_in_words_and_each_message_once() -> None:
    message = "0 of 1 pods serve: there is no such model"
    found = [condition(kind, "False", "ModelNotFound", message) for kind in ("Ready", "WorkloadAvailable")]
    text = explained("", conditions=[*found, condition("Fits", "Unknown", "NotInspected", "it is not there")])
    assert text.startswith(f"team-a/chat, hf://org/name: not ready (ModelNotFound)\n  {message}\n")
    assert text.count(message) == 1
    assert "  enough of its pods serve: no (ModelNotFound)" in text
    assert "  the model fits the GPUs: not known (NotInspected)\n    it is not there" in text


def test_an_operator_that_does_not_run_is_named() -> None:
    assert "does the operator run?" in explained("", conditions=[], observedGeneration=-1)
    assert "the operator has not looked at the newest one" in explained("", observedGeneration=0)

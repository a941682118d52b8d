"""The table of `kubectl vllm status`. With a cluster: tests/control_plane."""

import json

import pytest

from support.kube import Object
from unit.cli.fleet.objects import pod, service
from vllm_operator.api.resource import Key
from vllm_operator.cli.fleet.rows import Requests, as_json, as_text, counted, rows, serving

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a} b"} 3.0
vllm:num_requests_running{engine="1",model_name="a} b"} 4.0
vllm:num_requests_waiting{engine="0",model_name="a} b"} 5.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a} b",reason="capacity"} 100.0
"""


def test_requests_of_all_engines_are_counted_once() -> None:
    assert counted(METRICS) == Requests(7, 5)
    assert counted("") == Requests(0, 0)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400", "-3", "1e300", "x", "", "0x10"])
def test_what_is_no_count_of_requests_does_not_count(value: str) -> None:
    line = f'vllm:num_requests_running{{engine="2"}} {value}\n'
    assert counted(METRICS + line) == Requests(7, 5)


def test_a_row_sums_over_the_pods() -> None:
    pods = [
        pod("a1"),
        pod("a2"),
        pod("a3", node="", ready=False, phase="Pending"),
        pod("a4", ready=False, phase="Failed"),
    ]
    pods.append(pod("b1", of="other"))
    chat = service("chat", {"replicas": 3}, readyReplicas=2, engine={"kvCacheTokens": 1000})
    (row,) = rows([chat], pods, {Key("team-a", "a1"): Requests(7, 5), Key("team-a", "b1"): Requests(100, 100)})
    assert (row.ready, row.wanted, row.gpus, row.gpus_waiting) == (2, 3, 8, 4)
    assert (row.kv_cache_tokens, row.requests, row.pods_unasked) == (2000, Requests(7, 5), 1)
    (line,) = as_text([row]).splitlines()[1:]
    assert line.split() == ["team-a", "chat", "hf://org/name", "2/3", "8", "4", "2,000", "7+", "5+", "Available"]
    assert json.loads(as_json([row]))["services"][0]["requests"] == {"running": 7, "waiting": 5}


@pytest.mark.parametrize("metadata", [{"labels": {}}, {"labels": None}, {}])
def test_a_pod_of_no_service_is_left_out(metadata: Object) -> None:
    """Whoever may make pods may label them, and batches have pods too."""
    stray = pod("stray")
    stray["metadata"] = {"name": "stray", "namespace": "team-a", **metadata}
    (row,) = rows([service("chat")], [pod("a1"), stray], {})
    assert row.gpus == 4


@pytest.mark.parametrize(
    ("spec", "wanted"), [({}, 1), ({"replicas": 0}, 0), ({"autoscaling": {}}, 0), ({"replicas": 3, "suspend": True}, 0)]
)
def test_as_many_pods_are_wanted_as_the_operator_says_and_until_then_as_the_spec_says(
    spec: Object, wanted: int
) -> None:
    told, untold = rows([service("chat", spec, wantedReplicas=5), service("new", spec)], [], {})
    assert (told.wanted, untold.wanted) == (5, wanted)


def test_the_gpus_of_any_kind_count() -> None:
    for resource in ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-3g.40gb"):
        one = pod("a1")
        one["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "4", resource: "2"}
        assert rows([service("chat")], [one], {})[0].gpus == 2, resource


@pytest.mark.parametrize(
    ("label", "values"),
    [("leaderworkerset.sigs.k8s.io/worker-index", ("0", "1", "2")), ("ray.io/node-type", ("worker", "head", "head"))],
)
def test_of_a_group_the_pod_with_the_server_is_asked(label: str, values: tuple[str, ...]) -> None:
    pods = [pod(f"a{number}") for number, _ in enumerate(values)]
    for one, value in zip(pods, values, strict=True):
        one["metadata"]["labels"][label] = value
    (leader,) = serving(pods)
    (row,) = rows([service("chat")], pods, {leader: Requests(3, 0)})
    assert (leader.name, row.requests, row.pods_unasked, row.gpus) == ("a0", Requests(3, 0), 0, 12)


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


def test_it_is_told_where_there_are_too_many_pods_to_ask() -> None:
    fleet, words = rows([service("chat", {})], [pod("a1")], {}), "requests are not shown, as more than 500 pods"
    assert words in as_text(fleet, asked=False)
    assert words not in as_text(fleet)

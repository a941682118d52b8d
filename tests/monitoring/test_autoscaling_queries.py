"""What KEDA asks Prometheus, answered by promtool: above all, when a service may lose its last pod."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.tools import tool
from support.autoscalers import ALL_TARGETS, CRON, queries
from support.chart import run
from support.promql import known, names

pytestmark = pytest.mark.chart

QUERIES = queries(minReplicas=0, targets=ALL_TARGETS, triggers=[CRON])
LABELS = 'namespace="team-a",inferenceservice="llama"'
POD = f'{{{LABELS},pod="llama-1"}}'
ANSWERS = {f"up{POD}": "1"}
WITHOUT_PODS = {f"vllm_operator_service_replicas_wanted{{{LABELS}}}": "0"}
KUBE_STATE = 'kube_deployment_spec_replicas{namespace="team-a",deployment="llama"}'


def test_they_name_only_metrics_that_exist() -> None:
    assert set().union(*(names(query) for query in QUERIES.values())) - known() == {"kube_deployment_spec_replicas"}


def check(query: str, series: dict[str, str], expected: list[float], scratch: Path) -> None:
    """Each series has its value, or its values of one a minute, for the last five minutes."""
    shown = [
        {"series": name, "values": value if set(value) & {" ", "x"} else f"{value}x5"} for name, value in series.items()
    ]
    samples = [{"labels": "{}", "value": value} for value in expected]
    case: dict[str, Any] = {"expr": query, "eval_time": "5m", "exp_samples": samples}
    test = {"interval": "1m", "input_series": shown, "promql_expr_test": [case]}
    file = scratch / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    run(tool("promtool"), "test", "rules", file).ok()


# An empty result is an error to KEDA's trigger, and then it takes nothing away.
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (ANSWERS, [0]),
        ({**ANSWERS, f"vllm:num_requests_running{POD}": "2", f"vllm:num_requests_waiting{POD}": "1"}, [3]),
        ({**ANSWERS, f"vllm:num_requests_running{POD}": "0", f"vllm:num_requests_waiting{POD}": "0"}, [0]),
        ({f"up{POD}": "0"}, [1]),
        ({f"up{POD}": "0", **WITHOUT_PODS}, [1]),
        ({}, []),
        (WITHOUT_PODS, [0]),
        ({KUBE_STATE: "0"}, [0]),
        ({f"vllm_operator_service_replicas_wanted{{{LABELS}}}": "2"}, []),
        ({**WITHOUT_PODS, KUBE_STATE: "1"}, []),
        ({'up{namespace="team-a",inferenceservice="other"}': "1"}, []),
    ],
    ids=["idle", "busy", "no-requests", "loading", "drains", "lost", "zero", "zero-2", "lost-2", "lost-3", "other"],
)
def test_whether_a_service_is_busy(series: dict[str, str], expected: list[float], tmp_path: Path) -> None:
    check(QUERIES["busy"], series, expected, tmp_path)


def test_a_request_that_has_just_ended_counts(tmp_path: Path) -> None:
    ended = {**ANSWERS, f'vllm:request_success_total{{{LABELS},pod="llama-1"}}': "0 0 0 0 0 5"}
    check(f"({QUERIES['busy']}) > bool 0", ended, [1], tmp_path)


def test_the_gauges_are_added_up_over_the_pods(tmp_path: Path) -> None:
    two = {f'vllm:kv_cache_usage_perc{{{LABELS},pod="llama-{number}"}}': "0.5" for number in range(2)}
    check(QUERIES["kv-cache"], two, [1], tmp_path)


WANTED = f"vllm_operator_service_replicas_wanted{{{LABELS}}}"
ALL_DOWN = {f'up{{{LABELS},pod="llama-{number}"}}': "0" for number in range(2)}


@pytest.mark.parametrize("target", ["waiting-requests", "running-requests", "kv-cache", "time-to-first-token"])
@pytest.mark.parametrize(
    ("least", "series", "expected"),
    [
        (1, {f"up{POD}": "0", WANTED: "1"}, []),
        (1, {f"up{POD}": "0"}, []),
        (1, {WANTED: "3"}, []),
        (1, {KUBE_STATE: "3"}, []),
        (1, WITHOUT_PODS, [0]),
        (1, {}, [0]),
        (0, {**ALL_DOWN, WANTED: "2"}, []),
        (0, ALL_DOWN, []),
        (0, {WANTED: "2"}, []),
        (0, {f"up{POD}": "0", WANTED: "1"}, [0]),
        (0, WITHOUT_PODS, [0]),
        (0, {}, [0]),
    ],
    ids=[
        "down", "down-2", "lost", "lost-2", "none", "unknown",
        "0-down", "0-down-2", "0-lost", "0-loading", "0-none", "0-unknown",
    ],
)  # fmt: skip
def test_pods_that_are_not_seen_are_not_idle(
    target: str, least: int, series: dict[str, str], expected: list[float], tmp_path: Path
) -> None:
    """Nothing, which is an error to the trigger, wherever 0 would take pods away."""
    query = queries(minReplicas=least, targets=ALL_TARGETS, triggers=[CRON])[target]
    check(query, series, expected, tmp_path)


def test_a_pod_that_answered_nothing_has_no_time_to_first_token(tmp_path: Path) -> None:
    idle = {f'vllm:time_to_first_token_seconds_bucket{{{LABELS},pod="llama-1",le="{le}"}}': "7" for le in ("1", "+Inf")}
    seen = {f"vllm:num_requests_running{POD}": "3", f"up{POD}": "1", WANTED: "2"}
    check(QUERIES["time-to-first-token"], {**idle, **seen}, [0], tmp_path)
    busy = {name.replace("llama-1", "llama-2"): "0+60x5" for name in idle}
    check(f"({QUERIES['time-to-first-token']}) > bool 0.9", {**idle, **busy}, [1], tmp_path)

"""The real Prometheus, made by the real Prometheus Operator, and what this project gives it: monitors, rules, queries.

Their API comes when the operator and its services are there already.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.end_to_end import chat
from support.kube import Kube, conditions
from support.metrics_stack.install import MetricsStack
from support.promql import names
from support.serving import OPERATOR_NAMESPACE
from support.shipped_queries import ALERTS, QUERIES, as_run
from support.tiny_batch import batch, files, node

KEY = ("e2e", "tiny")
SELECTOR = f'namespace="{KEY[0]}",inferenceservice="{KEY[1]}"'
# Metrics without a series until something has gone wrong, and what is only there with an autoscaler.
UNSEEN = {"vllm_operator_reconcile_errors_total", "vllm_operator_service_replicas_max"}


@pytest.fixture(scope="module")
def asked(fleet: Kube, monitoring: MetricsStack) -> MetricsStack:
    """Prometheus after it has read twice what the pods counted of some requests."""

    def tokens() -> float:
        found = monitoring.query(f"sum(increase(vllm:generation_tokens_total{{{SELECTOR}}}[1m]))")
        return float(found[0]["value"][1]) if found else 0.0

    def counted() -> bool:
        assert chat(fleet.url("tiny"), "tiny", stream=True)[0] == 200
        assert chat(fleet.url("tiny"), "tiny")[0] == 200
        return tokens() > 0

    fleet.wait("Prometheus reads the pods", 120, counted)
    return monitoring


def test_monitors_are_made_as_soon_as_their_api_is_there(fleet: Kube, monitoring: MetricsStack) -> None:
    found = conditions(fleet.get("vis", "tiny") or {})["MonitoringAvailable"]
    assert found["status"] == "True", found
    assert fleet.get("servicemonitor", "tiny")


def test_prometheus_reads_every_pod_by_its_services_name(fleet: Kube, asked: MetricsStack) -> None:
    (pod,) = fleet.list("pods", "app.kubernetes.io/instance=tiny")
    # A busy pod may be scraped too late once.
    (up,) = fleet.wait("it is up", 90, lambda: asked.query(f"up{{{SELECTOR}}} == 1"))
    expected = {"namespace": "e2e", "inferenceservice": "tiny", "service": "tiny", "pod": pod["metadata"]["name"]}
    assert up["metric"].items() >= expected.items()
    assert up["metric"]["instance"] == f"{pod['status']['podIP']}:8000"
    (running,) = fleet.wait("it counts", 90, lambda: asked.query(f"vllm:num_requests_running{{{SELECTOR}}}"))
    assert running["metric"].items() >= {**expected, "model_name": "tiny"}.items()


def test_prometheus_reads_the_operator(fleet: Kube, asked: MetricsStack) -> None:
    def ready() -> list[str]:
        found = asked.query('vllm_operator_service_ready{namespace="e2e",inferenceservice="tiny"}')
        return [one["value"][1] for one in found]

    fleet.wait("the service is ready there", 90, lambda: ready() == ["1"])
    fleet.wait("the operator is up", 90, lambda: asked.query(f'up{{namespace="{OPERATOR_NAMESPACE}"}} == 1'))


def test_prometheus_takes_every_rule(fleet: Kube, asked: MetricsStack) -> None:
    def rules() -> dict[str, dict[str, Any]]:
        groups = asked.ask("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    fleet.wait("all alerts are there", 60, lambda: rules().keys() == ALERTS.keys())
    fleet.wait("all alerts were evaluated", 60, lambda: all(rule["health"] != "unknown" for rule in rules().values()))
    assert {name: rule.get("lastError", "") for name, rule in rules().items() if rule["health"] != "ok"} == {}


@pytest.mark.parametrize("alert", ALERTS)
def test_every_metric_of_an_alert_is_there(asked: MetricsStack, alert: str) -> None:
    there = set(asked.ask("label/__name__/values"))
    assert names(ALERTS[alert]["expr"]) - UNSEEN <= there


@pytest.fixture
def begun(fleet: Kube) -> Iterator[None]:
    """A batch whose requests are being answered."""
    fleet.apply(*files(), batch(node(fleet), "counted", "good.jsonl"))
    try:
        fleet.wait("it begins", 180, lambda: "done" in ((fleet.get("vib", "counted") or {}).get("status") or {}))
        yield
    finally:
        fleet.run("delete", "vib", "counted")


def test_every_query_of_the_dashboards_finds_something(fleet: Kube, asked: MetricsStack, begun: None) -> None:
    queries = {name: as_run(target["expr"], KEY, "1m") for name, (_, target) in QUERIES.items()}
    optional = {name for name, text in queries.items() if names(text) & UNSEEN}

    def empty() -> dict[str, str]:
        assert chat(fleet.url("tiny"), "tiny")[0] == 200
        # A quantile or a share of nothing is NaN.
        return {
            name: f"{QUERIES[name][0]}: {text}"
            for name, text in queries.items()
            if not any(one["value"][1] != "NaN" for one in asked.query(text)) and name not in optional
        }

    try:
        fleet.wait("every query finds something", 180, lambda: not empty())
    except AssertionError:
        pytest.fail(json.dumps(empty(), indent=1))

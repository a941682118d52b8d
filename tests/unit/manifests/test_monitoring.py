"""The ServiceMonitor of a service."""

import re
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from support.snapshots import service
from vllm_operator import metrics
from vllm_operator.kinds import KINDS
from vllm_operator.manifests import Parts, desired
from vllm_operator.manifests.metadata import Manifest


def monitor(parts: Parts) -> Manifest:
    return next(one for one in desired(parts, frozenset({"ServiceMonitor"})) if one["kind"] == "ServiceMonitor")


def labels(**given: str) -> dict[str, str]:
    return dict(monitor(Parts(service(), monitor_labels=given))["metadata"]["labels"])


def test_a_prometheus_that_selects_by_label_finds_it() -> None:
    assert labels(release="prometheus") == {**labels(), "release": "prometheus"}


def test_no_setting_takes_a_label_of_ours_away() -> None:
    assert labels(**dict.fromkeys(labels(), "somebody")) == labels()


def of_the_operator() -> list[Metric]:
    """All metrics that the operator has."""
    counted = [metrics.reconcile_seconds, metrics.reconcile_errors, metrics.queue_depth, metrics.queue_age]
    counted += [metrics.loop_lag, metrics.api_requests, metrics.api_seconds]
    found = [one for kind in KINDS for collector in kind.collectors for one in collector.collect()]
    return [*found, *metrics.watches.collect(), *(one for each in counted for one in each.describe())]


@pytest.mark.parametrize("given", [{}, {"runtime": "RayServe", "image": "vllm-ray:1"}])
def test_no_pod_of_a_service_says_anything_in_the_operators_name(given: dict[str, Any]) -> None:
    (endpoint,) = monitor(Parts(service(**given)))["spec"]["endpoints"]
    rules = [rule for rule in endpoint["metricRelabelings"] if rule.get("action") == "drop"]
    assert [rule["sourceLabels"] for rule in rules] == [["__name__"]]
    assert of_the_operator()
    for metric in of_the_operator():
        assert re.fullmatch(rules[0]["regex"], metric.name)
    assert not re.fullmatch(rules[0]["regex"], "vllm:num_requests_running")

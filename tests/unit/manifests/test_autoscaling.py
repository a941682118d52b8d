"""The autoscalers: what they scale by, how fast, and that the cluster's metrics have the names that they ask for."""

import re

import pytest
import yaml

from cluster.host import REPOSITORY
from support.autoscalers import ALL_TARGETS, CRON, autoscalers, metrics, queries, scaled, scaling_spec
from vllm_operator.manifests import Scaling


def test_the_defaults_are_requests_that_wait_and_the_kv_cache() -> None:
    assert metrics() == {"vllm:num_requests_waiting": "5", "vllm:kv_cache_usage_perc": "800m"}


def test_zero_switches_a_target_off_and_a_number_switches_one_on() -> None:
    assert metrics(targets={"waitingRequests": 0, "runningRequests": 64}) == {
        "vllm:num_requests_running": "64",
        "vllm:kv_cache_usage_perc": "800m",
    }
    assert metrics(targets=ALL_TARGETS)["vllm:time_to_first_token_seconds_p95"] == "2500m"


@pytest.mark.parametrize(("known", "period"), [(None, 300), (15, 15), (1800, 1800)])
def test_pods_are_added_no_faster_than_they_start(known: int | None, period: int) -> None:
    up = {"type": "Pods", "value": 3, "periodSeconds": period}
    for spec in (
        scaling_spec(Scaling(known), scaleUp={"maxReplicasPerStep": 3}),
        scaling_spec(Scaling(known), scaleUp={"maxReplicasPerStep": 3}, provider="KEDA")["advanced"][
            "horizontalPodAutoscalerConfig"
        ],
    ):
        assert spec["behavior"]["scaleUp"]["policies"] == [up]


def test_without_kedas_api_nothing_scales_and_with_it_there_is_one_autoscaler() -> None:
    assert autoscalers(scaled(provider="KEDA"), served=frozenset()) == []
    (found,) = autoscalers(scaled(provider="KEDA"))
    assert found["kind"] == "ScaledObject"


def test_every_query_is_tied_to_the_service() -> None:
    found = queries(minReplicas=0, targets=ALL_TARGETS, triggers=[CRON])
    assert set(found) == {"waiting-requests", "running-requests", "kv-cache", "time-to-first-token", "busy"}
    for query in found.values():
        for metric, selector in re.findall(r"([\w:]+)\{([^}]*)\}", query):
            label = "deployment" if metric.startswith("kube_") else "inferenceservice"
            assert selector == f'namespace="team-a",{label}="llama"'


def test_a_service_that_may_go_to_zero_keeps_its_pods_for_as_long_as_one_takes_to_start() -> None:
    spec = scaling_spec(Scaling(1200), provider="KEDA", minReplicas=0, triggers=[CRON])
    assert (spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (1200, 1200)
    assert "busy" not in queries(minReplicas=1)


@pytest.mark.parametrize("least", [0, 1])
def test_no_empty_result_is_taken_for_an_idle_service(least: int) -> None:
    spec = scaling_spec(provider="KEDA", minReplicas=least, targets=ALL_TARGETS, triggers=[CRON])
    ours = [one for one in spec["triggers"] if one["type"] == "prometheus"]
    assert len(ours) == len(ALL_TARGETS) + (not least)
    assert {one["metadata"].get("ignoreNullValues") for one in ours} == {"false"}


def test_the_rules_for_prometheus_adapter_make_every_metric_that_is_asked_for() -> None:
    path = REPOSITORY / "charts" / "vllm-operator" / "files" / "prometheus-adapter-values.yaml"
    rules = yaml.safe_load(path.read_text())["rules"]["custom"]
    scraped = (REPOSITORY / "tests" / "monitoring" / "vllm-metrics.txt").read_text()
    series = set(re.findall(r"^(vllm:\w+)\{", scraped, re.M))
    served = set()
    for rule in rules:
        query = rule["seriesQuery"]
        pattern = found[1] if (found := re.search(r'__name__=~"([^"]+)"', query)) else query.partition("{")[0]
        names = {name for name in series if re.fullmatch(pattern, name)}
        assert names, query
        naming = rule.get("name", {"matches": "^(.*)$", "as": "${1}"})
        template = re.sub(r"\$\{(\d)\}", r"\\\1", naming["as"])
        served |= {re.sub(naming["matches"], template, name) for name in names}
    assert set(metrics(targets=ALL_TARGETS)) <= served

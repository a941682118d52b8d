"""The autoscalers: what they scale by, how fast, and that the cluster's metrics have the names that they ask for."""

import re
from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests import OPTIONAL_KINDS, Scaling, desired
from vllm_operator.manifests.kinds import AUTOSCALERS

ALL = {
    "waitingRequests": 5,
    "runningRequests": 100,
    "kvCacheUtilizationPercent": 75,
    "timeToFirstTokenMilliseconds": 2500,
}
CRON = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *"}}


def service(**autoscaling: Any) -> InferenceService:
    spec = {"model": {"uri": "hf://org/model"}, "autoscaling": {"maxReplicas": 8, **autoscaling}}
    return InferenceService("team-a", "llama", "uid", 3, InferenceServiceSpec.model_validate(spec))


def autoscalers(
    owner: InferenceService, scaling: Scaling | None = None, served: frozenset[str] = OPTIONAL_KINDS
) -> list[dict[str, Any]]:
    children = desired(owner, {"spec": {}}, served=served, scaling=scaling or Scaling())
    return [child for child in children if child["kind"] in AUTOSCALERS]


def made(scaling: Scaling | None = None, **autoscaling: Any) -> dict[str, Any]:
    (found,) = autoscalers(service(**autoscaling), scaling)
    spec: dict[str, Any] = found["spec"]
    return spec


def metrics(**autoscaling: Any) -> dict[str, str]:
    pods = [metric["pods"] for metric in made(**autoscaling)["metrics"]]
    return {pod["metric"]["name"]: pod["target"]["averageValue"] for pod in pods}


def queries(**autoscaling: Any) -> dict[str, str]:
    triggers = made(provider="KEDA", **autoscaling)["triggers"]
    return {one["name"]: one["metadata"]["query"] for one in triggers if one["type"] == "prometheus"}


def test_the_defaults_are_requests_that_wait_and_the_kv_cache() -> None:
    assert metrics() == {"vllm:num_requests_waiting": "5", "vllm:kv_cache_usage_perc": "800m"}


def test_zero_switches_a_target_off_and_a_number_switches_one_on() -> None:
    assert metrics(targets={"waitingRequests": 0, "runningRequests": 64}) == {
        "vllm:num_requests_running": "64",
        "vllm:kv_cache_usage_perc": "800m",
    }
    assert metrics(targets=ALL)["vllm:time_to_first_token_seconds_p95"] == "2500m"


@pytest.mark.parametrize(("known", "period"), [(None, 300), (15, 15), (1800, 1800)])
def test_pods_are_added_no_faster_than_they_start(known: int | None, period: int) -> None:
    up = {"type": "Pods", "value": 3, "periodSeconds": period}
    for spec in (
        made(Scaling(known), scaleUp={"maxReplicasPerStep": 3}),
        made(Scaling(known), scaleUp={"maxReplicasPerStep": 3}, provider="KEDA")["advanced"][
            "horizontalPodAutoscalerConfig"
        ],
    ):
        assert spec["behavior"]["scaleUp"]["policies"] == [up]


def test_without_kedas_api_nothing_scales_and_with_it_there_is_one_autoscaler() -> None:
    assert autoscalers(service(provider="KEDA"), served=frozenset()) == []
    (found,) = autoscalers(service(provider="KEDA"))
    assert found["kind"] == "ScaledObject"


def test_every_query_is_tied_to_the_service() -> None:
    found = queries(minReplicas=0, targets=ALL, triggers=[CRON])
    assert set(found) == {"waiting-requests", "running-requests", "kv-cache", "time-to-first-token", "busy"}
    for query in found.values():
        for metric, selector in re.findall(r"([\w:]+)\{([^}]*)\}", query):
            label = "deployment" if metric.startswith("kube_") else "inferenceservice"
            assert selector == f'namespace="team-a",{label}="llama"'


def test_a_service_that_may_go_to_zero_keeps_its_pods_for_as_long_as_one_takes_to_start() -> None:
    spec = made(Scaling(1200), provider="KEDA", minReplicas=0, triggers=[CRON])
    assert (spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (1200, 1200)
    busy = next(one for one in spec["triggers"] if one.get("name") == "busy")
    assert busy["metadata"]["ignoreNullValues"] == "false"
    assert "busy" not in queries(minReplicas=1)


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
    assert set(metrics(targets=ALL)) <= served

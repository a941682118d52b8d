"""What an autoscaler of a source scaled by becomes a target, in whatever form of a quantity it stands."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.imports import deployment, of_text, said_of
from vllm_operator.cli.importing.draft import Draft
from vllm_operator.cli.importing.imports import Imported
from vllm_operator.cli.importing.part import Part
from vllm_operator.cli.importing.report import Report, Went
from vllm_operator.cli.importing.sources.scaling import autoscale, scaled_object
from vllm_operator.settings import Settings


@pytest.mark.parametrize(
    ("query", "threshold", "targets"),
    [
        *[("num_requests_waiting", text, {"waitingRequests": 5}) for text in ("5", "5000m", "5.2", "0.5e1")],
        ("num_requests_running", "1k", {"runningRequests": 1000}),
        *[("cache_usage", text, {"kvCacheUtilizationPercent": 80}) for text in ("0.8", "800m", "80")],
        *[("num_requests_waiting", text, None) for text in ("many", "nan", "inf", "")],
    ],
)
def test_a_threshold_is_a_quantity(query: str, threshold: str, targets: dict[str, int] | None) -> None:
    draft = Draft("llama", "default", Report(), Settings())
    trigger = Part({"query": f"sum(vllm:{query})", "threshold": threshold}, ("triggers", 0))
    bounds = Part({"minReplicaCount": 1, "maxReplicaCount": 4}, ("scaling",))
    autoscale(draft, replace(scaled_object(bounds), metrics=[trigger]))
    assert draft.spec["autoscaling"].get("targets") == targets


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("vllm:num_requests_waiting", "waitingRequests"),
        ('sum(vllm:num_requests_waiting{namespace="a/b", pod=~"m-[0-9]+"})', "waitingRequests"),
        ("sum by (model_name) (avg_over_time(vllm:num_requests_running[2m]))", "runningRequests"),
        ('sum({__name__="vllm:num_requests_running", job="a + b"}) or vector(0)', "runningRequests"),
        ("avg(vllm:kv_cache_usage_perc)", "kvCacheUtilizationPercent"),
        ("100 * max(vllm:gpu_cache_usage_perc)", "kvCacheUtilizationPercent"),
        ("avg(vllm:kv_cache_usage_perc) * 100", "kvCacheUtilizationPercent"),
        ("sum(vllm:num_requests_waiting) + sum(vllm:num_requests_running)", None),
        ('sum({__name__=~"vllm:num_requests_(waiting|running)"})', None),
        ("sum(vllm:num_requests_waiting or vllm:kv_cache_usage_perc)", None),
        ("sum(vllm:num_requests_waiting) / count(up)", None),
        ("sum(vllm:num_requests_running) / 4", None),
        ("100 * sum(vllm:num_requests_running)", None),
        ("sum(vllm:num_requests_running) - 1", None),
        ("sum(rate(vllm:num_requests_running[1m]))", None),
        ("deriv(vllm:num_requests_waiting[1m])", None),
        ("count(vllm:num_requests_waiting > 0)", None),
        ("sum(vllm:num_requests_waiting) or sum(other)", None),
        ("sum(vllm:num_requests_waiting offset 5m)", None),
        ('sum(vllm:num_requests_waiting{a="' + '\\"' * 5000, None),
    ],
)
@pytest.mark.parametrize("holder", ["keda", "kserve"])
def test_a_query_of_more_than_one_metric_is_no_target(query: str, target: str | None, holder: str) -> None:
    if holder == "keda":
        metadata = {"serverAddress": "http://prometheus:9090", "query": query, "threshold": "20"}
        spec = {"minReplicaCount": 1, "maxReplicaCount": 3, "triggers": [{"type": "prometheus", "metadata": metadata}]}
        found = autoscaler("ScaledObject", spec)
    else:
        metric = {"metric": {"backend": "prometheus", "query": query}, "target": {"type": "Value", "value": "20"}}
        scale = {
            "minReplicas": 1,
            "maxReplicas": 3,
            "autoScaling": {"metrics": [{"type": "External", "external": metric}]},
        }
        found = of_text(json.dumps(kserve(scale)))
    (service,) = (one for one in found.documents if one["kind"] == "InferenceService")
    assert list(service["spec"]["autoscaling"].get("targets", {})) == [target] * bool(target)
    rows = [row for row in found.report.rows if row.origin.what.startswith("scaled by")]
    assert [row.went for row in rows] == ([] if target else [Went.LEFT])
    assert found.report.lost == (target is None)


def kserve(scale: dict[str, Any]) -> dict[str, Any]:
    """An InferenceService of KServe's."""
    model = {"modelFormat": {"name": "huggingface"}, "args": ["--model_id=org/m"]}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "llama"},
        "spec": {"predictor": {"model": model, **scale}},
    }


def kubeai(scale: dict[str, Any]) -> dict[str, Any]:
    """A Model of KubeAI's."""
    return {
        "apiVersion": "kubeai.org/v1",
        "kind": "Model",
        "metadata": {"name": "llama"},
        "spec": {"engine": "VLLM", "url": "hf://org/m", **scale},
    }


@pytest.mark.parametrize("source", [kserve, kubeai])
@pytest.mark.parametrize(
    ("bounds", "replicas", "left"),
    [
        ({"minReplicas": 0}, None, {"minReplicas"}),
        ({"minReplicas": 0, "maxReplicas": 1}, 1, {"minReplicas"}),
        ({"minReplicas": 0, "maxReplicas": 0}, None, {"minReplicas", "maxReplicas"}),
        ({"maxReplicas": 1}, 1, set()),
        ({"minReplicas": 2, "maxReplicas": 2}, 2, set()),
        ({"minReplicas": 2, "maxReplicas": 1}, 2, {"maxReplicas"}),
        ({"minReplicas": 1, "maxReplicas": 0}, 1, {"maxReplicas"}),
    ],
)
def test_a_number_of_pods_that_stays_is_never_0(
    source: Callable[[dict[str, int]], dict[str, Any]], bounds: dict[str, int], replicas: int | None, left: set[str]
) -> None:
    found = of_text(json.dumps(source(bounds)))
    assert found.documents[-1]["spec"].get("replicas") == replicas
    assert {name for name in bounds if Went.LEFT in dict(said_of(found, name))} == left


@pytest.mark.parametrize("source", [kserve, kubeai])
def test_fewest_pods_that_are_left_out_are_not_said_to_be_taken(
    source: Callable[[dict[str, int]], dict[str, Any]],
) -> None:
    found = of_text(json.dumps(source({"minReplicas": 0, "maxReplicas": 3})))
    assert found.documents[-1]["spec"]["autoscaling"]["minReplicas"] == 1
    assert Went.FIELD not in dict(said_of(found, "minReplicas"))
    assert found.report.lost


def autoscaler(kind: str, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> Imported:
    """A Deployment with an autoscaler."""
    meta = {"name": "m"}
    scaler = {
        "apiVersion": "keda.sh/v1alpha1" if kind == "ScaledObject" else "autoscaling/v2",
        "kind": kind,
        "metadata": {**meta, "annotations": annotations or {}},
        "spec": {"scaleTargetRef": meta, **spec},
    }
    return of_text(f"{json.dumps(deployment())}\n---\n{json.dumps(scaler)}")


HPA, KEDA = "HorizontalPodAutoscaler", "ScaledObject"
BOUNDS = {HPA: {"minReplicas": 1, "maxReplicas": 4}, KEDA: {"minReplicaCount": 1, "maxReplicaCount": 4}}
CRON = {
    "type": "cron",
    "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 9 * * *", "desiredReplicas": "1"},
}


def test_a_deployment_with_bounds_alone_is_taken_over_whole() -> None:
    for kind, bounds in BOUNDS.items():
        assert not autoscaler(kind, bounds).report.lost, kind


@pytest.mark.parametrize(
    ("kind", "spec", "what"),
    [
        (HPA, {"targetCPUUtilizationPercentage": 80}, "targetCPUUtilizationPercentage"),
        (HPA, {"behavior": {"scaleDown": {"policies": [{"type": "Percent", "value": 50}]}}}, "scaleDown.policies"),
        (HPA, {"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}, "scaleUp.selectPolicy"),
        (HPA, {"behavior": {"scaleUp": {"tolerance": "0.05"}}}, "scaleUp.tolerance"),
        (HPA, {"behavior": {"scaleDown": {"stabilizationWindowSeconds": -1}}}, "stabilizationWindowSeconds"),
        (HPA, {"behavior": {"scaleSideways": {"policies": []}, "scaleUp": {}}, "somethingNew": 5}, "somethingNew"),
        (KEDA, {"cooldownPeriod": 3600}, "cooldownPeriod"),
        (KEDA, {"pollingInterval": 5}, "pollingInterval"),
        (KEDA, {"fallback": {"failureThreshold": 3, "replicas": 6}}, "fallback"),
        (KEDA, {"idleReplicaCount": 0}, "idleReplicaCount"),
        (KEDA, {"advanced": {"scalingModifiers": {"formula": "a"}}}, "scalingModifiers"),
        (KEDA, {"triggers": [{**CRON, "authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": "a"}}]},
         "authenticationRef"),
        (KEDA, {"triggers": [{**CRON, "metricType": "Value"}]}, "metricType"),
    ],
)  # fmt: skip
def test_what_an_autoscaler_says_beside_its_bounds_is_left_out_with_a_row(
    kind: str, spec: dict[str, Any], what: str
) -> None:
    found = autoscaler(kind, {**BOUNDS[kind], **spec})
    assert [went for went, _ in said_of(found, what)] == [Went.LEFT]


@pytest.mark.parametrize(
    ("api", "kind", "bounds", "scaling"),
    [
        (
            "autoscaling.aibrix.ai/v1alpha1",
            "PodAutoscaler",
            {"minReplicas": 2, "maxReplicas": 8},
            {"minReplicas": 2, "maxReplicas": 8},
        ),
        ("autoscaling.aibrix.ai/v1alpha1", "PodAutoscaler", {"maxReplicas": 8}, {"minReplicas": 1, "maxReplicas": 8}),
        ("llmd.ai/v1alpha1", "VariantAutoscaling", {"modelID": "org/m"}, None),
        ("example.com/v1", "AnyScaler", {"rule": "of its own"}, None),
    ],
)
def test_another_autoscaler_is_not_to_stay(
    api: str, kind: str, bounds: dict[str, Any], scaling: dict[str, int] | None
) -> None:
    spec = {**bounds, "scaleTargetRef": {"kind": "Deployment", "name": "m"}}
    other = {"apiVersion": api, "kind": kind, "metadata": {"name": "other"}, "spec": spec}
    found = of_text(f"{json.dumps(deployment(replicas=3))}\n---\n{json.dumps(other)}")
    ((went, text),) = said_of(found, f"{kind}/other")
    assert went == Went.LEFT
    assert "scales the Deployment whose pods are the operator's now: delete it" in text
    service = found.documents[-1]["spec"]
    assert service.get("autoscaling") == scaling
    assert ("replicas" in service) == (scaling is None)


def test_an_autoscaler_of_another_workload_stays() -> None:
    spec = {"maxReplicas": 8, "scaleTargetRef": {"kind": "Deployment", "name": "n"}}
    other = {"apiVersion": "autoscaling.aibrix.ai/v1alpha1", "kind": "PodAutoscaler", "metadata": {"name": "n"}}
    found = of_text(f"{json.dumps(deployment())}\n---\n{json.dumps({**other, 'spec': spec})}")
    assert [went for went, _ in said_of(found, "PodAutoscaler/n")] == [Went.STAYS]


def test_how_long_an_autoscaler_waits_is_taken_over() -> None:
    behavior = {
        kind: {"stabilizationWindowSeconds": seconds} for kind, seconds in (("scaleUp", 60), ("scaleDown", 900))
    }
    for kind, spec in (
        (HPA, {"behavior": behavior}),
        (KEDA, {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}}),
    ):
        found = autoscaler(kind, {**BOUNDS[kind], **spec})
        scaling = found.documents[-1]["spec"]["autoscaling"]
        assert scaling["scaleUp"] == {"stabilizationSeconds": 60}
        assert scaling["scaleDown"] == {"stabilizationSeconds": 900}
        assert not found.report.lost


def test_a_trigger_keeps_its_credentials() -> None:
    found = autoscaler(KEDA, {"minReplicaCount": 0, "triggers": [{**CRON, "authenticationRef": {"name": "a"}}]})
    (trigger,) = found.documents[-1]["spec"]["autoscaling"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "a"}
    assert not found.report.lost


def test_bounds_that_keda_fills_in_are_taken_over() -> None:
    scaling = autoscaler(KEDA, {"triggers": [CRON]}).documents[-1]["spec"]["autoscaling"]
    assert (scaling["minReplicas"], scaling["maxReplicas"]) == (0, 100)


@pytest.mark.parametrize(
    ("annotations", "left"),
    [
        ({"autoscaling.keda.sh/paused": "true"}, True),
        ({"autoscaling.keda.sh/paused-replicas": "2"}, True),
        ({"autoscaling.keda.sh/paused": "false"}, False),
        ({"meta.helm.sh/release-name": "m"}, False),
    ],
)
def test_an_autoscaler_that_is_paused_is_told(annotations: dict[str, str], left: object) -> None:
    assert autoscaler(KEDA, BOUNDS[KEDA], annotations).report.lost == left


@pytest.mark.parametrize(
    ("scale", "spec", "left"),
    [
        ({"autoscalingDisabled": True, "replicas": 3, "minReplicas": 1, "maxReplicas": 5}, {"replicas": 3}, False),
        ({"autoscalingDisabled": True, "replicas": 3, "targetRequests": 50}, {"replicas": 3}, False),
        ({"minReplicas": 0, "maxReplicas": 1, "targetRequests": 50}, {"replicas": 1}, True),
        ({"minReplicas": 1, "maxReplicas": 3, "targetRequests": 50, "scaleDownDelaySeconds": 60}, {
            "autoscaling": {
                "minReplicas": 1, "maxReplicas": 3, "targets": {"runningRequests": 50},
                "scaleDown": {"stabilizationSeconds": 60},
            },
        }, False),
        ({"maxReplicas": 3}, {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}}, True),
    ],
)  # fmt: skip
def test_kubeai_says_who_decides(scale: dict[str, Any], spec: dict[str, Any], left: object) -> None:
    found = of_text(json.dumps(kubeai(scale)))
    service = found.documents[-1]["spec"]
    assert {key: service[key] for key in ("replicas", "autoscaling") if key in service} == spec
    assert found.report.lost == left


@pytest.mark.parametrize(
    ("spec", "targets", "left"),
    [
        ({"scaleMetric": "concurrency", "scaleTarget": 8}, {"runningRequests": 8}, []),
        ({"scaleMetric": "cpu", "scaleTarget": 80}, None, ["scaleTarget", "scaleMetric"]),
        ({"scaleTarget": 80}, None, ["scaleTarget"]),
        ({"containerConcurrency": 4}, None, ["containerConcurrency"]),
        ({"containerConcurrency": 0}, None, []),
        ({"deploymentStrategy": {"type": "Recreate"}}, None, []),
    ],
)
def test_what_kserve_scales_by_is_taken_over_or_told(
    spec: dict[str, Any], targets: dict[str, int] | None, left: list[str]
) -> None:
    found = of_text(json.dumps(kserve({"minReplicas": 1, "maxReplicas": 3, **spec})))
    assert found.documents[-1]["spec"]["autoscaling"].get("targets") == targets
    assert [row.origin.what.rsplit(".", 1)[-1] for row in found.report.rows if row.went == Went.LEFT] == left

"""What an autoscaler of a source scaled by becomes a target, in whatever form of a quantity it stands."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.imports import of_text, said_of
from vllm_operator.cli.importing.draft import Draft
from vllm_operator.cli.importing.part import Part
from vllm_operator.cli.importing.report import Report, Went
from vllm_operator.cli.importing.sources.scaling import autoscale
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
    autoscale(draft, ("1", "4"), [(trigger, trigger)], trigger.origin("scaling"), keda=True)
    assert draft.spec["autoscaling"].get("targets") == targets


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

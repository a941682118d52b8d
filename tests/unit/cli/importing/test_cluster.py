"""What cannot be read of what stands around a workload is told: an autoscaler that is not known of scales nothing."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from vllm_operator.cli.fleet.client import FleetError, NotThereError
from vllm_operator.cli.importing import cluster
from vllm_operator.cli.importing.cluster import read_cluster
from vllm_operator.cli.importing.documents import Sources
from vllm_operator.cli.importing.imports import imported
from vllm_operator.settings import Settings

AUTOSCALERS, SCALED = "/apis/autoscaling/v2", "/apis/keda.sh/v1alpha1"
LIST = f"{AUTOSCALERS}/namespaces/team-a/horizontalpodautoscalers"
OBJECTS = f"{SCALED}/namespaces/team-a/scaledobjects"
MAP = "/api/v1/namespaces/team-a/configmaps/flags"
WORKLOAD = {
    "metadata": {"name": "m", "namespace": "team-a"},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "vllm", "image": "vllm/vllm-openai", "args": ["--model=org/m"]}],
                "volumes": [{"name": "flags", "configMap": {"name": "flags"}}],
            }
        }
    },
}
SCALER = {"metadata": {"name": "m"}, "spec": {"scaleTargetRef": {"name": "m"}, "minReplicas": 1, "maxReplicas": 4}}
HAS = {"resources": [{"name": "horizontalpodautoscalers"}]}
FORBIDDEN = FleetError("it is forbidden")


def read(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]) -> Sources:
    """What is read of a cluster with a Deployment and these answers; anything else is not there."""

    class Client:
        namespace = "team-a"

        async def at(self, path: str) -> dict[str, Any]:
            answer = {"/apis/apps/v1/namespaces/team-a/deployments/m": WORKLOAD, **answers}.get(path)
            if isinstance(answer, FleetError):
                raise answer
            if answer is None:
                raise NotThereError("there is none")
            return dict(answer)

    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[Client]:
        yield Client()

    monkeypatch.setattr(cluster, "connect", connect)
    return read_cluster("deployment/m", argparse.Namespace(kubeconfig=None, context=None, namespace=None))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (LIST, "HorizontalPodAutoscaler"),
        ("/apis/autoscaling.aibrix.ai/v1alpha1/namespaces/team-a/podautoscalers", "PodAutoscaler"),
        ("/apis/llmd.ai/v1alpha1/namespaces/team-a/variantautoscalings", "VariantAutoscaling"),
    ],
)
def test_an_autoscaler_around_a_workload_is_read(monkeypatch: pytest.MonkeyPatch, path: str, kind: str) -> None:
    found = read(monkeypatch, {path: {"items": [SCALER]}})
    assert [document.kind for document in found.documents] == ["Deployment", kind]
    assert not found.unread


@pytest.mark.parametrize(
    ("answers", "unread"),
    [
        (
            {LIST: FORBIDDEN, AUTOSCALERS: {"resources": [{"name": "horizontalpodautoscalers"}]}},
            ["HorizontalPodAutoscaler"],
        ),
        ({LIST: FleetError("the cluster does not answer"), AUTOSCALERS: FORBIDDEN}, ["HorizontalPodAutoscaler"]),
        ({OBJECTS: FORBIDDEN, SCALED: {"resources": [{"name": "scaledobjects"}]}}, ["ScaledObject"]),
        ({MAP: FORBIDDEN}, ["ConfigMap/flags"]),
        ({OBJECTS: FORBIDDEN}, []),
        ({OBJECTS: FORBIDDEN, SCALED: {"resources": [{"name": "scaledjobs"}]}}, []),
        ({}, []),
    ],
)
def test_what_may_not_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], unread: list[str]
) -> None:
    found = read(monkeypatch, answers)
    assert [name for name, _ in found.unread] == unread
    report = imported(found, Settings()).report
    told = [row.origin.what for row in report.rows if row.text.startswith("not read: ")]
    assert told == unread
    assert not unread or report.lost

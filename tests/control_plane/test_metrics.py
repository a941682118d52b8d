"""What Prometheus and the log tell of a running operator."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from support.kube import Kube
from support.operator_process import OperatorProcess
from support.services import ready, service
from vllm_operator.watch.watches import DEAD_SECONDS

pytestmark = pytest.mark.control_plane


def scrape(operator: OperatorProcess) -> list[Sample]:
    """All samples of the operator's /metrics."""
    return [x for family in text_string_to_metric_families(operator.metrics()) for x in family.samples]


def of_service(operator: OperatorProcess, kube: Kube, name: str = "llama") -> dict[str, float]:
    """What is said of one service."""
    wanted = {"namespace": kube.namespace, "inferenceservice": name}
    return {x.name: x.value for x in scrape(operator) if wanted.items() <= x.labels.items()}


def test_a_service_is_told_of_until_it_goes(operator: OperatorProcess, kube: Kube) -> None:
    ready(kube, replicas=2)
    assert of_service(operator, kube) == {
        "vllm_operator_service_ready": 1,
        "vllm_operator_service_available": 1,
        "vllm_operator_service_reason": 1,
        "vllm_operator_service_replicas_wanted": 2,
        "vllm_operator_service_replicas_ready": 2,
        "vllm_operator_service_gpus_wanted": 0,
        "vllm_operator_service_gpus_granted": 0,
        "vllm_operator_service_gpus_missing": 0,
        "vllm_operator_service_restarts_total": 0,
    }
    kube.run("delete", "vis", "llama")
    kube.wait("its series are gone", 10, lambda: not of_service(operator, kube))


def test_gpus_that_no_node_has_are_missing(operator: OperatorProcess, kube: Kube) -> None:
    # Two nodes of eight GPUs each: the third pod finds none.
    gpus = {"resource": "nvidia.com/gpu"}
    kube.apply(service(replicas=3, accelerator=gpus, tensorParallelSize=8, planPolicy="Warn"))

    def told() -> bool:
        said = of_service(operator, kube)
        return [said.get(f"vllm_operator_service_gpus_{x}") for x in ("wanted", "granted", "missing")] == [24, 16, 8]

    kube.wait("eight GPUs are missing", 30, told)
    assert told()


def test_every_watch_is_young(operator: OperatorProcess, kube: Kube) -> None:
    ages = {x.labels["resource"]: x.value for x in scrape(operator) if x.name == "vllm_operator_watch_age_seconds"}
    assert {"inferenceservices", "deployments", "pods", "jobs", "nodes"} <= ages.keys()
    assert all(0 <= age < DEAD_SECONDS for age in ages.values())


def test_requests_reconciles_and_the_queue_are_counted(operator: OperatorProcess, kube: Kube) -> None:
    ready(kube)
    said = {x.name for x in scrape(operator)}
    assert {"vllm_operator_queue_depth", "vllm_operator_queue_age_seconds"} <= said
    counts = {x.labels["verb"]: x.value for x in scrape(operator) if x.name == "vllm_operator_api_requests_total"}
    assert counts["patch"] > 0
    assert next(x.value for x in scrape(operator) if x.name == "vllm_operator_reconcile_seconds_count") > 0


def test_the_log_has_one_line_for_each_transition(operator: OperatorProcess, kube: Kube) -> None:
    ready(kube)
    kube.merge("vis", "llama", {"spec": {"replicas": 0}})

    def transitions() -> list[tuple[str, str]]:
        return re.findall(rf"{kube.namespace}/llama Ready=(\w+) reason=(\w+): \S", operator.log.read_text())

    kube.wait("it is stopped", 30, lambda: transitions()[-1:] == [("True", "ScaledToZero")])
    said = transitions()
    assert ("True", "Available") in said
    assert [after for before, after in pairwise(said) if before == after] == []


def test_log_collectors_get_fields(operator: OperatorProcess, kube: Kube) -> None:
    operator.stop()
    before = len(operator.log.read_text())
    operator.start(logFormat="json")

    def said() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in operator.log.read_text()[before:].splitlines()]
        return [line for line in lines if line.get("namespace") == kube.namespace]

    try:
        ready(kube)
        kube.wait("the log says so", 30, lambda: [line["reason"] for line in said()][-1:] == ["Available"])
        last = said()[-1]
    finally:
        operator.restart()
    assert {"inferenceservice": "llama", "ready": "True", "severity": "info"}.items() <= last.items()
    assert last["message"].startswith(f"{kube.namespace}/llama Ready=True")

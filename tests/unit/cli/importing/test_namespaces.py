"""Objects of one name in two namespaces, as folders for staging and production have them: each has its own."""

from typing import Any

import pytest
import yaml

from support.imports import deployment, of_text, said_of
from vllm_operator.cli.importing.imports import Imported
from vllm_operator.cli.importing.report import Went

LENGTHS = {"production": 32768, "staging": 4096}


def beside(kind: str, namespace: str, **body: Any) -> dict[str, Any]:
    """An object that is called as the workload is."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "m", "namespace": namespace}, **body}


def environment(namespace: str, length: int) -> list[dict[str, Any]]:
    """A Deployment with what it reads, and what scales and reaches it."""
    pod = {
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai:latest",
                "args": ["--model=org/m", "--max-model-len=$(LEN)"],
                "envFrom": [{"configMapRef": {"name": "m"}}],
                "volumeMounts": [{"name": "c", "mountPath": "/root/.cache"}],
            }
        ],
        "volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "m"}}],
    }
    workload = deployment(pod)
    workload["metadata"]["namespace"] = namespace
    workload["spec"]["template"]["metadata"] = {"labels": {"app": "m"}}
    scaled = {"scaleTargetRef": {"kind": "Deployment", "name": "m"}, "minReplicas": 1, "maxReplicas": length >> 10}
    return [
        beside("ConfigMap", namespace, data={"LEN": str(length)}),
        beside("PersistentVolumeClaim", namespace, spec={"resources": {"requests": {"storage": f"{length}Gi"}}}),
        workload,
        beside("HorizontalPodAutoscaler", namespace, spec=scaled),
        beside("Service", namespace, spec={"selector": {"app": "m"}, "ports": [{"port": 8000}]}),
    ]


def of(*bodies: dict[str, Any]) -> Imported:
    """What objects come to."""
    return of_text(yaml.safe_dump_all(bodies))


def test_each_namespace_has_its_own_values_claims_and_autoscalers() -> None:
    found = of(*(one for namespace, length in LENGTHS.items() for one in environment(namespace, length)))
    printed = {(one["kind"], one["metadata"]["namespace"]): one["spec"] for one in found.documents}
    assert len(printed) == 4
    for namespace, length in LENGTHS.items():
        service = printed["InferenceService", namespace]
        assert service["maxModelLen"] == length
        assert service["autoscaling"]["maxReplicas"] == length >> 10
        claim = printed["PersistentVolumeClaim", namespace]
        assert claim["resources"]["requests"]["storage"] == f"{length}Gi"
        assert not [row for row in found.report.rows if row.went == Went.STAYS and "Service" in row.origin.what]


def test_what_is_of_another_namespace_alone_is_not_used() -> None:
    config, claim, workload, scaler, service = environment("production", 4096)
    others = [{**one, "metadata": {"name": "m", "namespace": "other"}} for one in (config, claim, scaler, service)]
    found = of(workload, *others)
    (printed,) = found.documents
    assert not {"maxModelLen", "autoscaling"} & printed["spec"].keys()
    for kind in ("HorizontalPodAutoscaler", "Service"):
        assert [went for went, _ in said_of(found, f"{kind}/m")] == [Went.STAYS]


@pytest.mark.parametrize("held", [{"name": "m"}, {"name": "m", "namespace": "production"}])
def test_a_namespace_that_is_left_open_may_be_any(held: dict[str, str]) -> None:
    config, claim, workload, scaler, service = environment("production", 4096)
    workload["metadata"] = held
    others = (config, claim, scaler, service)
    for one in others if "namespace" in held else ():
        del one["metadata"]["namespace"]
    spec = of(workload, *others).documents[-1]["spec"]
    assert spec["maxModelLen"] == 4096
    assert spec["autoscaling"]["maxReplicas"] == 4


@pytest.mark.parametrize(
    ("body", "went"),
    [
        ({"kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": [{"name": "m", "namespace": "team"}]}]}}, Went.LEFT),
        ({"kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": [{"name": "m"}]}]}}, Went.STAYS),
        ({"kind": "PodMonitor", "spec": {"selector": {"app": "m"}}}, Went.STAYS),
        ({"kind": "PodMonitor", "spec": {"selector": {"app": "m"}, "namespaceSelector": {"any": True}}}, Went.OPERATOR),
        (
            {"kind": "PodMonitor", "spec": {"selector": {"app": "m"}, "namespaceSelector": {"matchNames": ["team"]}}},
            Went.OPERATOR,
        ),
    ],
)
def test_routes_and_monitors_reach_into_other_namespaces_where_they_say_so(body: dict[str, Any], went: Went) -> None:
    found = of(*environment("team", 4096), {**beside(body["kind"], "infra"), **body})
    assert [one for one, _ in said_of(found, f"{body['kind']}/m")] == [went]

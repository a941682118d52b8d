"""The table of `kubectl vllm classes`."""

import json
from typing import Any

import pytest

from support.kube import Object
from vllm_operator.cli.fleet.classes import as_json, as_text, class_of


def own(name: str, *conditions: Object, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": list(conditions)}}


def service(name: str | None, *resolved: Object) -> Object:
    spec = {} if name is None else {"servingClassName": name}
    return {"metadata": {"name": "a", "namespace": "b"}, "spec": spec, "status": {"resolved": list(resolved)}}


GIVEN = {"field": "servingClassName", "value": "h100", "from": "operator"}
H100 = own(
    "h100",
    {"type": "Ready", "status": "True", "reason": "Valid"},
    default=True,
    accelerator={"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"},
    namespaces={
        "matchLabels": {"team": "a"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["production", "staging"]},
            {"key": "gpu", "operator": "Exists"},
        ],
    },
    limits={"gpusPerService": 16, "maxModelLen": 131072, "allowed": {"quantization": ["fp8", "awq"]}},
)


def test_a_row_says_what_it_gives_who_may_use_it_and_how_much() -> None:
    text = as_text([H100, own("cpu", accelerator={"resource": "cpu"})], [service("h100"), service(None, GIVEN)])
    first, second = text.splitlines()[1:]
    assert first.split() == ["cpu", "cpu", "all", "none", "0", "-"]
    assert "NVIDIA-H100-80GB-HBM3   team=a,tier in (production,staging),gpu   " in second
    assert "16 GPUs a service, 131,072 tokens, quantization: fp8|awq   2          True    Valid" in second


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (service("a100"), "a100"),
        (service("", GIVEN), ""),
        (service(None, GIVEN), "h100"),
        (service(None), ""),
        ({"spec": {}}, ""),
    ],
)
def test_a_services_class(one: Object, name: str) -> None:
    assert class_of(one) == name


def test_what_is_not_known_is_a_dash_or_null() -> None:
    assert as_text([own("a")], None).splitlines()[1].split() == ["a", "any", "all", "none", "-", "-"]
    (row,) = json.loads(as_json([own("a")], None))["classes"]
    assert row == {
        "name": "a", "default": False, "accelerator": None, "namespaces": None, "limits": {}, "services": None,
        "ready": None, "reason": None,
    }  # fmt: skip
    assert as_text([], []) == "no ServingClasses found"
    assert json.loads(as_json([H100], [service("h100")]))["classes"][0]["services"] == 1


def test_a_class_and_a_service_without_a_status_are_shown() -> None:
    new = {**own("new"), "status": None}
    asks = {"metadata": {"name": "llama", "namespace": "a"}, "spec": {"servingClassName": None}, "status": None}
    (row,) = as_text([new], [asks]).splitlines()[1:]
    assert row.split()[-2:] == ["0", "-"]
    assert json.loads(as_json([new], [asks]))["classes"][0]["ready"] is None

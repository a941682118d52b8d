"""What is said without a cluster of objects that `kubectl apply` refuses, and of those that it takes.

tests/control_plane/test_validation.py holds the same tables, and the same function, against a real API server.
"""

from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from control_plane import refused
from vllm_operator.api import BATCH_KIND, CLASS_KIND, KIND
from vllm_operator.api.expressions import evaluate
from vllm_operator.cli.validation import faults, listed

SERVICES = [
    *refused.ENGINE,
    *refused.ELSEWHERE,
    *refused.WORKLOAD,
    *refused.POD,
    *refused.ARGUMENTS,
    *refused.ENVIRONMENT,
]
# Where a value is of a wrong type, the fields in it are not looked at.
_TYPE_ONLY = 'unknown field "spec.env.VLLM_LOGGING_LEVEL"'


def service(spec: Any, name: str = "test") -> dict[str, Any]:
    return {"kind": KIND, "metadata": {"name": name}, "spec": spec}


def with_model(text: str) -> dict[str, Any]:
    return {**yaml.safe_load(refused.MODEL), **yaml.safe_load(text)}


@pytest.mark.parametrize(("text", "message"), [pair for pair in SERVICES if pair[1] != _TYPE_ONLY])
def test_a_wrong_field(text: str, message: str) -> None:
    assert any(message in said for said in faults(service(with_model(text)), KIND))


@pytest.mark.parametrize(("text", "message"), refused.MODELS)
def test_a_wrong_model(text: str, message: str) -> None:
    assert any(message in said for said in faults(service(yaml.safe_load(text)), KIND))


@pytest.mark.parametrize(("name", "message"), refused.NAMES)
def test_a_wrong_name(name: str, message: str) -> None:
    assert any(message in said for said in faults(service(with_model("{}"), name), KIND))


def test_a_name_that_is_too_long_for_a_group_in_a_queue() -> None:
    name, message = refused.QUEUED_NAME
    (said,) = faults(service(with_model(refused.IN_A_QUEUE), name), KIND)
    assert message in said
    assert faults(service(with_model(refused.IN_A_QUEUE), name[1:]), KIND) == []
    assert faults(service(with_model("pod: {labels: {kueue.x-k8s.io/queue-name: gpus}}"), name), KIND) == []


@pytest.mark.parametrize(("text", "message"), refused.CLASSES)
def test_a_wrong_class(text: str, message: str) -> None:
    own = {"kind": CLASS_KIND, "metadata": {"name": "test"}, "spec": yaml.safe_load(text)}
    assert any(message in said for said in faults(own, CLASS_KIND))


def batch(text: str) -> dict[str, Any]:
    spec = {**yaml.safe_load(refused.BATCH), **yaml.safe_load(text)}
    given = {key: value for key, value in spec.items() if value is not None}
    return {"kind": BATCH_KIND, "metadata": {"name": "test"}, "spec": given}


@pytest.mark.parametrize(("text", "message"), refused.BATCHES)
def test_a_wrong_batch(text: str, message: str) -> None:
    assert any(message in said for said in faults(batch(text), BATCH_KIND))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{template: null, serviceRef: {name: test}}",
        "template: {model: {uri: hf://a/b}, accelerator: {}, lora: {adapters: [{name: other, uri: hf://a/b}]}}",
        "template: {model: {uri: hf://a/b, servedModelNames: [a]}, accelerator: {}, "
        "lora: {adapters: [{name: test, uri: hf://a/b}]}}",
    ],
)
def test_a_batch_without_a_fault(text: str) -> None:
    assert faults(batch(text), BATCH_KIND) == []


def test_a_size_of_the_kv_cache_and_a_percentage_may_be_set_together() -> None:
    text = "kvCache: {gpuMemoryUtilizationPercent: 40, memoryPerGPU: 20Gi}"
    assert faults(service(with_model(text)), KIND) == []


@pytest.mark.parametrize("text", refused.ACCEPTED)
def test_what_is_right_has_no_fault(text: str) -> None:
    assert faults(service(with_model(text)), KIND) == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_examples_have_no_fault(path: Any) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest.get("kind") in (KIND, CLASS_KIND, BATCH_KIND):
            assert faults(manifest, manifest["kind"]) == []


def test_all_that_is_wrong_is_said_at_once() -> None:
    text = "{tensorParalelSize: 4, maxNumSeqs: 0, extraArgs: [--middleware=a.B], kvCache: {memoryPerGPU: 20GB}}"
    found = faults(service(with_model(text)), KIND)
    said = listed("test", found)
    assert 'unknown field "spec.tensorParalelSize": tensorParallelSize is meant?' in said
    for part in ("spec.maxNumSeqs: Invalid value: 0", "--middleware", '"20GB": must be a size like'):
        assert part in said
    assert said.splitlines()[0] == "test: 4 things are wrong:"


def test_one_fault_is_one_line() -> None:
    assert listed("test", faults(service(with_model("maxNumSeqs: 0")), KIND)) == (
        "test: spec.maxNumSeqs: Invalid value: 0: should be greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "metadata.name: Required value: name or generateName is required"),
        *(({"name": "test", **wrong}, said) for wrong, said in refused.METADATA),
    ],
)
def test_wrong_metadata(metadata: dict[str, Any], said: str) -> None:
    (found,) = faults({"kind": KIND, "metadata": metadata, "spec": with_model("{}")}, KIND)
    assert said in found


@pytest.mark.parametrize("metadata", refused.METADATA_TAKEN)
def test_right_metadata(metadata: dict[str, Any]) -> None:
    assert faults({"kind": KIND, "metadata": {"name": "test", **metadata}, "spec": with_model("{}")}, KIND) == []


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("replicas", 'unknown field "replicas": spec.replicas is meant?'),
        ("metdata", 'unknown field "metdata": metadata is meant?'),
        ("other", 'unknown field "other"'),
    ],
)
def test_a_field_beside_the_spec(field: str, said: str) -> None:
    assert faults({**service(with_model("{}")), "status": {}, field: 2}, KIND) == [said]


@pytest.mark.parametrize(
    ("expression", "value", "found"),
    [
        ("quantity(self).compareTo(quantity('1Gi')) < 0", "1000Mi", True),
        ("quantity(self).compareTo(quantity('1')) == 0", "1000m", True),
        ("quantity(self).compareTo(quantity('700m')) < 0", "0.5", True),
        ("quantity(self).compareTo(quantity('9007199254740993')) < 0", "9007199254740992", True),
        ("quantity(self) == quantity('1Gi')", "1024Mi", True),
        ("isQuantity(self)", "1Gb", False),
        ("isCIDR(self)", "10.0.0.0/33", False),
        ("isCIDR(self)", "10.0.0.1", False),
        ("cidr(self).containsCIDR('10.1.0.0/16') && cidr(self).prefixLength() == 8", "10.0.0.0/8", True),
        ("cidr(self).containsCIDR('fd00::/64')", "10.0.0.0/8", False),
        ("self.split('=', 2)", "a=b=c", ["a", "b=c"]),
        ("self.upperAscii()", "ab", "AB"),
    ],
)
def test_functions_of_kubernetes(expression: str, value: str, found: Any) -> None:
    assert evaluate(expression, value) == found


@pytest.mark.parametrize(
    ("limit", "request_", "refused"),
    [("0.5", "700m", True), ("1.2", "1.5", True), ("0.5", "500m", False), (1, "1000m", False)],
)
def test_parts_of_a_core_are_compared_as_the_api_server_does(limit: Any, request_: Any, *, refused: bool) -> None:
    resources = {"limits": {"cpu": limit}, "requests": {"cpu": request_}}
    found = faults(service({**with_model("{}"), "resources": resources}), KIND)
    assert any("resources.limits.cpu must not be below resources.requests.cpu" in one for one in found) is refused
    assert bool(found) is refused


@pytest.mark.parametrize("expression", ["self.other == 1", "self +", "nothing(self)"])
def test_an_expression_that_fails(expression: str) -> None:
    with pytest.raises(ValueError, match=r"not|undeclared|Syntax"):
        evaluate(expression, {"field": 1})

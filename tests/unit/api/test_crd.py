"""The CRD in crds/ is what the API models say, bounded and documented throughout."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from cluster.host import REPOSITORY
from support.applied import MOST, annotations_size
from support.every_field import Schema
from vllm_operator.api import PLURALS
from vllm_operator.api.crd import INFERENCE_SERVICE, KINDS, SERVING_CLASS, Kind, custom_resource_definition, structural
from vllm_operator.api.elsewhere import ELSEWHERE
from vllm_operator.api.serving_class import NOT_DEFAULTED, NOT_OF_THE_CACHE, NOT_OF_THE_POD

NOT_FIELDS = {f"spec.{row.path}" for row in ELSEWHERE}


def root(kind: Kind = INFERENCE_SERVICE) -> Schema:
    """The schema of an object of a kind."""
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every node below a schema, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        if f"{path}.{name}" not in NOT_FIELDS:
            yield from nodes(f"{path}.{name}", field)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(path + mark, schema[key])


OF_KIND = {
    kind.name: [node for part in ("spec", "status") for node in nodes(part, root(kind)["properties"][part])]
    for kind in KINDS
}
# What both kinds share is looked at once.
ALL = list({json.dumps(node): (path, node) for kind in KINDS[::-1] for path, node in OF_KIND[kind.name]}.values())
PROPERTIES = [(path, node) for path, node in ALL if "." in path and not path.endswith(("[]", "{}"))]


@pytest.mark.parametrize("kind", KINDS, ids=PLURALS)
def test_the_file_is_fresh(kind: Kind) -> None:
    for file in (f"crds/{kind.plural}.yaml", f"charts/vllm-operator/files/{kind.plural}.yaml"):
        kept = yaml.load((REPOSITORY / file).read_text(), Loader=yaml.CSafeLoader)
        current = custom_resource_definition(kind)
        assert kept == current, f"{file} is stale at {_first_difference(kind, kept)}: run `make generated`"


def _first_difference(kind: Kind, kept: Schema) -> str:
    """The innermost field of the spec or the status that a file does not have as the models do."""
    (version,) = kept["spec"]["versions"]
    parts, now = version["schema"]["openAPIV3Schema"]["properties"], dict(OF_KIND[kind.name])
    before = dict(node for part in ("spec", "status") for node in nodes(part, parts[part]))
    changed = [path for path, node in now.items() if before.get(path) != node] + [
        path for path in before if path not in now
    ]
    return max(changed, key=lambda path: path.count("."), default="its own description")


@pytest.mark.parametrize("kind", KINDS, ids=PLURALS)
def test_kubectl_and_argo_cd_may_keep_it_in_an_annotation(kind: Kind) -> None:
    """As the chart renders it: tests/chart/test_render.py."""
    assert annotations_size(custom_resource_definition(kind)) < MOST


def test_what_kubectl_keeps_is_counted_as_go_writes_it() -> None:
    kept = r'{"a":"\u003c\u0026é","metadata":{"annotations":{"b":"c"}}}' + "\n"
    assert annotations_size({"metadata": {"annotations": {"b": "c"}}, "a": "<&é"}) == 48 + 2 + len(kept.encode())
    assert annotations_size({"metadata": {}}) == 48 + len('{"metadata":{"annotations":{}}}\n')


@pytest.mark.parametrize(("path", "node"), PROPERTIES, ids=[path for path, _ in PROPERTIES])
def test_a_property_is_documented(path: str, node: Schema) -> None:
    text, _, example = node.get("description", "").partition(" Example: ")
    assert re.match(r"[A-Z0-9].*\.$", text), f"{path} needs a description, as a sentence: {text!r} is none"
    assert example, f"{path} needs an example"
    if node.get("type") in ("object", "array", "boolean", "integer"):
        value = json.loads(example)
        kinds = {"object": dict, "array": list, "boolean": bool, "integer": int}
        assert type(value) is kinds[node["type"]]
        assert value not in ({}, [])


@pytest.mark.parametrize(("path", "node"), ALL, ids=[path for path, _ in ALL])
def test_a_node_is_bounded(path: str, node: Schema) -> None:
    match node.get("type"):
        case "string":
            assert "maxLength" in node or "enum" in node
        case "array":
            assert "maxItems" in node
            assert node["x-kubernetes-list-type"] in ("atomic", "set", "map")
        case "object":
            assert ("maxProperties" in node) == ("additionalProperties" in node)
            assert "additionalProperties" in node or node["properties"]
        case "integer" | "boolean":
            pass
        case None:
            assert node["x-kubernetes-int-or-string"]
            assert "maxLength" in node
        case other:
            pytest.fail(f"{other} (a number with a fraction?) has no place in the API")
    if path.startswith("spec") and node.get("type") == "integer":
        assert "enum" in node or {"minimum", "maximum"} <= node.keys()


def test_every_rule_says_what_to_do() -> None:
    roots = [("", root(kind)) for kind in KINDS]
    messages = [rule["message"] for _, node in [*roots, *ALL] for rule in node.get("x-kubernetes-validations", [])]
    assert len(messages) > 100
    for message in messages:
        assert len(message) > 20
        assert "^" not in message, "an expression is not a sentence"


@pytest.mark.parametrize("kind", KINDS, ids=PLURALS)
def test_examples_are_valid(kind: Kind) -> None:
    least: dict[str, dict[str, Schema]] = {
        "InferenceService": {"model": {"uri": "hf://org/name"}},
        "InferenceBatch": {"input": {"uri": "pvc://data/in"}, "output": {"uri": "pvc://data/out"}},
    }
    for path, node in OF_KIND[kind.name]:
        if path.startswith("spec.") and path.count(".") == 1 and not path.endswith(("[]", "{}")):
            name, example = path.removeprefix("spec."), node["description"].partition(" Example: ")[2]
            value = example if node.get("type") == "string" else json.loads(example)
            kind.spec.model_validate({**least.get(kind.name, {}), name: value})


def test_what_a_structural_schema_cannot_say_is_an_error() -> None:
    for schema in ({"type": "string", "patternProperties": {}}, {"anyOf": [{"type": "integer"}, {"type": "array"}]}):
        with pytest.raises(ValueError, match="no structural schema"):
            structural(schema, {})


def test_a_new_service_does_not_pass_for_finished_and_a_class_does() -> None:
    assert root()["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert "default" not in root(SERVING_CLASS)["properties"]["status"]


def test_a_class_defaults_every_field_of_a_service_but_those_with_a_reason() -> None:
    spec, of_class = root()["properties"]["spec"]["properties"], root(SERVING_CLASS)["properties"]["spec"]["properties"]
    left_out = {to_camel(name) for name in NOT_DEFAULTED}
    fields = {name for name in spec if f"spec.{name}" not in NOT_FIELDS}
    assert of_class["defaults"]["properties"].keys() == fields - left_out
    assert left_out <= spec.keys(), "a field that is left out of the defaults is none of the spec any more"
    for name, without in (("pod", NOT_OF_THE_POD), ("cache", NOT_OF_THE_CACHE)):
        service = spec[name]["properties"]["claim"] if name == "cache" else spec[name]
        fields = {field for field in service["properties"] if f"spec.{name}.{field}" not in NOT_FIELDS}
        assert of_class[name]["properties"].keys() == fields - {to_camel(one) for one in without}
        assert "required" not in of_class[name]
    assert of_class["defaults"]["properties"]["kvCache"] == spec["kvCache"], "the rules are those of a service"


def test_the_api_server_fills_in_nothing_that_a_class_may() -> None:
    filled = {path for path, node in OF_KIND[INFERENCE_SERVICE.name] if path.startswith("spec") and "default" in node}
    assert {path.split(".")[1] for path in filled} == {"autoscaling"}


def empty_lists(node: Any, where: str = "") -> Iterator[str]:
    if node == []:
        yield where
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from empty_lists(value, f"{where}.{key}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_what_the_api_server_would_drop_is_not_in_it(kind: Kind) -> None:
    """An empty list of rules is not kept: to whoever compares, the cluster's CRD would never be the chart's."""
    assert list(empty_lists(custom_resource_definition(kind)["spec"])) == []

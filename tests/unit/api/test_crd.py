"""The CRD in crds/ is what the API models say, bounded and documented throughout."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from cluster.host import REPOSITORY
from support.every_field import Schema
from vllm_operator.api import InferenceServiceSpec
from vllm_operator.api.crd import custom_resource_definition, structural


def root() -> Schema:
    """The schema of an InferenceService."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every node below a schema, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", field)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(path + mark, schema[key])


ALL = [node for part in ("spec", "status") for node in nodes(part, root()["properties"][part])]
PROPERTIES = [(path, node) for path, node in ALL if "." in path and not path.endswith(("[]", "{}"))]


def test_the_file_is_fresh() -> None:
    for file in ("crds/inferenceservices.yaml", "charts/vllm-operator/files/inferenceservices.yaml"):
        kept = yaml.load((REPOSITORY / file).read_text(), Loader=yaml.CSafeLoader)
        assert kept == custom_resource_definition(), (
            f"{file} is stale at {_first_difference(kept)}: run `make generated`"
        )


def _first_difference(kept: Schema) -> str:
    """The innermost field of the spec or the status that a file does not have as the models do."""
    (version,) = kept["spec"]["versions"]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    before = dict(node for part in ("spec", "status") for node in nodes(part, parts[part]))
    changed = [path for path, node in ALL if before.get(path) != node] + [
        path for path in before if path not in dict(ALL)
    ]
    return max(changed, key=lambda path: path.count("."), default="its own description")


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
    messages = [
        rule["message"] for _, node in [("", root()), *ALL] for rule in node.get("x-kubernetes-validations", [])
    ]
    assert len(messages) > 100
    for message in messages:
        assert len(message) > 20
        assert "^" not in message, "an expression is not a sentence"


def test_examples_are_valid() -> None:
    for path, node in PROPERTIES:
        if path.startswith("spec.") and path.count(".") == 1:
            name, example = path.removeprefix("spec."), node["description"].partition(" Example: ")[2]
            value = example if node.get("type") == "string" else json.loads(example)
            InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}, name: value})


def test_what_a_structural_schema_cannot_say_is_an_error() -> None:
    for schema in ({"type": "string", "patternProperties": {}}, {"anyOf": [{"type": "integer"}, {"type": "array"}]}):
        with pytest.raises(ValueError, match="no structural schema"):
            structural(schema, {})


def test_a_new_service_does_not_pass_for_finished() -> None:
    assert root()["properties"]["status"]["default"] == {"observedGeneration": -1}

"""What docs/versions.md promises of v1alpha1: a manifest of the last release means the same today."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.chart import CRD
from support.earlier import GIT, RELEASED

# Changes that break no manifest, by the end of the field's path, and why.
HARMLESS = {
    "spec.tensorParallelSize": "a number still means the same; `auto` is new",
    "spec.accelerator.resource": "the default is still the same, but the operator's, so that a class can give another",
    "matchFields[]": "Kubernetes takes one name of a node there, and refused every pod with anything else",
}
# What a schema says of values where another word could refuse a manifest, or change it. Patterns and rules are tried
# with the last release's own manifests, on an API server (tests/chart/test_upgrade.py).
WORDS = ("type", "format", "default", "minimum", "maximum", "maxLength", "minLength", "maxItems", "minItems")


def schema(text: str) -> dict[str, Any]:
    """The schema of the spec in a CRD."""
    (version,) = yaml.load(text, yaml.CSafeLoader)["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]
    return {"properties": {"spec": found["spec"]}}


def differences(old: dict[str, Any], new: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where the new schema could refuse, or read in another way, what the old one took."""
    if path.endswith(tuple(HARMLESS)):
        return
    for word in WORDS:
        if old.get(word) != new.get(word) and not wider(word, old.get(word), new.get(word)):
            yield f"{path}: {word} was {old.get(word)}, is {new.get(word)}"
    if lost := set(old.get("enum", ())) - set(new.get("enum", old.get("enum", ()))):
        yield f"{path}: no longer takes {sorted(lost)}"
    if required := set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{path}: now needs {sorted(required)}"
    for name, one in old.get("properties", {}).items():
        below = f"{path}.{name}".lstrip(".")
        if name in new.get("properties", {}):
            yield from differences(one, new["properties"][name], below)
        else:
            yield f"{below} is gone"
    for word in ("items", "additionalProperties"):
        if isinstance(old.get(word), dict):
            yield from differences(old[word], new.get(word) or {}, f"{path}[]")


def wider(word: str, old: Any, new: Any) -> bool:
    """Whether the new value of a word takes all that the old one took."""
    if new is None:
        return word not in ("type", "default")
    if word == "default" or old is None:
        return False
    if word.startswith("max"):
        return bool(new >= old)
    return bool(new <= old) if word.startswith("min") else False


def test_the_crd_takes_every_field_of_the_last_release_as_it_was() -> None:
    command = [*GIT, "show", f"{RELEASED}:crds/{CRD.name}"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip("git does not have the last version: a shallow clone")
    assert list(differences(schema(told.stdout), schema(CRD.read_text()))) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"properties": {"a": {}}}, {"properties": {}}, "a is gone"),
        ({"type": "integer"}, {"type": "string"}, "type was integer"),
        ({"maximum": 5}, {"maximum": 4}, "maximum was 5"),
        ({}, {"maxLength": 4}, "maxLength was None"),
        ({"default": 1}, {"default": 2}, "default was 1"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "no longer takes ['b']"),
        ({}, {"required": ["a"]}, "now needs ['a']"),
        ({"items": {"type": "string"}}, {"items": {"type": "integer"}}, "[]: type was string"),
    ],
)
def test_such_a_change_would_be_found(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    (found,) = differences(old, new)
    assert said in found
    assert list(differences(old, old)) == []

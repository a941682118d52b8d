"""What `kubectl apply` says of an object of ours, said without a cluster: by the CRD's own schema and CEL rules.

Unlike the API server it does not stop at the first kind of fault: an unknown field hides no wrong value, and a wrong
value hides no rule that is about other fields. What it accepts, the API server accepts.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..api.base import RULES, Rule
from ..api.crd import KINDS, Schema, custom_resource_definition
from ..api.expressions import evaluate
from .metadata import FIELDS, metadata_faults
from .schema import at_once, pruned

MOST_SHOWN = 20
# What says which object it is, and what the API server leaves out of a new one.
_NOT_LOOKED_AT = ("apiVersion", "kind", "status")


def faults(manifest: Mapping[str, Any], kind_name: str) -> list[str]:
    """Everything that the API server would refuse in a new object, one sentence each, with the path of the field."""
    kind = next(kind for kind in KINDS if kind.name == kind_name)
    schema = _schema(kind.name)
    given = {key: one for key, one in manifest.items() if key not in _NOT_LOOKED_AT}
    value = pruned(given, schema)
    wrong = {
        **dict(metadata_faults(given.get("metadata"), namespaced=kind.namespaced)),
        **dict(at_once(value, schema, "")),
    }
    found = [*_unknown(given, schema, ""), *(f"{_shown(path)}: {said}" for path, said in wrong.items())]
    return [*found, *_of_rules(value, schema, "", wrong)]


def listed(name: str, found: list[str]) -> str:
    """Faults for people: one on the line of the service's name, several below each other."""
    if len(found) == 1:
        return f"{name}: {found[0]}"
    rest = [f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
    return "\n  ".join([f"{name}: {len(found)} things are wrong:", *found[:MOST_SHOWN], *rest])


@cache
def _schema(name: str) -> Schema:
    kind = next(kind for kind in KINDS if kind.name == name)
    schema: Schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    metadata = {"type": "object", "properties": {name: {} for name in FIELDS}}
    return {**schema, "properties": {"spec": schema["properties"]["spec"], "metadata": metadata}}


def _shown(path: str) -> str:
    return path.removeprefix(".") or "the object"


def _unknown(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Fields that the schema does not have. kubectl refuses them, as they are most often misspelt."""
    properties = schema.get("properties")
    if isinstance(value, Mapping) and properties is not None:
        for key, inner in value.items():
            if key in properties:
                yield from _unknown(inner, properties[key], f"{path}.{key}")
            elif not schema.get("x-kubernetes-preserve-unknown-fields"):
                meant = _meant(str(key), properties, path)
                yield f'unknown field "{_shown(f"{path}.{key}")}"' + (f": {meant} is meant?" if meant else "")
    elif isinstance(value, Mapping) and isinstance(schema.get("additionalProperties"), Mapping):
        for key, inner in value.items():
            yield from _unknown(inner, schema["additionalProperties"], f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unknown(inner, schema.get("items", {}), f"{path}[{index}]")


def _meant(key: str, properties: Mapping[str, Any], path: str) -> str:
    """The field that is most like a key; beside the spec, the same one of it. Empty where there is none."""
    if not path and key in properties["spec"]["properties"]:
        return f"spec.{key}"
    return next(iter(difflib.get_close_matches(key, list(properties), n=1, cutoff=0.7)), "")


def _of_rules(value: Any, schema: Schema, path: str, wrong: Mapping[str, str]) -> Iterator[str]:
    """The CEL rules that are false, of each value in which nothing is wrong already."""
    sound = not any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in wrong)
    for rule in schema.get(RULES, ()) if sound else ():
        # A rule on what was there before says nothing of a new object.
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            shown = "" if isinstance(value, Mapping | list) else f"Invalid value: {json.dumps(value)}: "
            yield f"{_shown(path + rule.get('fieldPath', ''))}: {shown}{_sentence(rule, value)}"
    if isinstance(value, Mapping):
        inner = schema.get("properties", {})
        for key, one in value.items():
            if below := inner.get(key) or schema.get("additionalProperties"):
                yield from _of_rules(one, below, f"{path}.{key}", wrong)
    elif isinstance(value, list) and "items" in schema:
        for index, one in enumerate(value):
            yield from _of_rules(one, schema["items"], f"{path}[{index}]", wrong)


def _holds(expression: str, value: Any) -> bool:
    try:
        return evaluate(expression, value) is True
    except Exception:
        return False


def _sentence(rule: Rule, value: Any) -> str:
    try:
        return str(evaluate(rule["messageExpression"], value))
    except Exception:
        return str(rule["message"])

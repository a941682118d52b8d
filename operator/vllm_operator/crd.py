"""Turns the API models into a structural CustomResourceDefinition.

Pydantic's JSON schema has `$ref`, `anyOf` and `title`; a structural schema may have none of them. Anything else that
this module meets is an error at generation time, not a field that silently loses its validation.
"""

from typing import Any

from .api import GROUP, KIND, PLURAL, VERSION, InferenceServiceSpec, InferenceServiceStatus
from .api.base import rule

Schema = dict[str, Any]

# The longest name of a child is <name>-<10 characters>-<5 characters> (a pod) and must stay below 63 as a host name.
MAX_NAME_LENGTH = 46
_NAME_RULES = [
    rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be a DNS-1035 label (a-z, 0-9 and -, first a letter): the Service is named after it",
    ),
    rule(
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters: the names of the pods are longer and end at 63",
    ),
]
_KEPT = (
    "type", "enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "required", "default", "nullable",
)  # fmt: skip


def _describe(schema: Schema) -> str | None:
    text = schema.get("description")
    examples = schema.get("examples")
    if text and examples and not isinstance(examples[0], dict | list):
        return f"{text} Example: {str(examples[0]).lower() if isinstance(examples[0], bool) else examples[0]}"
    return text


def _alternatives(schema: Schema, definitions: Schema) -> Schema:
    """`X | None` is X (an omitted field); `int | Literal[str]` is an int-or-string."""
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) == 1:
        return structural(
            {**options[0], **{k: v for k, v in schema.items() if k not in ("anyOf", "default")}}, definitions
        )
    if {option.get("type") for option in options} != {"integer", "string"}:
        raise ValueError(f"no structural schema for {schema}")
    rest = {k: v for k, v in schema.items() if k not in ("anyOf", "default")}
    return {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
        "maxLength": 16,
        **structural(rest, definitions),
    }


def structural(schema: Schema, definitions: Schema) -> Schema:
    """The structural form of one JSON schema node. Raises ValueError for what Kubernetes cannot express."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return structural({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    if "anyOf" in schema:
        return _alternatives(schema, definitions)
    result: Schema = {key: schema[key] for key in _KEPT if key in schema}
    result.update({key: value for key, value in schema.items() if key.startswith("x-kubernetes-")})
    if description := _describe(schema):
        result["description"] = description
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "properties" in schema:
        result["properties"] = {name: structural(field, definitions) for name, field in schema["properties"].items()}
    if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    if "propertyNames" in schema:
        result["maxProperties"] = schema.get("maxProperties", 32)
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions)
        if "item_rules" in schema:
            result["items"]["x-kubernetes-validations"] = schema["item_rules"]
    return result


def _object_schema() -> Schema:
    parts = {}
    for name, model in (("spec", InferenceServiceSpec), ("status", InferenceServiceStatus)):
        full = model.model_json_schema(by_alias=True, mode="validation")
        parts[name] = structural(full, full.get("$defs", {}))
    return {
        "type": "object",
        "description": "A model served by vLLM's OpenAI-compatible server.",
        "required": ["spec"],
        "x-kubernetes-validations": _NAME_RULES,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **parts,
        },
    }


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


_COLUMNS = (
    ("Model", "string", ".spec.model.uri", "Where the model is."),
    ("Ready", "string", _ready("status"), "Whether the service answers requests with its current spec."),
    ("Replicas", "integer", ".status.readyReplicas", "Pods that serve the current spec."),
    ("GPUs", "integer", ".status.gpus", "GPUs that all wanted replicas take together."),
    ("Reason", "string", _ready("reason"), "Why it is ready, or not."),
    ("Age", "date", ".metadata.creationTimestamp", ""),
)


def custom_resource_definition() -> dict[str, Any]:
    """The CustomResourceDefinition of InferenceService, as a manifest."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object_schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, **({"description": text} if text else {})}
            for name, kind, path, text in _COLUMNS
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "inferenceservice",
                "shortNames": ["vis"],
                "categories": ["vllm"],
            },
            "versions": [version],
        },
    }

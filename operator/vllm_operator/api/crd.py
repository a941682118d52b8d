"""Turns the API models into structural CustomResourceDefinitions, one for each kind of ours.

Pydantic's JSON schema has `$ref`, `anyOf` and `title`; a structural schema may have none of them. Anything else that
this module meets is an error at generation time, not a field that silently loses its validation.

A CRD has to stay below 256 KiB as compact JSON: `kubectl apply` and Argo CD keep it in an annotation. A test counts.
"""

import json
from dataclasses import dataclass
from typing import Any

from ..api import (
    BATCH_KIND,
    BATCH_PLURAL,
    CLASS_KIND,
    CLASS_PLURAL,
    GROUP,
    KIND,
    PLURAL,
    QUEUE_LABEL,
    VERSION,
    InferenceServiceSpec,
    InferenceServiceStatus,
)
from .base import LEFT_OPEN, RULES, ApiModel, Rule, rule
from .batch import InferenceBatchSpec, InferenceBatchStatus
from .conditions import ConditionType
from .elsewhere import with_refusals
from .ray import NAME_RULE
from .serving_class import ServingClassSpec, ServingClassStatus

Schema = dict[str, Any]

# The longest name of a child is <name>-<10 characters>-<5 characters> (a pod) and must stay below 63 as a host name.
MAX_NAME_LENGTH = 46
# leaderworkerset-<name>-g-<two digits>-<five characters>, in a label.
MAX_QUEUED_NAME_LENGTH = 36


def _no_adapter_of_that_name(what: str, spec: str, unless: str = "") -> Rule:
    """Without servedModelNames the model has the name of the object. `spec`: where the model and the adapters are."""
    return rule(
        f"{unless}!has({spec}.lora) || has({spec}.model.servedModelNames)"
        f" || !{spec}.lora.adapters.exists(a, a.name == self.metadata.name)",
        f"an adapter in lora.adapters has the name of the {what}, which is the model's: rename it, or set "
        "model.servedModelNames",
    )


_NAME_RULES = [
    rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be a DNS-1035 label (a-z, 0-9 and -, first a letter): the Service is named after it",
    ),
    rule(
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters: the names of the pods are longer and end at 63",
    ),
    rule(
        "self.metadata.name != 'kubernetes'",
        "metadata.name must not be kubernetes: pods of the namespace would take its Service for the API server",
    ),
    _no_adapter_of_that_name("service", "self.spec"),
    rule(
        "!has(self.spec.nodesPerReplica) || self.spec.nodesPerReplica == 1 || !has(self.spec.pod)"
        f" || !has(self.spec.pod.labels) || !('{QUEUE_LABEL}' in self.spec.pod.labels)"
        f" || size(self.metadata.name) <= {MAX_QUEUED_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_QUEUED_NAME_LENGTH} characters with nodesPerReplica and {QUEUE_LABEL} "
        "in pod.labels: Kueue names groups in a label of their pods, which ends at 63",
    ),
    NAME_RULE,
]
_CLASS_NAME_RULES = [
    rule(
        "size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be a label (a-z, 0-9 and -, at most 63 characters): the pods of the class carry it",
    ),
]
_BATCH_NAME_RULES = [
    rule(
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"metadata.name must be a DNS-1035 label (a-z, 0-9 and -, first a letter) of at most {MAX_NAME_LENGTH} "
        "characters: the names of the pods are longer and end at 63",
    ),
    _no_adapter_of_that_name("batch", "self.spec.template", unless="!has(self.spec.template) || "),
]
# Stands for the generation that a status is about until the operator has written one.
UNSEEN = -1
_KEPT = (
    "type", "enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "required", "default", "nullable",
)  # fmt: skip


def _describe(schema: Schema) -> str | None:
    text, examples = schema.get("description"), schema.get("examples")
    if not (text and examples):
        return text
    example = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0])
    return f"{text} Example: {example}"


def _merged(inner: Schema, outer: Schema, *dropped: str) -> Schema:
    """A type's node with what its field says on top. The rules of both hold."""
    rules = [*inner.get(RULES, []), *outer.get(RULES, [])]
    both = {**inner, **{key: value for key, value in outer.items() if key not in (*dropped, RULES)}}
    return {**both, RULES: rules} if rules else both


def _alternatives(schema: Schema, definitions: Schema) -> Schema:
    """`X | None` is X (an omitted field); a string that may be a number, and `int | Literal`, are int-or-string."""
    options = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if len(options) == 1:
        return structural(_merged(options[0], schema, "anyOf", "default"), definitions)
    if {option.get("type") for option in options} != {"integer", "string"}:
        raise ValueError(f"no structural schema for {schema}")
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "type")}
    return {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
        "maxLength": 16,
        **structural(rest, definitions),
    }


# Of JSON schema, but not of Kubernetes; or read above under another name.
_DROPPED = (
    "title",
    "examples",
    "description",
    "const",
    "properties",
    "additionalProperties",
    "propertyNames",
    "items",
    "item_rules",
    LEFT_OPEN,
    "$defs",
)


def structural(schema: Schema, definitions: Schema) -> Schema:
    """The structural form of one JSON schema node. Raises ValueError for what Kubernetes cannot express."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return structural(_merged(target, schema, "$ref"), definitions)
    if "anyOf" in schema:
        return _alternatives(schema, definitions)
    kept = {key for key in schema if key in _KEPT or key.startswith("x-kubernetes-")}
    if unknown := schema.keys() - kept - set(_DROPPED):
        raise ValueError(f"no structural schema for {sorted(unknown)} in {schema}")
    result: Schema = {key: schema[key] for key in schema if key in kept}
    if LEFT_OPEN in schema:
        result.pop("default")
    if description := _describe(schema):
        result["description"] = description
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "properties" in schema:
        result["properties"] = {name: structural(field, definitions) for name, field in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    if "items" in schema:
        items = _merged(schema["items"], {RULES: schema.get("item_rules", [])})
        result["items"] = structural(items, definitions)
    return result


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of ours, as its CustomResourceDefinition has it."""

    name: str
    plural: str
    short_name: str
    namespaced: bool
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[tuple[str, str, str, str], ...]
    """Name, type, JSON path and description of what `kubectl get` shows."""
    rules: tuple[Rule, ...]
    """CEL rules on the whole object: on its name."""
    scales: bool = False
    """Whether `kubectl scale` and an autoscaler may set spec.replicas."""
    categories: tuple[str, ...] = ("vllm",)
    """Words that `kubectl get` takes for all kinds that have them."""
    unfinished: bool = False
    """Whether a new object is not finished before the operator has written its status."""


def _object_schema(kind: Kind) -> Schema:
    parts = {}
    for name, model in (("spec", kind.spec), ("status", kind.status)):
        full = model.model_json_schema(by_alias=True, mode="validation")
        parts[name] = structural(full, full.get("$defs", {}))
    if kind.name == KIND:
        parts["spec"] = with_refusals(parts["spec"])
    if kind.unfinished:
        # kstatus takes an object without a status for finished. Flux's own kinds have this default for that reason.
        parts["status"]["default"] = {"observedGeneration": UNSEEN}
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        RULES: list(kind.rules),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **parts,
        },
    }


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="{ConditionType.READY}")].{field}'


_AGE = ("Age", "date", ".metadata.creationTimestamp", "")
INFERENCE_SERVICE = Kind(
    name=KIND,
    plural=PLURAL,
    short_name="vis",
    namespaced=True,
    description="A model served by vLLM's OpenAI-compatible server.",
    spec=InferenceServiceSpec,
    status=InferenceServiceStatus,
    columns=(
        ("Model", "string", ".spec.model.uri", "Where the model is."),
        (
            ConditionType.READY.value,
            "string",
            _ready("status"),
            "Whether the service answers requests with its current spec.",
        ),
        ("Replicas", "integer", ".status.readyReplicas", "Pods that serve the current spec."),
        ("GPUs", "integer", ".status.gpus", "GPUs that all wanted replicas take together."),
        ("Reason", "string", _ready("reason"), "Why it is ready, or not."),
        ("Progress", "string", ".status.download.progress", "How far the download is that it waits for."),
        _AGE,
    ),
    rules=tuple(_NAME_RULES),
    scales=True,
    unfinished=True,
)
SERVING_CLASS = Kind(
    name=CLASS_KIND,
    plural=CLASS_PLURAL,
    short_name="vsc",
    namespaced=False,
    description="What a platform team gives and allows InferenceServices that name it.",
    spec=ServingClassSpec,
    status=ServingClassStatus,
    columns=(
        ("Default", "boolean", ".spec.default", "Whether services that name no class have this one."),
        ("Resource", "string", ".spec.accelerator.resource", "What each rank asks for."),
        ("Product", "string", ".spec.accelerator.product", "GPU product as the nodes are labelled."),
        (ConditionType.READY.value, "string", _ready("status"), "Whether services can be made of the class."),
        ("Reason", "string", _ready("reason"), "Why it is ready, or not."),
        _AGE,
    ),
    rules=tuple(_CLASS_NAME_RULES),
    # Operators for named namespaces use classes, and write nothing to what belongs to the whole cluster.
)
INFERENCE_BATCH = Kind(
    name=BATCH_KIND,
    plural=BATCH_PLURAL,
    short_name="vib",
    namespaced=True,
    description="Requests in files that vLLM answers once, without a server.",
    spec=InferenceBatchSpec,
    status=InferenceBatchStatus,
    columns=(
        ("Done", "integer", ".status.done", "Requests that were answered."),
        ("Failed", "integer", ".status.failed", "Requests that go to the error file."),
        ("Total", "integer", ".status.total", "Requests that are to be answered."),
        ("Tokens/s", "integer", ".status.tokensPerSecond", "Tokens of prompts and answers in a second now."),
        ("End", "string", ".status.estimatedEnd", "When the last request will be answered at this pace."),
        ("Reason", "string", _ready("reason"), "How far it is, or why it is no further."),
        _AGE,
    ),
    rules=tuple(_BATCH_NAME_RULES),
    categories=("vllm", "batches"),
    unfinished=True,
)
KINDS = (INFERENCE_SERVICE, SERVING_CLASS, INFERENCE_BATCH)


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind, as a manifest."""
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object_schema(kind)},
        "subresources": {"status": {}, **({"scale": scale} if kind.scales else {})},
        "additionalPrinterColumns": [
            {"name": name, "type": form, "jsonPath": path, **({"description": text} if text else {})}
            for name, form, path, text in kind.columns
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": list(kind.categories),
            },
            "versions": [version],
        },
    }

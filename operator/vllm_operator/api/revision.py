"""Which parts of a spec the pods are made of, and which are inspected, each as one short hash. Pure.

Equal specs share a rendering.
"""

import hashlib
import json
from typing import Any

from .effects import OTHER_FIELDS, POD_FIELDS
from .spec import InferenceServiceSpec
from .storage import IMAGE

# Empty they say as much as left out, also with a ServingClass: what is within another one comes before that. Not those
# where an empty value keeps that of a class away.
EMPTY_IS_LEFT_OUT = (
    "model.objectStore",
    "kvCache",
    "resources.requests",
    "resources.limits",
    "resources",
    "pod.nodeSelector",
    "pod.tolerations",
    "pod.topologySpreadConstraints",
    "pod.imagePullSecrets",
    "pod.labels",
    "pod.annotations",
    "pod",
    "parserPlugins",
    "tuning",
    "rollout",
    "env",
)


def revision_of(name: str, spec: InferenceServiceSpec) -> str:
    """Hash of the spec of the service called `name`, 10 hexadecimal digits."""
    fields = _fields_of_pods(spec)
    for path in EMPTY_IS_LEFT_OUT:
        _remove_empty(fields, path.split("."))
    return _hash(name, spec, fields)


def former_revision_of(name: str, spec: InferenceServiceSpec) -> str:
    """The same as operators up to version 0.1 have it: what is empty is not left out."""
    return _hash(name, spec, _fields_of_pods(spec))


def _fields_of_pods(spec: InferenceServiceSpec) -> dict[str, Any]:
    fields = spec.to_manifest()
    for path in OTHER_FIELDS:
        _remove(fields, path.split("."))
    return fields


def _hash(name: str, spec: InferenceServiceSpec, fields: dict[str, Any]) -> str:
    parts = {field: fields[field] for field in POD_FIELDS if field in fields}
    parts["cache"] = cache_claim_name(name, spec)  # the pods see the claim's name, not its size or class
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def inspection_of(spec: InferenceServiceSpec) -> str:
    """Hash of what is inspected, 8 hexadecimal digits: it holds as long as the same model and secrets are named."""
    model = spec.model
    token = model.token_secret_ref.to_manifest() if model.token_secret_ref else None
    restarted = spec.rollout.restarted_at if spec.rollout else None
    parts: list[Any] = [model.uri, model.revision, token, restarted]
    parts += [model.image_path] if model.image_path else []
    secrets = spec.pod.image_pull_secrets if spec.pod and model.uri.startswith(IMAGE) else None
    parts += [[secret.to_manifest() for secret in secrets]] if secrets else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def cache_claim_name(name: str, spec: InferenceServiceSpec) -> str | None:
    """The claim that the pods mount as their cache, made by us or by the user; None: the cache is in the pod."""
    return (spec.cache.existing_claim or made_claim_name(name)) if spec.cache else None


def made_claim_name(name: str) -> str:
    """The claim that the operator makes for the service called `name`."""
    return f"{name}-cache"


def _remove(node: dict[str, Any], steps: list[str]) -> None:
    """Takes a field out, and the object that held it where nothing else is in it."""
    if len(steps) == 1:
        node.pop(steps[0], None)
    elif node.get(steps[0]):
        _remove(node[steps[0]], steps[1:])
        if not node[steps[0]]:
            del node[steps[0]]


def _remove_empty(node: dict[str, Any], steps: list[str]) -> None:
    *holders, last = steps
    for holder in holders:
        node = node.get(holder) or {}
    if node.get(last) in ({}, []):
        del node[last]

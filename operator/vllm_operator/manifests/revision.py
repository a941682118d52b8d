"""The ControllerRevision that keeps a rendered pod template.

A template is rendered once per change of what the pods are made of, and kept. A new operator version, or new settings,
therefore roll nothing by themselves, and a repair knows what to repair to.
"""

import hashlib
import json
from typing import Any

from ..api.effects import OTHER_FIELDS, POD_FIELDS
from ..api.resource import InferenceService
from .claim import claim_name
from .metadata import Manifest, metadata
from .names import REVISION_LABEL


def revision_name(service: InferenceService) -> str:
    """Hash of the parts of the spec that the pods are made of; equal specs share a rendering."""
    spec = service.spec.to_manifest()
    for path in OTHER_FIELDS:
        _remove(spec, path.split("."))
    parts = {field: spec[field] for field in POD_FIELDS if field in spec}
    parts["cache"] = claim_name(service)  # the pods see the claim's name, not its size or class
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def _remove(node: dict[str, Any], steps: list[str]) -> None:
    """Takes a field out, and the object that held it where nothing else is in it."""
    if len(steps) == 1:
        node.pop(steps[0], None)
    elif node.get(steps[0]):
        _remove(node[steps[0]], steps[1:])
        if not node[steps[0]]:
            del node[steps[0]]


def controller_revision(service: InferenceService, number: int, template: Manifest) -> Manifest:
    """The object that keeps `template`; `number` orders the renderings of one service."""
    name = revision_name(service)
    meta = metadata(service, f"{service.name}-{name}")
    meta["labels"] = {**meta["labels"], REVISION_LABEL: name}
    kept: dict[str, Any] = {"template": template}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": number, "data": kept}

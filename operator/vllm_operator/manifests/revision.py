"""The ControllerRevision that keeps a rendered pod template.

A template is rendered once per change of what the pods are made of, and kept. A new operator version, or new settings,
therefore roll nothing by themselves, and a repair knows what to repair to.
"""

from typing import Any

from ..api.resource import InferenceService
from .metadata import Manifest, metadata
from .names import REVISION_LABEL


def controller_revision(service: InferenceService, number: int, template: Manifest) -> Manifest:
    """The object that keeps `template`; `number` orders the renderings of one service."""
    meta = metadata(service, f"{service.name}-{service.revision}")
    meta["labels"] = {**meta["labels"], REVISION_LABEL: service.revision}
    kept: dict[str, Any] = {"template": template}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": number, "data": kept}

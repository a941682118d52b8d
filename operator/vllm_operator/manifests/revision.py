"""The ControllerRevision that keeps a rendered pod template.

A template is rendered once per change of what the pods are made of, and kept. A new operator version, or new settings,
therefore roll nothing by themselves, and a repair knows what to repair to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..api.resource import InferenceService
from .metadata import Manifest, metadata
from .names import REVISION_LABEL


@dataclass(frozen=True, slots=True)
class Rendered:
    """A pod template, and the values that it was made with beside the user's spec, as they are kept."""

    template: Manifest
    resolved: Sequence[Manifest] | None = None
    """None: kept by an operator that knew no ServingClasses. The data of a ControllerRevision cannot be changed."""


def controller_revision(service: InferenceService, number: int, rendered: Rendered) -> Manifest:
    """The object that keeps a rendering; `number` orders those of one service."""
    meta = metadata(service, f"{service.name}-{service.revision}")
    meta["labels"] = {**meta["labels"], REVISION_LABEL: service.revision}
    kept: dict[str, Any] = {"template": rendered.template}
    if rendered.resolved is not None:
        kept["resolved"] = list(rendered.resolved)
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": number, "data": kept}

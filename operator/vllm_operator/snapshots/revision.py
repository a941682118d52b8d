"""What a ControllerRevision of ours keeps: a pod template with what was resolved for it, or what is known of a model.

Whoever may edit the namespace may write one. One that is too large, or lacks what is read of it, is as if it were not
there. Pure: a watch event's body in, a value out.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api.encoding import canonical
from ..api.limits import (
    JSON_DEPTH,
    KIB,
    MIB,
    REPORT_BYTES,
    RESOLVED_BYTES,
    TEMPLATE_BYTES,
    OverLimitError,
    is_deeper,
    mapping,
)
from ..inspection.cache import SizedCache
from ..inspection.kept import checked, pack_text
from ..inspection.report import InspectionError
from ..manifests.hardening import version_of
from ..manifests.names import REVISION_LABEL
from ..manifests.packing import pack_template


@dataclass(frozen=True, slots=True)
class Kept:
    """Packed, as there may be ten thousand services."""

    template: bytes | None = None
    resolved: str | None = None
    model: bytes | None = None
    version: int = 0
    """Of the template."""
    odd: str = ""
    """Why it is nothing that we have kept."""


def kept(data: Any) -> Kept:
    """What the data of a ControllerRevision keep."""
    content = mapping(data)
    try:
        if "model" in content:
            return Kept(model=_model(content["model"]))
        text = _bounded(content.get("template"), TEMPLATE_BYTES)
        resolved = _bounded(content["resolved"], RESOLVED_BYTES).decode() if "resolved" in content else None
        if not _is_template(content["template"]) or not all(map(_is_resolved, content.get("resolved", ()))):
            return Kept(odd="it is no pod template of ours")
        return Kept(pack_template(text.decode()), resolved, version=version_of(content["template"]))
    except (OverLimitError, InspectionError) as error:
        return Kept(odd=str(error))
    except (KeyError, IndexError, TypeError, AttributeError):
        return Kept(odd="it is nothing that the operator keeps")


# Thousands of services may be of one model: it is packed once for all.
_MODELS: SizedCache[bytes] = SizedCache(4 * MIB)
_KEY_BYTES = 300


def _model(content: Any) -> bytes:
    """What is known of a model, packed. Raises OverLimitError or InspectionError."""
    text = _bounded(content, REPORT_BYTES)

    def pack() -> tuple[bytes, int]:
        checked(content)
        packed = pack_text(text)
        return packed, len(packed) + _KEY_BYTES

    return _MODELS.get(hashlib.sha256(text).digest(), pack)


def _bounded(value: Any, most_bytes: int) -> bytes:
    """The value as JSON. Raises OverLimitError."""
    if is_deeper(value, JSON_DEPTH):
        raise OverLimitError(f"it is nested deeper than {JSON_DEPTH} levels")
    text = canonical(value)
    if len(text) > most_bytes:
        raise OverLimitError(f"it is larger than {most_bytes // KIB} KiB")
    return text


def _is_template(template: Any) -> bool:
    """Whether it has all that is read of one. Raises KeyError, IndexError or TypeError where a part is no object."""
    read = (template["metadata"]["labels"][REVISION_LABEL], template["spec"]["containers"][0]["image"])
    return isinstance(template["spec"], Mapping) and all(isinstance(part, str) for part in read)


def _is_resolved(value: Any) -> bool:
    return isinstance(value["field"], str) and isinstance(value["from"], str) and "value" in value

"""What the API server says of an object's metadata, as of any object: its fields, namespace, labels and annotations.

Sources: `ValidateObjectMeta` in apimachinery's pkg/api/validation, and pkg/util/validation.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = (
    "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
    "generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences", "resourceVersion",
    "selfLink", "uid",
)  # fmt: skip
"""All fields of Kubernetes' ObjectMeta."""

ANNOTATIONS_BYTES = 256 << 10
_LABEL, _NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_MOST_NAME, _MOST_PREFIX = 63, 253


def metadata_faults(metadata: Any, *, namespaced: bool) -> Iterator[tuple[str, str]]:
    """Each wrong part: its path (.metadata.labels.team), and what is wrong with it."""
    if not isinstance(metadata, Mapping) or not metadata.get("name"):
        yield ".metadata.name", "Required value: name or generateName is required"
        return
    namespace = metadata.get("namespace")
    if namespace and not namespaced:
        yield ".metadata.namespace", "a ServingClass belongs to the whole cluster: leave it out"
    elif namespace and (said := namespace_fault(namespace)):
        yield ".metadata.namespace", said
    for part in ("labels", "annotations"):
        notes = metadata.get(part)
        if notes is not None and not isinstance(notes, Mapping):
            yield f".metadata.{part}", "must be of type object"
        for key, value in notes.items() if isinstance(notes, Mapping) else ():
            if said := note_fault(part, str(key), value):
                yield f".metadata.{part}.{key}", said
    if _size(metadata.get("annotations")) > ANNOTATIONS_BYTES:
        yield ".metadata.annotations", f"Too long: may not be more than {ANNOTATIONS_BYTES} bytes"


def namespace_fault(namespace: Any) -> str:
    """What is wrong with the name of a namespace; empty for nothing."""
    if isinstance(namespace, str) and len(namespace) <= _MOST_NAME and re.fullmatch(_LABEL, namespace):
        return ""
    return f'Invalid value: "{namespace}": must be a-z, 0-9 and -, with a letter or digit at both ends, at most 63'


def note_fault(part: str, key: str, value: Any) -> str:
    """What is wrong with a label, or with an annotation, as `part` says; empty for nothing."""
    # The API server takes an annotation's key in any case.
    prefix, slash, name = (key if part == "labels" else key.lower()).rpartition("/")
    sound = not slash or (len(prefix) <= _MOST_PREFIX and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", prefix))
    if not sound or len(name) > _MOST_NAME or not re.fullmatch(_NAME, name):
        return (
            f'Invalid value: "{key}": a key must be like team or example.com/team: letters, digits, -, _ and ., at '
            "most 63 of them (253 before the slash)"
        )
    if not isinstance(value, str):
        return "must be a string: write it in quotes"
    if part == "labels" and value and (len(value) > _MOST_NAME or not re.fullmatch(_NAME, value)):
        return (
            f'Invalid value: "{value}": must be letters, digits, -, _ and ., with a letter or digit at both ends, at '
            "most 63"
        )
    return ""


def _size(notes: Any) -> int:
    """Bytes of all keys and values."""
    pairs = notes.items() if isinstance(notes, Mapping) else ()
    return sum(len(f"{key}{value}".encode()) for key, value in pairs)

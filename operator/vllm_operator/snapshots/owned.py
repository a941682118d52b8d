"""Which fields of an object are ours by server-side apply, and what they hold. Pure.

See https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..api.encoding import canonical
from ..api.limits import FIELDS_BYTES, FIELDS_ITEMS, MIB, OBJECTS_PER_BYTE
from ..api.quantities import exact
from ..api.resource import Body
from ..inspection.cache import SizedCache
from ..manifests.names import FIELD_MANAGER


def fields_of(metadata: Body) -> Body:
    """The fields that our last apply owns, as FieldsV1; empty where we applied none."""
    for entry in metadata.get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return dict(entry.get("fieldsV1") or {})
    return {}


def owned_fields(metadata: Body) -> str:
    """Digest of the fields that our last apply owns. An edit by somebody else takes fields away from us."""
    fields = fields_of(metadata)
    return _hash(canonical(fields)) if fields else ""


def owned_content(body: Body) -> str:
    """Digest of what the fields hold that our last apply owns: `content` of the manifest where nobody has edited it.

    Empty where we own nothing, or more fields than any manifest of ours has.
    """
    fields = fields_of(body["metadata"])
    if not fields or len(canonical(fields)) > FIELDS_BYTES:
        return ""
    return _digest(body.get("kind"), _held(body, _part_of_object(fields)))


# Of the workloads that were seen last. Losing one costs half a millisecond.
_CONTENTS: SizedCache[str] = SizedCache(8 * MIB)
_CONTENT_BYTES = 512
"""Of one with its key, at most: 270 were measured, and two texts that its snapshot has as well."""


def workload_content(body: Body, fields_digest: str) -> str:
    """`owned_content` of a Deployment or a LeaderWorkerSet, with its `owned_fields`.

    They have an event for each step of each pod, at which our part of them stays as it is. So it is worked out only
    where it may have changed: with every change of a spec the API server counts the generation up.
    """
    metadata = body["metadata"]
    beside = canonical([metadata.get(name) for name in ("labels", "annotations", "ownerReferences")])
    state = (metadata.get("generation"), fields_digest, _hash(beside))
    return _CONTENTS.get(metadata["uid"], lambda: (owned_content(body), _CONTENT_BYTES), state)


def content(manifest: Body) -> str:
    """Digest of what a manifest says beside its kind and its name."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in ("name", "namespace")}
    said = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
    return _digest(manifest.get("kind"), {**said, "metadata": metadata})


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a value that is owned. Of a field or an item None: all of it."""

    fields: Mapping[str, "_Part | None"]
    """Of an object, by name."""
    items: Mapping[str, "_Part | None"]
    """Of a list, by `_name`: those of a map are named by some of their fields, those of a set by themselves."""
    naming: tuple[tuple[str, ...], ...]
    """By which fields the items are named; empty: by themselves."""


# Thousands of services own the same fields: what they say is read once. Losing one costs a tenth of a millisecond.
_PARTS: SizedCache[_Part | None] = SizedCache(4 * MIB)


def _part(fields: Mapping[str, Any]) -> _Part | None:
    """What FieldsV1 say; None where they name no part."""
    parts = {key: _part(owned) for key, owned in fields.items() if key != "."}
    if not parts:
        return None
    items, naming = {}, dict[tuple[str, ...], None]()
    for key, part in parts.items():
        if not key.startswith("f:"):
            named = msgspec.json.decode(key[2:])
            names = tuple(sorted(named)) if isinstance(named, dict) else ()
            naming[names] = None
            items[_name(named, names)] = part
    return _Part({key[2:]: part for key, part in parts.items()}, items, tuple(naming))


def _part_of_object(fields: Mapping[str, Any]) -> _Part:
    """The same of a whole object. Its metadata name its owner, so they are like those of no other."""

    def read(key: str, owned: Mapping[str, Any]) -> _Part | None:
        if key == "f:metadata":
            return _part(owned)
        text = canonical(owned)
        return _PARTS.get(text, lambda: (_part(owned), OBJECTS_PER_BYTE * len(text)))

    return _Part({key[2:]: read(key, owned) for key, owned in fields.items()}, {}, ())


def _held(value: Any, part: _Part | None) -> Any:
    """The part of a value that is owned; all of it where it is no object and no list."""
    if part and isinstance(value, dict):
        return {name: _held(value.get(name), owned) for name, owned in part.fields.items()}
    if part and isinstance(value, list):
        return list(_held_items(value, part))
    return value


def _held_items(items: list[Any], part: _Part) -> Iterator[Any]:
    """The owned parts of items.

    Whoever adds items decides how many there are: too many are as if none of ours was there.
    """
    if len(items) > FIELDS_ITEMS:
        return
    for item in items:
        for name in (_name(item, names) for names in part.naming):
            if name in part.items:
                yield _held(item, part.items[name])


def _name(item: Any, names: tuple[str, ...]) -> str:
    return repr([item.get(name) for name in names] if names and isinstance(item, dict) else item)


# What the API server makes of a value that is owned as a whole: what is empty it may leave out, so empty values are all
# one here; and a reference to a field of the pod gets a version.
_AS_WRITTEN = ((b"{}", b"null"), (b"[]", b"null"), (b'""', b"null"), (b'"apiVersion":"v1","fieldPath"', b'"fieldPath"'))


# Quantities as they stand in canonical JSON: fields that hold one, and maps of which each value is one. Within a text
# no quote is without a backslash, so that these are names of fields.
_VALUE = rb'("[^"\\]*"|-?[0-9][^,}\]]*)'
_QUANTITY = re.compile(rb'("(?:sizeLimit|averageValue)":)' + _VALUE)
_QUANTITIES = re.compile(rb'"(?:requests|limits)":\{[^{}]*\}')
_OF_QUANTITIES = re.compile(rb'("[^"\\]*":)' + _VALUE)


def _one_form(text: bytes) -> bytes:
    """JSON whose quantities have one form: the API server keeps 16384Mi as 16Gi, and 1000m or a number 1 as "1"."""
    text = _QUANTITY.sub(_quantity, text)
    return _QUANTITIES.sub(lambda found: _OF_QUANTITIES.sub(_quantity, found[0]), text)


def _quantity(found: re.Match[bytes]) -> bytes:
    name, value = found.groups()
    try:
        return b'%b"%b"' % (name, str(exact(value.strip(b'"').decode())).encode())
    except ValueError:
        return found[0]


def _digest(kind: str | None, value: Any) -> str:
    text = canonical(value)
    if kind != "ControllerRevision":  # the API server knows nothing of their data: they stay as they are
        text = _one_form(text)
        for there, written in _AS_WRITTEN:
            text = text.replace(there, written)
    return _hash(text)


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]

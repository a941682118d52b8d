"""Which fields of an object are ours by server-side apply, and what they hold. Pure.

See https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ..api.limits import FIELDS_BYTES, FIELDS_ITEMS, MIB
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
    return _hash(_text(fields)) if fields else ""


def owned_content(body: Body) -> str:
    """Digest of what the fields hold that our last apply owns: `content` of the manifest where nobody has edited it.

    Empty where we own nothing, or more fields than any manifest of ours has.
    """
    fields = fields_of(body["metadata"])
    if not fields or len(_text(fields)) > FIELDS_BYTES:
        return ""
    return _digest(_held(body, fields))


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
    beside = _text([metadata.get(name) for name in ("labels", "annotations", "ownerReferences")])
    key = (metadata["uid"], metadata.get("generation"), fields_digest, _hash(beside))
    return _CONTENTS.get(key, lambda: (owned_content(body), _CONTENT_BYTES))


def content(manifest: Body) -> str:
    """Digest of what a manifest says beside its kind and its name."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in ("name", "namespace")}
    said = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
    return _digest({**said, "metadata": metadata})


def _held(value: Any, fields: Mapping[str, Any]) -> Any:
    """The part of a value that is owned by FieldsV1; all of it where they name no part."""
    parts = {key: owned for key, owned in fields.items() if key != "."}
    if parts and isinstance(value, Mapping):
        return {key[2:]: _held(value.get(key[2:]), owned) for key, owned in parts.items()}
    if parts and isinstance(value, list):
        return list(_held_items(value, parts))
    return value


def _held_items(items: list[Any], parts: Mapping[str, Any]) -> Iterator[Any]:
    """The owned parts of items: those of a map are named by some of their fields, those of a set by themselves.

    Whoever adds items decides how many there are: too many are as if none of ours was there.
    """
    if len(items) > FIELDS_ITEMS:
        return
    owned_by, keys = {}, set()
    for part, owned in parts.items():
        named = orjson.loads(part[2:])
        names = tuple(sorted(named)) if isinstance(named, dict) else ()
        keys.add(names)
        owned_by[_name(named, names)] = owned
    for item in items:
        for names in keys:
            if (owned := owned_by.get(_name(item, names))) is not None:
                yield _held(item, owned)


def _name(item: Any, names: tuple[str, ...]) -> str:
    return repr([item.get(name) for name in names] if names and isinstance(item, Mapping) else item)


# What the API server makes of a value that is owned as a whole: what is empty it may leave out, so empty values are all
# one here; and a reference to a field of the pod gets a version.
_AS_WRITTEN = ((b"{}", b"null"), (b"[]", b"null"), (b'""', b"null"), (b'"apiVersion":"v1","fieldPath"', b'"fieldPath"'))


# Fields that hold a quantity, and maps of which each value is one.
_QUANTITIES, _OF_QUANTITIES = ("sizeLimit", "averageValue"), ("requests", "limits")


def _one_form(value: Any, field: str = "") -> Any:
    """A value whose quantities have one form: the API server keeps 16384Mi as 16Gi, and 1000m or a number 1 as "1"."""
    if isinstance(value, list):
        return [_one_form(one) for one in value]
    if not isinstance(value, dict):
        return value
    if field in _OF_QUANTITIES:
        return {key: _quantity(one) for key, one in value.items()}
    return {key: _quantity(one) if key in _QUANTITIES else _one_form(one, key) for key, one in value.items()}


def _quantity(value: Any) -> Any:
    try:
        return str(exact(str(value)))
    except ValueError:
        return value


def _digest(value: Any) -> str:
    text = _text(_one_form(value))
    for there, written in _AS_WRITTEN:
        text = text.replace(there, written)
    return _hash(text)


def _text(value: Any) -> bytes:
    """As JSON, the same for equal values."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # half a character, or deeper than anything of ours
        return json.dumps(value, sort_keys=True).encode()


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]

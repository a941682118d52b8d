"""From what the watch shows of a batch to the batch. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..api.base import first_fault
from ..api.batch import InferenceBatch, InferenceBatchSpec
from ..api.resource import Key
from ..api.spec import UNREADABLE
from ..snapshots.own import ObjectSnapshot

_OF_ENGINE = ("servingClassName", "serviceRef", "template")
_TEMPLATE = {"model": {"uri": UNREADABLE.model.uri}}
_NOWHERE = {"uri": "pvc://none"}
_UNREADABLE = InferenceBatchSpec.model_validate({"template": _TEMPLATE, "input": _NOWHERE, "output": _NOWHERE})


def parse(key: Key, snapshot: ObjectSnapshot) -> tuple[InferenceBatch, str]:
    """The batch, and what is wrong with its spec, beyond the schema that the API server has checked."""
    if snapshot.oversize:
        return _batch(key, snapshot, _UNREADABLE), f"spec: {snapshot.oversize}"
    try:
        spec, fault = InferenceBatchSpec.model_validate(snapshot.spec), ""
    except ValidationError as error:
        where, wrong = first_fault(error)
        spec, fault = _without_engine(snapshot.spec), f"spec.{where}: {wrong}"
    return _batch(key, snapshot, spec), fault


def is_readable(batch: InferenceBatch) -> bool:
    """Whether the spec tells where input and output are. Else no Job may be made of it."""
    return batch.spec is not _UNREADABLE


def _batch(key: Key, snapshot: ObjectSnapshot, spec: InferenceBatchSpec) -> InferenceBatch:
    return InferenceBatch(*key, snapshot.uid, snapshot.generation, spec, snapshot.queue or None)


def _without_engine(given: Mapping[str, Any]) -> InferenceBatchSpec:
    """What can be read of a spec all the same: where its input and output are, and when its pods are to end."""
    own = {key: value for key, value in given.items() if key not in _OF_ENGINE}
    try:
        return InferenceBatchSpec.model_validate({**own, "template": _TEMPLATE})
    except ValidationError:
        return _UNREADABLE

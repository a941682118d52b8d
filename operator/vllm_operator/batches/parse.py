"""From what the watch shows of a batch to the batch. Pure."""

from pydantic import ValidationError

from ..api.base import first_fault
from ..api.batch import InferenceBatch, InferenceBatchSpec
from ..api.resource import Key
from ..snapshots.own import ObjectSnapshot

_UNREADABLE = InferenceBatchSpec.model_validate(
    {
        "template": {"model": {"uri": "hf://unreadable/spec"}},
        "input": {"uri": "pvc://none"},
        "output": {"uri": "pvc://none"},
    }
)


def parse(key: Key, snapshot: ObjectSnapshot) -> tuple[InferenceBatch, str]:
    """The batch, and what is wrong with its spec, beyond the schema that the API server has checked."""
    if snapshot.oversize:
        return _batch(key, snapshot, _UNREADABLE), f"spec: {snapshot.oversize}"
    try:
        spec, fault = InferenceBatchSpec.model_validate(snapshot.spec), ""
    except ValidationError as error:
        where, wrong = first_fault(error)
        spec, fault = _UNREADABLE, f"spec.{where}: {wrong}"
    return _batch(key, snapshot, spec), fault


def _batch(key: Key, snapshot: ObjectSnapshot, spec: InferenceBatchSpec) -> InferenceBatch:
    return InferenceBatch(*key, snapshot.uid, snapshot.generation, spec, snapshot.queue or None)

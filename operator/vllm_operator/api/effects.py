"""What a change of the spec does to the pods. Follows from the fields: one that rolls no pod says `rolls=False`."""

from .fields import fields
from .spec import InferenceServiceSpec

_FIELDS = tuple(fields(InferenceServiceSpec))
# Top-level fields of the spec that the pods are made of, and what within these changes no pod.
POD_FIELDS = tuple(field.path for field in _FIELDS if field.rolls and "." not in field.path)
OTHER_FIELDS = tuple(
    field.path for field in _FIELDS if not field.rolls and "." in field.path and field.path.split(".")[0] in POD_FIELDS
)

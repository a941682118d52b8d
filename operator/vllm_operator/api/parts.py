"""A model that is a part of another one: what it says of a field follows from the field, and nothing is said twice."""

import copy
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import ConfigDict, create_model

from .base import ApiModel, Rule, with_rules


def part_of(  # noqa: PLR0913 - what a model has
    model: type[ApiModel],
    name: str,
    text: str,
    without: Collection[str],
    *,
    rules: Sequence[Rule] = (),
    required: Collection[str] = (),
) -> Any:
    """A model called `name` of the fields of `model` but for those in `without`. All may be left out but `required`."""
    parts: dict[str, Any] = {}
    for field, declared in model.model_fields.items():
        if field in without:
            continue
        info = copy.copy(declared)
        if field not in required:
            annotation: Any = declared.annotation
            info.default, info.annotation = None, annotation | None
        parts[field] = (info.annotation, info)
    made = create_model(name, __base__=ApiModel, __doc__=text, __module__=__name__, **parts)
    made.model_config = ConfigDict(**{**made.model_config, **with_rules(*rules)}) if rules else made.model_config
    made.model_rebuild(force=True)
    return made

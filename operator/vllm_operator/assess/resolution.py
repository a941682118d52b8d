"""What a service's spec comes to with its ServingClass and the operator's settings: each value, and where from. Pure.

The user's own values win. What is resolved is kept with the pod template: then a changed class, or new settings, are
told (`changes`), and reach the service when its spec changes.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..api.accelerator import Accelerator
from ..api.base import ApiModel, bytes_of, first_fault
from ..api.fields import SpecField, fields
from ..api.reasons import Finding, Reason
from ..api.serving_class import ServingCache, ServingClass, ServingDefaults, ServingPod
from ..api.spec import AUTO, InferenceServiceSpec
from ..settings import Settings
from .consistency import broken
from .merging import ContradictionError, at, join

OPERATOR = "operator"
PLAN = "plan"
"""The source of what the memory plan chose."""
TENSOR_SIZE = "tensorParallelSize"
NODES = "nodesPerReplica"
CHOSEN = (TENSOR_SIZE, NODES)
"""What the plan chooses where it is left open, with the product of the GPUs beside the first."""
LEARNED = "plan.learnedBytes"
"""No field of a spec: what the plan learned of other engines, by product. It is kept as the other values are."""
# What status.resolved shows of a value.
_MOST_CHARACTERS = 253
_WAY_OUT = "change the service, or name another class"
# Values that need no merging: a service without a class has no others.
_SIMPLE = ("image", "accelerator.resource")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value that did not come from the service's spec."""

    field: str
    """As a user would write it: kvCache.dtype."""
    value: Any
    """As it stands in YAML; where it is added to the service's own, without that."""
    source: str
    """`ServingClass h100`, `operator`, or `plan`."""
    why: str = ""
    """Why the plan chose it."""

    def text(self) -> str:
        """The value, for people."""
        text = self.value if isinstance(self.value, str) else json.dumps(self.value)
        return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"

    def to_manifest(self) -> dict[str, Any]:
        """As it is kept."""
        why = {"why": self.why} if self.why else {}
        return {"field": self.field, "value": self.value, "from": self.source, **why}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Resolved":
        """What was kept. Raises KeyError for anything else."""
        return cls(kept["field"], kept["value"], kept["from"], kept.get("why", ""))


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a spec comes to; with a refusal, what it would come to as far as it can."""

    spec: InferenceServiceSpec
    resolved: tuple[Resolved, ...]
    refusal: Finding | None = None


class Claim(NamedTuple):
    """The cache's claim that is there: Kubernetes changes neither its class nor its mode, and shrinks none."""

    storage: str
    storage_class: str | None
    access_mode: str


def resolve(
    spec: InferenceServiceSpec, own: ServingClass | None, settings: Settings, claim: Claim | None = None
) -> Resolution:
    """The effective spec of a service of class `own`; None: of no class. `claim`: the one that its pods have."""
    given = spec.given()
    offered = _of_class(given, own) if own else []
    offered = [_as_claimed(one, claim) for one in offered] if claim else offered
    resource = at(given, "accelerator.resource") or next(
        (one.value for one in offered if one.field == "accelerator.resource"), spec.accelerator.resource
    )
    if own and own.spec.images and (image := own.spec.images.of(resource)):
        offered.append(Resolved("image", image, _source(own)))
    try:
        resolved = _joined(given, [*offered, *_of_operator(resource, settings, on_ray=spec.on_ray)])
        result = effective(spec, resolved)
    except ContradictionError as error:
        return _refused(spec, settings, f"{_source(own)} cannot be used: its {error}; {_WAY_OUT}")
    except ValidationError as error:
        where, wrong = first_fault(error)
        return _refused(spec, settings, f"with {_source(own)}, {where} is wrong: {wrong}; {_WAY_OUT}")
    if own and (sentence := broken(result)):
        return Resolution(result, resolved, (Reason.CLASS_CONTRADICTED, f"with {_source(own)}: {sentence}"))
    return Resolution(result, resolved)


def effective(spec: InferenceServiceSpec, resolved: Sequence[Resolved]) -> InferenceServiceSpec:
    """The spec with what was resolved. Raises ContradictionError, and pydantic.ValidationError."""
    resolved = [one for one in resolved if one.field != LEARNED]
    if all(one.field in _SIMPLE for one in resolved):
        found = {one.field: one.value for one in resolved}
        device = spec.accelerator.model_copy(update={"resource": found[_SIMPLE[1]]} if _SIMPLE[1] in found else {})
        return spec.model_copy(update={"accelerator": device, "image": found.get("image", spec.image)})
    given = spec.given()
    if given.get(TENSOR_SIZE) == AUTO and any(one.source == PLAN for one in resolved):
        del given[TENSOR_SIZE]  # the plan's to fill in
    manifest = copy.deepcopy(given)
    for one in resolved:
        join(manifest, given, one.field, one.value)
    return InferenceServiceSpec.model_validate(manifest)


def with_chosen(
    spec: InferenceServiceSpec, resolved: Sequence[Resolved], chosen: Sequence[Resolved]
) -> tuple[InferenceServiceSpec, tuple[Resolved, ...]]:
    """The spec, and what was resolved of it, with what the plan chose."""
    fields = {one.field for one in chosen}
    return effective(spec, chosen), (*(one for one in resolved if one.field not in fields), *chosen)


class Changed(NamedTuple):
    """One value that is another now."""

    text: str
    of_class: bool
    """Whether a ServingClass gave it, or gives it now, or another class is the default."""


def changes(kept: Sequence[Resolved], now: Sequence[Resolved]) -> list[Changed]:
    """What of the kept values is another now, in the order of the fields as they are now."""
    before, after = ({one.field: one for one in some} for some in (kept, now))
    found = []
    for field in dict.fromkeys([*after, *before]):
        pair = [one for one in (before.get(field), after.get(field)) if one]
        if len(pair) == 1 or pair[0].value != pair[1].value:
            old, new = (one.text() if one else "unset" for one in (before.get(field), after.get(field)))
            of_class = field == "servingClassName" or any(one.source != OPERATOR for one in pair)
            found.append(Changed(f"{field} {old} -> {new}", of_class))
    return found


def _source(own: ServingClass | None) -> str:
    return f"ServingClass {own.name}" if own else OPERATOR


def _refused(spec: InferenceServiceSpec, settings: Settings, message: str) -> Resolution:
    alone = resolve(spec, None, settings)
    return Resolution(alone.spec, alone.resolved, (Reason.CLASS_CONTRADICTED, message))


def _of_class(given: Mapping[str, Any], own: ServingClass) -> list[Resolved]:
    """What a class has to give, without its image, in the order in which it is looked at."""
    chosen = [] if given.get("servingClassName") else [Resolved("servingClassName", own.name, OPERATOR)]
    spec, source = own.spec, _source(own)
    parts: list[tuple[type[ApiModel], ApiModel | None, str]] = [
        (Accelerator, spec.accelerator, "accelerator."),
        (ServingPod, spec.pod, "pod."),
        (ServingCache, spec.cache, "cache.claim."),
        (ServingDefaults, spec.defaults, ""),
    ]
    found = [entry for model, part, before in parts if part for entry in _values(model, part.given(), before)]
    return [*chosen, *(Resolved(field, value, source) for field, value in found)]


def _as_claimed(one: Resolved, claim: Claim) -> Resolved:
    """What a class says of a claim, as far as it can still be had."""
    there = {"cache.claim.storageClassName": claim.storage_class, "cache.claim.accessMode": claim.access_mode}
    if one.field == "cache.claim.storage" and bytes_of(claim.storage) > bytes_of(one.value):
        return replace(one, value=claim.storage)
    return replace(one, value=there.get(one.field) or one.value)


@cache
def _leaves(model: type[ApiModel]) -> tuple[SpecField, ...]:
    return tuple(field for field in fields(model) if field.leaf)


def _values(model: type[ApiModel], manifest: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """What is set in a manifest of `model`, by path: lists and maps are one value."""
    for field in _leaves(model):
        if (value := at(manifest, field.path)) is not None:
            yield f"{before}{field.path}", value


def _of_operator(resource: str, settings: Settings, *, on_ray: bool) -> Iterator[Resolved]:
    yield Resolved("accelerator.resource", resource, OPERATOR)
    yield Resolved("image", settings.default_image(resource, on_ray=on_ray), OPERATOR)


def _joined(given: dict[str, Any], offered: Sequence[Resolved]) -> tuple[Resolved, ...]:
    """Those of the offered values that come in: the first of each field. Raises ContradictionError."""
    manifest = copy.deepcopy(given)
    found: dict[str, Resolved] = {}
    for one in offered:
        if one.field not in found and join(manifest, given, one.field, one.value):
            found[one.field] = one
    return tuple(found.values())

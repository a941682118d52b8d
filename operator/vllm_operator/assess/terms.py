"""On what terms a service's pods run: the values that were kept with their template, and what its class says now. Pure.

As long as the rendering of the user's spec is kept, the values that were resolved for it hold for everything: a class
or a default that has changed since is told, and rolls nothing by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from ..api.reasons import Finding, Reason
from ..api.spec import AUTO, InferenceServiceSpec
from ..settings import Allowed
from .limits import Bounds
from .merging import ContradictionError
from .policy import refused
from .resolution import OPERATOR, PLAN, Resolution, Resolved, changes, effective

_MOST_CHANGES = 3


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a service now."""

    spec: InferenceServiceSpec
    """The user's, with what was resolved."""
    resolved: tuple[Resolved, ...] = ()
    refusal: Finding | None = None
    """Why its class does not let it have (more) pods."""
    drift: Finding | None = None
    """What has changed since the pods were rendered."""
    held_back: bool = False
    """Whether it has fewer pods than its spec asks for because of the refusal."""
    kept: bool = False
    """Whether the rendering of the user's spec is kept."""
    bounds: Bounds = field(default_factory=Bounds)
    """What bounds the GPUs that may be chosen."""
    spreads: bool = False
    """Whether the plan may choose over how many nodes each replica lies."""


def kept_values(kept: Sequence[Mapping[str, Any]]) -> tuple[Resolved, ...]:
    """What was kept with a pod template."""
    return tuple(Resolved.of(one) for one in kept)


def chosen(values: Sequence[Resolved]) -> tuple[Resolved, ...]:
    """Those of the values that the plan chose."""
    return tuple(one for one in values if one.source == PLAN)


def chosen_before(status: Mapping[str, Any], generation: int) -> tuple[Resolved, ...]:
    """What a status of this very spec says that the plan chose: where somebody has deleted what was kept."""
    if status.get("observedGeneration") != generation:
        return ()
    shown = [one for one in status.get("resolved") or () if one["from"] == PLAN]
    values = {one["field"]: int(one["value"]) if one["value"].isdecimal() else one["value"] for one in shown}
    return tuple(Resolved(one["field"], values[one["field"]], PLAN, one.get("why", "")) for one in shown)


def values_before_classes(spec: InferenceServiceSpec, image: str) -> tuple[Resolved, ...]:
    """What an operator that knew no classes resolved. `image`: of the template that it kept."""
    unset = "resource" not in spec.accelerator.model_fields_set
    device = [Resolved("accelerator.resource", spec.accelerator.resource, OPERATOR)] if unset else []
    return (*device, *([] if spec.image else [Resolved("image", image, OPERATOR)]))


def terms(spec: InferenceServiceSpec, now: Resolution, kept: Sequence[Resolved] | None, allowed: Allowed) -> Terms:
    """What holds: the kept values where there are some and are `allowed` today, else what the spec comes to now."""
    if kept is None:
        return Terms(now.spec, now.resolved, now.refusal)
    if tuple(kept) == now.resolved:  # as nearly always: one spec in memory, not two
        return Terms(now.spec, now.resolved, now.refusal)
    try:
        held = effective(spec, kept)
    except (ContradictionError, ValidationError):  # of another version of the operator: nothing can be made of it
        return Terms(now.spec, now.resolved, now.refusal)
    # The image is judged with the template that has it: see kept.py.
    if refused(held.model_copy(update={"image": None}), allowed):
        return Terms(now.spec, now.resolved, now.refusal)
    drift = None if now.refusal else _drift(_to_compare(kept, now.resolved), now.resolved)
    return Terms(held, tuple(kept), now.refusal, drift)


def _to_compare(kept: Sequence[Resolved], now: Sequence[Resolved]) -> list[Resolved]:
    """The kept values without what the plan chose, unless somebody else says that now: a choice stands as it is."""
    said = {one.field for one in now if one.value != AUTO}
    return [one for one in kept if one.source != PLAN or one.field in said]


def _drift(kept: Sequence[Resolved], now: Sequence[Resolved]) -> Finding | None:
    changed = changes(kept, now)
    if not changed:
        return None
    shown = "; ".join(one.text for one in changed[:_MOST_CHANGES])
    more = f" and {len(changed) - _MOST_CHANGES} more" if len(changed) > _MOST_CHANGES else ""
    told = f"{shown}{more}: set rollout.restartedAt to the current time to roll the pods with what holds now"
    if any(one.of_class for one in changed):
        return Reason.CLASS_CHANGED, f"the pods run with what their ServingClass gave them earlier: {told}"
    return Reason.DEFAULT_CHANGED, f"the pods run with earlier defaults of the operator: {told}"


def hold_back(given: Terms, pods: int, bounds: tuple[int, int] | None = None) -> Terms:
    """The terms of a service that is refused more pods than the `pods` that are deployed: these stay, or fewer.

    `bounds`: the fewest and the most that Ray's autoscaler may make of them. They are kept and not lowered to what
    there is now: other bounds are another Ray cluster, and the one that serves would go.
    """
    spec, scaling = given.spec, given.spec.autoscaling
    if scaling and not (pods or bounds):  # an autoscaler would begin with one
        return replace(given, spec=spec.model_copy(update={"autoscaling": None, "replicas": 0}), held_back=True)
    if scaling:
        fewest, most = (max(count, 1) for count in bounds or (pods, pods))
        least, most = min(scaling.min_replicas, fewest), min(scaling.max_replicas, most)
        if (least, most) == (scaling.min_replicas, scaling.max_replicas):
            return given
        held = scaling.model_copy(update={"min_replicas": least, "max_replicas": most})
        # For a while an autoscaler has less room: that lacks no pod.
        lacks = least < scaling.min_replicas or given.refusal is None or not given.refusal[0].passes
        return replace(given, spec=spec.model_copy(update={"autoscaling": held}), held_back=lacks)
    if (1 if spec.replicas is None else spec.replicas) > pods:
        return replace(given, spec=spec.model_copy(update={"replicas": pods}), held_back=True)
    return given

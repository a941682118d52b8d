"""From a ServingClass, and which classes are defaults, to its status. Pure, with the time given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..api.conditions import ConditionType
from ..api.reasons import Finding, Reason
from ..api.serving_class import ServingClass
from ..assess.admission import fault
from ..assess.classes import defaults
from ..settings import Settings
from ..snapshots.serving_class import UnreadClass
from ..status.conditions import Verdict
from ..status.status import Stamp, conditions


def status(found: Sequence[Verdict], generation: int, before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The whole status. `before`: the status as it stands; `now`: the time in RFC 3339."""
    shown = conditions(found, Stamp(before.get("conditions") or (), generation, now))
    return {"observedGeneration": generation, "conditions": shown}


def verdicts(own: ServingClass | UnreadClass, others: Iterable[ServingClass], settings: Settings) -> list[Verdict]:
    """Ready and, where somebody has to change the class, Stalled. `others`: all that can be read, this one too."""
    if fault := _fault(own, settings):
        return [Verdict(ConditionType.READY, False, *fault), Verdict(ConditionType.STALLED, True, *fault)]
    valid: Finding = (Reason.VALID, f"services can name it{_default(own.name, defaults(others))}")
    return [Verdict(ConditionType.READY, True, *valid)]


def _fault(own: ServingClass | UnreadClass, settings: Settings) -> Finding | None:
    if isinstance(own, UnreadClass):
        return Reason.INVALID, own.fault
    return fault(own, settings)


def _default(name: str, marked: Sequence[ServingClass]) -> str:
    names = [one.name for one in marked]
    if name not in names:
        return ""
    if len(names) == 1:
        return ", and those that name none have it where their namespace may use it"
    return (
        f"; of {len(names)} default classes the newest that a namespace may use holds ({', '.join(names)}, the newest "
        "first): remove spec.default from all but one"
    )

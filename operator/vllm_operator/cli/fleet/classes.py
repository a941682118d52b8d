"""`kubectl vllm classes`: a row per ServingClass: what it gives, who may use it, its limits, who uses it. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from ...api.conditions import ConditionType, find
from ...api.resource import Body
from .table import columns

_HEADER = ("NAME", "DEFAULT", "ACCELERATOR", "NAMESPACES", "LIMITS", "SERVICES", "READY", "REASON")
_OPERATORS = {"In": "in", "NotIn": "notin"}
_LIMITS = {
    "gpusPerService": "{:,} GPUs a service",
    "gpusPerNamespace": "{:,} GPUs a namespace",
    "maxReplicas": "{:,} replicas",
    "maxModelLen": "{:,} tokens",
}


def class_of(service: Body) -> str:
    """The class that a service has: the one that it names, or the default that it was given; empty: none."""
    named = service["spec"].get("servingClassName")
    resolved = (service.get("status") or {}).get("resolved") or ()
    given = (entry["value"] for entry in resolved if entry["field"] == "servingClassName")
    return str(next(given, "") if named is None else named)


def as_text(classes: Sequence[Body], services: Iterable[Body] | None) -> str:
    """The table. `services`: those of all namespaces; None where the user may not see them."""
    if not classes:
        return "no ServingClasses found"
    used = None if services is None else Counter(map(class_of, services))
    return "\n".join(columns([_HEADER, *(_cells(one, used) for one in _sorted(classes))]))


def as_json(classes: Sequence[Body], services: Iterable[Body] | None) -> str:
    """The same for scripts; null is what is not known."""
    used = None if services is None else Counter(map(class_of, services))
    rows = [
        {
            "name": one["metadata"]["name"],
            "default": bool(one["spec"].get("default")),
            "accelerator": one["spec"].get("accelerator"),
            "namespaces": one["spec"].get("namespaces"),
            "limits": one["spec"].get("limits") or {},
            "services": None if used is None else used[one["metadata"]["name"]],
            "ready": ready.get("status"),
            "reason": ready.get("reason"),
        }
        for one in _sorted(classes)
        for ready in [find(one.get("status"), ConditionType.READY)]
    ]
    return json.dumps({"classes": rows}, indent=2)


def _sorted(classes: Sequence[Body]) -> list[Body]:
    return sorted(classes, key=lambda one: str(one["metadata"]["name"]))


def _cells(one: Body, used: Counter[str] | None) -> tuple[str, ...]:
    name, spec, ready = str(one["metadata"]["name"]), one["spec"], find(one.get("status"), ConditionType.READY)
    services = "-" if used is None else str(used[name])
    default = "yes" if spec.get("default") else ""
    cells = (name, default, _accelerator(spec), _who(spec.get("namespaces")), _limits(spec.get("limits") or {}))
    return (*cells, services, str(ready.get("status", "-")), str(ready.get("reason", "")))


def _accelerator(spec: Body) -> str:
    device = spec.get("accelerator") or {}
    return str(device.get("product") or device.get("resource") or "any")


def _who(selector: Body | None) -> str:
    if selector is None:
        return "all"
    labels = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    return ",".join([*labels, *map(_requirement, selector.get("matchExpressions") or ())]) or "all"


def _requirement(one: Body) -> str:
    """As kubectl writes it: tier in (production,staging)."""
    if one["operator"] in ("Exists", "DoesNotExist"):
        return str(one["key"]) if one["operator"] == "Exists" else f"!{one['key']}"
    return f"{one['key']} {_OPERATORS.get(one['operator'], one['operator'])} ({','.join(one.get('values') or ())})"


def _limits(limits: Body) -> str:
    numbers = [text.format(limits[key]) for key, text in _LIMITS.items() if key in limits]
    allowed = [f"{field}: {'|'.join(map(str, some))}" for field, some in (limits.get("allowed") or {}).items()]
    return ", ".join([*numbers, *allowed]) or "none"

"""What the engines of other services teach the next plan: how much more or less KV cache they got. Pure.

It follows from statuses alone, which tenants can make say anything: one vote for each service of the namespace, one for
each other namespace that the platform team lets in, and of votes the median. The plan takes it within its margin only.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..api.limits import whole
from ..api.resource import Key
from ..settings import matches

_VERSION = re.compile(r"\d+[.]\d+[.]\d+")
_MOST_BYTES = 1 << 50
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Report:
    """What one engine got of the GPU, against what was planned for it without any lesson."""

    key: Key
    product: str
    version: str
    difference: int
    """Bytes of KV cache on a GPU; negative: it got less."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What reports come to for one product."""

    difference: int
    evidence: str
    """Whose reports, for people."""


def report_of(key: Key, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Report | None:
    """What a service's status tells; None where it tells nothing, or the size of the cache was the user's to say."""
    plan, engine = _part(status, "plan"), _part(status, "engine")
    if not plan or not engine:
        return None
    resolved = {one.get("field") for one in status.get("resolved") or () if isinstance(one, Mapping)}
    if "memoryPerGPU" in _part(spec, "kvCache") or "kvCache.memoryPerGPU" in resolved:
        return None
    version = _VERSION.match(str(status.get("vllmVersion") or ""))
    size, planned = (whole(plan.get(name), _MOST_BYTES) for name in ("kvCacheBytes", "kvCacheTokens"))
    got = whole(engine.get("kvCacheTokens"), _MOST_BYTES)
    learned = plan.get("learnedBytes") or 0
    if not (size and planned and got and version and isinstance(learned, int) and isinstance(plan.get("gpu"), str)):
        return None
    return Report(key, plan["gpu"], version[0], size * (got - planned) // planned + learned)


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = content.get(name)
    return part if isinstance(part, Mapping) else {}


def lessons(reports: Iterable[Report], namespace: str, others: Sequence[str], version: str) -> dict[str, Lesson]:
    """By product, what services with this vLLM teach a plan in a namespace. `others`: patterns of other namespaces."""
    found: dict[str, dict[str, list[Report]]] = {}
    for one in reports:
        heard = one.key.namespace == namespace or matches(others, one.key.namespace)
        if heard and one.version == version:
            found.setdefault(one.product, {}).setdefault(one.key.namespace, []).append(one)
    return {product: _lesson(by_namespace, namespace) for product, by_namespace in sorted(found.items())}


def _lesson(by_namespace: Mapping[str, Sequence[Report]], own: str) -> Lesson:
    votes = {name: int(median(one.difference for one in some)) for name, some in sorted(by_namespace.items())}
    names = sorted(one.key.name for one in by_namespace.get(own, ()))
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    here = f"services {', '.join(names[:_MOST_TOLD])}{more}" if names else ""
    foreign = len(votes) - (own in votes)
    there = f"{foreign} other namespace{'s' if foreign > 1 else ''}" if foreign else ""
    return Lesson(int(median(votes.values())), " and ".join(filter(None, (here, there))))

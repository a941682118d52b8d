"""`kubectl vllm batch status`: a row per batch: how far it is, how fast, until when, and why it is no further. Pure."""

import json
from collections.abc import Sequence

from ...api.conditions import ConditionType, find
from ...api.resource import Body
from .table import columns

_HEADER = ("NAMESPACE", "NAME", "DONE", "FAILED", "TOTAL", "PROGRESS", "TOKENS/S", "END", "REASON")
_NUMBERS = (2, 3, 4, 5, 6)


def as_text(batches: Sequence[Body]) -> str:
    """The table; of one batch, its sentence below."""
    if not batches:
        return "no InferenceBatches found"
    lines = columns([_HEADER, *(_cells(one) for one in batches)], _NUMBERS)
    said = find(batches[0].get("status"), ConditionType.READY).get("message") if len(batches) == 1 else None
    return "\n".join([*lines, "", str(said)] if said else lines)


def as_json(batches: Sequence[Body]) -> str:
    """The same for scripts; null is what is not known."""
    rows = [
        {
            "namespace": one["metadata"].get("namespace"),
            "name": one["metadata"]["name"],
            **{
                name: (one.get("status") or {}).get(name)
                for name in ("done", "failed", "total", "tokensPerSecond", "estimatedEnd", "finishedAt")
            },
            "ready": ready.get("status"),
            "reason": ready.get("reason"),
        }
        for one in batches
        for ready in [find(one.get("status"), ConditionType.READY)]
    ]
    return json.dumps({"batches": rows}, indent=2)


def _cells(one: Body) -> tuple[str, ...]:
    meta, status = one["metadata"], one.get("status") or {}
    ended = status.get("finishedAt") or status.get("estimatedEnd")
    numbers = [_number(status.get(name)) for name in ("done", "failed", "total")]
    pace = _number(status.get("tokensPerSecond"))
    reason = str(find(status, ConditionType.READY).get("reason", ""))
    cells = (*numbers, _share(status), pace, str(ended or "-"), reason)
    return (str(meta.get("namespace", "")), str(meta["name"]), *cells)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "-"


def _share(status: Body) -> str:
    """How much of it is over, answered or not."""
    total = status.get("total")
    if not total:
        return "-"
    return f"{100 * (status.get('done', 0) + status.get('failed', 0)) // total}%"

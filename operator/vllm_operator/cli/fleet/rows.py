"""A fleet at a glance: a row per service, from services, pods and what vLLM counts. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ...api.conditions import ConditionType, find
from ...api.resource import Body, Key
from ...snapshots.child import instance
from ...snapshots.container import devices
from ...snapshots.own import key_of
from ...snapshots.pod import has_server, is_ready
from .table import columns

_HEADER = (
    "NAMESPACE", "NAME", "MODEL", "READY", "GPUS", "GPUS WAITING", "KV CACHE TOKENS", "REQUESTS RUNNING", "WAITING",
    "REASON",
)  # fmt: skip
_NUMBERS = range(3, 9)
_COUNTED = "vllm:num_requests_"
# More requests than this no vLLM has: what a pod exports may be anything.
_MOST_REQUESTS = 10**9
_OVER = ("Succeeded", "Failed")
MOST_ASKED = 500
"""Pods. To ask more of them takes longer than all else that a table needs, and moves more bytes."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What one vLLM has to do now."""

    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Row:
    """One service, as a row of the table."""

    namespace: str
    name: str
    model: str
    ready: int
    wanted: int
    gpus: int
    """Of pods that have a node."""
    gpus_waiting: int
    """Of pods that wait for a node."""
    kv_cache_tokens: int | None
    """Of all ready pods together; None while vLLM has not told."""
    requests: Requests | None
    """Of the pods that could be asked; None where that is none."""
    pods_unasked: int
    """Ready pods that did not answer, or that the user may not ask."""
    reason: str


def counted(metrics: str) -> Requests:
    """The requests of one vLLM, over all its engines, from its /metrics; what is no such number does not count."""
    sums = {"running": 0, "waiting": 0}
    for line in metrics.splitlines():
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0].removeprefix(_COUNTED)
        if line.startswith(_COUNTED) and name in sums:
            with suppress(ValueError):
                sums[name] += _requests(float(value))
    return Requests(**sums)


def _requests(value: float) -> int:
    return int(value) if 0 <= value <= _MOST_REQUESTS else 0


def serving(pods: Sequence[Body]) -> list[Key]:
    """The pods that can be asked for their requests: ready ones with a server."""
    return [key_of(pod) for pod in pods if has_server(pod) and is_ready(pod)]


def rows(services: Sequence[Body], pods: Sequence[Body], requests: Mapping[Key, Requests]) -> list[Row]:
    """A row per service. `requests` has those pods that have answered. Pods of none are left out."""
    by_service: dict[Key, list[Body]] = {}
    for pod in pods:
        by_service.setdefault(instance(pod), []).append(pod)
    return [_row(service, by_service.get(key_of(service), []), requests) for service in sorted(services, key=key_of)]


def _row(service: Body, pods: Sequence[Body], requests: Mapping[Key, Requests]) -> Row:
    spec, status = service["spec"], service.get("status") or {}
    live = [pod for pod in pods if pod.get("status", {}).get("phase") not in _OVER]
    serve = serving(live)
    asked = [requests[pod] for pod in serve if pod in requests]
    ready = int(status.get("readyReplicas", 0))
    tokens = (status.get("engine") or {}).get("kvCacheTokens")
    return Row(
        *key_of(service),
        model=spec["model"]["uri"],
        ready=ready,
        wanted=_wanted(spec, status),
        gpus=sum(devices(pod)[1] for pod in live if pod["spec"].get("nodeName")),
        gpus_waiting=sum(devices(pod)[1] for pod in live if not pod["spec"].get("nodeName")),
        kv_cache_tokens=tokens * ready if tokens is not None else None,
        requests=Requests(sum(one.running for one in asked), sum(one.waiting for one in asked)) if asked else None,
        pods_unasked=len(serve) - len(asked),
        reason=_reason(service, status),
    )


def _wanted(spec: Body, status: Body) -> int:
    """Replicas that there should be, as the operator says; until it does, as the spec does."""
    asked = 0 if spec.get("suspend") or "autoscaling" in spec else spec.get("replicas", 1)
    return int(status.get("wantedReplicas", asked))


def _reason(service: Body, status: Body) -> str:
    if "deletionTimestamp" in service["metadata"]:
        return "BeingDeleted"
    if status.get("observedGeneration") != service["metadata"]["generation"]:
        return "NotSeenByOperator"
    return str(find(status, ConditionType.READY).get("reason", ""))


def as_text(fleet: Sequence[Row], *, asked: bool = True) -> str:
    """The table, with the sum of the GPUs below it where there are several services. `asked`: whether pods were."""
    if not fleet:
        return "no InferenceServices found"
    lines = columns([_HEADER, *(_cells(row) for row in fleet)], right=_NUMBERS)
    if len(fleet) > 1:
        up = sum(row.ready >= row.wanted for row in fleet)
        used, waiting = sum(row.gpus for row in fleet), sum(row.gpus_waiting for row in fleet)
        lines += ["", f"{up} of {len(fleet)} services have all their pods; GPUs: {used} used, {waiting} waiting"]
    if not asked:
        lines.append(
            f"requests are not shown, as more than {MOST_ASKED} pods would be asked: name a namespace, or a service"
        )
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    # A sum over some of the pods only is a lower bound.
    more = "+" if row.pods_unasked else ""
    tokens = "-" if row.kv_cache_tokens is None else f"{row.kv_cache_tokens:,}"
    counts = [f"{row.requests.running}{more}", f"{row.requests.waiting}{more}"] if row.requests else ["-", "-"]
    pods = f"{row.ready}/{row.wanted}"
    texts = (row.namespace, row.name, row.model, pods, str(row.gpus), str(row.gpus_waiting), tokens, *counts)
    return (*texts, row.reason)


def as_json(fleet: Sequence[Row]) -> str:
    """The same for scripts; null is what is not known."""
    return json.dumps({"services": [_camel(asdict(row)) for row in fleet]}, indent=2)


def _camel(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {re.sub("_(.)", lambda at: at[1].upper(), name): _camel(inner) for name, inner in value.items()}

"""How a source's pods are replaced and end, as `rollout`: steps by number or by percent, and the time to drain."""

import re

from ..draft import Draft
from ..part import Part
from ..report import Went

_ENOUGH = "a rollout takes no GPU more than there are; rollout.maxSurge changes that"
_USUAL_STEP = 25
"""Percent of the replicas, of a Deployment that says nothing."""
USUAL_GRACE_SECONDS = 30
"""Of a pod that says nothing."""
_UNITS = {"h": 3600, "m": 60, "s": 1}


def take_strategy(draft: Draft, strategy: Part) -> None:
    """The strategy of a workload. Percentages are of its replicas: rounded up for a surge, down for what is away.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment.
    """
    if not strategy.value:
        return
    limits = strategy.at("rollingUpdate") or strategy.at("rollingUpdateConfiguration")
    replicas = draft.get("replicas") or draft.get("autoscaling.minReplicas") or 1
    surge, away = _number(limits.at("maxSurge"), replicas, up=True), _number(limits.at("maxUnavailable"), replicas)
    if away == 0 and surge is None:
        surge = _share(replicas, _USUAL_STEP, up=True)
    value = {key: one for key, one in (("maxSurge", surge), ("maxUnavailable", away)) if one or (one == 0 and surge)}
    origin = strategy.origin(str(strategy.place[-1]))
    if value:
        draft.put("rollout", {**(draft.get("rollout") or {}), **value}, origin)
    else:
        draft.say(origin, Went.OPERATOR, _ENOUGH)
    if limits.at("partition").text not in ("", "0"):
        draft.say(limits.at("partition").origin(), Went.LEFT, "a rollout reaches all pods")


def _number(limit: Part, replicas: int, *, up: bool = False) -> int | None:
    """A limit as a number of pods; None for what a workload does that says nothing, and for what is no limit."""
    match = re.fullmatch(r"(\d{1,9})(%?)", limit.text)
    if match is None or limit.text == f"{_USUAL_STEP}%":
        return None
    return _share(replicas, int(match[1]), up=up) if match[2] else int(match[1])


def _share(replicas: int, percent: int, *, up: bool) -> int:
    return -(-replicas * percent // 100) if up else replicas * percent // 100


def take_grace(draft: Draft, grace: Part, usual: int) -> None:
    """The time that a pod gets to end, as the time to drain; `usual` is that of a source that says nothing, in s."""
    if not grace:
        return
    seconds, origin = _seconds(grace.text), grace.origin(str(grace.place[-1]))
    if seconds == usual or draft.get("rollout.drainTimeoutSeconds"):
        draft.say(origin, Went.OPERATOR, "follows from rollout.drainTimeoutSeconds (120)")
    else:
        draft.put("rollout.drainTimeoutSeconds", grace.text if seconds is None else seconds, origin)


def _seconds(text: str) -> int | None:
    """A time in seconds, or in docker's form, 1m30s; None for what is neither."""
    if text.isdecimal():
        return int(text)
    found = re.findall(r"(\d{1,9})([hms])", text)
    whole = "".join(f"{count}{unit}" for count, unit in found) == text and bool(found)
    return sum(int(count) * _UNITS[unit] for count, unit in found) if whole else None

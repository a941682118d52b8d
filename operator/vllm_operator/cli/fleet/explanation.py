"""One service explained: its conditions in plain words, its pods, and what tells in the log of one of them. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from ... import diagnosis
from ...api.conditions import ConditionType
from ...api.resource import Body
from ...diagnosis.log import cleaned, exception_names, last_error
from ...diagnosis.redaction import redact, shorten
from ...snapshots.pod import PodSnapshot
from ...snapshots.pod import pod as pod_of
from .table import columns

COLUMNS = 100
LAST_LINES = 12
_LINE_MAX = 300
_HOLDS = {"True": "yes", "False": "no", "Unknown": "not known"}
# vLLM's regular report of how busy it is: nothing of a request is in it.
_REPORT = re.compile(r"\[(?:[\w/]+/)?loggers\.py:\d+\] (?P<report>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Log:
    """Which container's log to read: of a pod, and of the container before the running one?"""

    pod: str
    previous: bool


def telling(pods: Sequence[Body]) -> Log | None:
    """The log that tells most: of a container that failed, else of the newest that has started; None: there is none."""
    newest_first = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
    snapshots = [pod_of(pod) for pod in newest_first]
    for pod in snapshots:
        if pod.ending:
            return Log(pod.name, pod.ending.replaced)
    return next((Log(pod.name, previous=False) for pod in snapshots if pod.ready or pod.started), None)


def explanation(service: Body, pods: Sequence[Body], log: tuple[Log, str] | None) -> str:
    """A service as text, with its conditions and pods. `log`: which log tells most, and what it says; None: no log."""
    snapshots = [_with_log(pod_of(pod), log) for pod in pods]
    parts = [_headline(service), _conditions(service), _pods(snapshots)]
    if log:
        pod = next(one for one in snapshots if one.name == log[0].pod)
        parts.append(_log(pod, *log))
    return "\n\n".join("\n".join(lines) for lines in parts)


def _with_log(pod: PodSnapshot, log: tuple[Log, str] | None) -> PodSnapshot:
    """The pod with its whole log for the diagnosis, in place of the 2 KiB that Kubernetes keeps."""
    if log and log[0].pod == pod.name and pod.ending:
        return replace(pod, ending=replace(pod.ending, log=log[1]))
    return pod


def _by_type(service: Body) -> dict[str, Body]:
    return {entry["type"]: entry for entry in (service.get("status") or {}).get("conditions") or ()}


def _headline(service: Body) -> list[str]:
    meta, ready = service["metadata"], _by_type(service).get(ConditionType.READY)
    title = f"{meta['namespace']}/{meta['name']}, {service['spec']['model']['uri']}"
    if "deletionTimestamp" in meta:
        return [f"{title}: being deleted"]
    if ready is None:
        return [f"{title}: the operator has not looked at it yet; does the operator run?"]
    words = "ready" if ready["status"] == "True" else "not ready"
    lines = [f"{title}: {words} ({ready['reason']})", *_wrapped(ready["message"])]
    if service["status"].get("observedGeneration") != meta["generation"]:
        lines.append("  This is about an earlier spec: the operator has not looked at the newest one; does it run?")
    return lines


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    # Names of pods and values are for copying: they are never broken.
    return wrap(
        text, COLUMNS, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _conditions(service: Body) -> list[str]:
    conditions = _by_type(service)
    lines = ["Conditions"] if conditions else ["No conditions yet"]
    messages = {conditions[ConditionType.READY]["message"]} if ConditionType.READY in conditions else set()
    for kind, entry in conditions.items():
        condition = ConditionType.named(kind)
        words = condition.holds if condition else kind
        lines.append(f"  {words}: {_HOLDS.get(entry['status'], entry['status'])} ({entry['reason']})")
        if entry["message"] not in messages:
            lines += _wrapped(entry["message"], "    ")
            messages.add(entry["message"])
    return lines


def _pods(pods: Sequence[PodSnapshot]) -> list[str]:
    if not pods:
        return ["No pods"]
    lines = ["Pods"]
    titles = columns(
        [(f"  {pod.name}", _state(pod), f"on {pod.node}" if pod.node else "", _again(pod)) for pod in pods]
    )
    for title, pod in zip(titles, pods, strict=True):
        lines += [title.rstrip(), *([] if pod.ready else _wrapped(_why(pod), "    "))]
    return lines


def _state(pod: PodSnapshot) -> str:
    if pod.terminating:
        return "being deleted"
    if pod.failed:
        return "given up by its node"
    if pod.ready:
        return "serves"
    if not pod.scheduled:
        return "has no node"
    return "starts" if pod.started else "waits"


def _again(pod: PodSnapshot) -> str:
    return f"restarts: {pod.restarts}" if pod.restarts else ""


def _why(pod: PodSnapshot) -> str:
    finding = diagnosis.workload(None, [pod])
    return f"{finding[0]}: {finding[1]}" if finding else "" if pod.terminating else diagnosis.progress([pod])


def _log(pod: PodSnapshot, log: Log, text: str) -> list[str]:
    lines = _of_serving(text) if pod.was_ready else _of_starting(text)
    which = "the container before" if log.previous else "its container"
    command = f"kubectl logs {pod.name}{' --previous' if log.previous else ''}"
    return [f"From the log of pod {pod.name}, {which} (all of it: {command})", *lines]


def _of_starting(text: str) -> list[str]:
    """The error, and the last lines. No request has come yet."""
    lines = [line for line in cleaned(text).splitlines() if line.strip()][-LAST_LINES:]
    error = [f"  {shorten(redact(last_error(text)))}", ""] if last_error(text) else []
    return [*error, *(f"  {shorten(redact(line), _LINE_MAX)}" for line in lines)] or ["  it is empty"]


def _of_serving(text: str) -> list[str]:
    """What cannot hold anything that users have sent."""
    names = list(dict.fromkeys(exception_names(text)))
    lines = [f"  exceptions: {', '.join(names)}"] if names else []
    reports = [match["report"] for match in _REPORT.finditer(text)]
    lines += [f"  {shorten(report, _LINE_MAX)}" for report in reports[-1:]]
    return lines or ["  nothing but what could hold users' requests"]

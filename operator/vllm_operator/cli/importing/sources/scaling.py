"""From an autoscaler of a source to `autoscaling`: its bounds, and targets where it scaled by what vLLM feels."""

from fractions import Fraction
from typing import Any

from ....api.quantities import exact
from ..documents import Document
from ..draft import Draft
from ..part import Part
from ..report import Origin, Went
from ..values import number

_TARGETS = (
    ("num_requests_waiting", "waitingRequests"),
    ("num_requests_running", "runningRequests"),
    ("cache_usage", "kvCacheUtilizationPercent"),
)
_NEVER_NONE = "0 replicas need a trigger of KEDA's that is not vLLM's own metric"
_INSTEAD = "pods follow the requests that wait and the KV cache in use instead: autoscaling.targets"


def take_autoscaler(draft: Draft, document: Document) -> None:
    """Take a HorizontalPodAutoscaler or a ScaledObject over."""
    spec, keda = document.root.at("spec"), document.kind == "ScaledObject"
    least, most = (
        (spec.at("minReplicaCount"), spec.at("maxReplicaCount"))
        if keda
        else (spec.at("minReplicas"), spec.at("maxReplicas"))
    )
    triggers = [(one.at("metadata"), one) for one in spec.at("triggers").each()]
    metrics = triggers if keda else [(one, one) for one in spec.at("metrics").each()]
    autoscale(draft, (least.text, most.text), metrics, document.root.origin(document.label), keda=keda)


def autoscale(
    draft: Draft, bounds: tuple[str, str], metrics: list[tuple[Part, Part]], origin: Origin, *, keda: bool
) -> None:
    """Bounds and metrics of an autoscaler: `metrics` are what tells of each one, and the whole of it."""
    targets: dict[str, int] = {}
    triggers: list[dict[str, Any]] = []
    for told, whole in metrics:
        found = _target(told)
        if found:
            targets[found[0]] = found[1]
        elif keda and whole.at("type").text in ("cron", "kubernetes-workload"):
            metadata = {key: part.text for key, part in whole.at("metadata").items()}
            triggers.append({"type": whole.at("type").text, "metadata": metadata})
        else:
            kind = whole.at("type").text or "metric"
            name = whole.at("resource", "name").text
            draft.say(whole.origin(f"scaled by {name or kind}"), Went.LEFT, _INSTEAD)
    least, most = (int(text) if text.isdigit() else None for text in bounds)
    value: dict[str, Any] = {"minReplicas": 1 if least is None else least, "maxReplicas": most or max(least or 1, 1)}
    if keda:
        value["provider"] = "KEDA"
    if targets:
        value["targets"] = targets
    if triggers:
        value["triggers"] = triggers
    if value["minReplicas"] == 0 and not triggers:
        value["minReplicas"] = 1
        draft.say(origin._replace(what="minReplicas 0"), Went.LEFT, _NEVER_NONE)
    draft.take_back("replicas", "the autoscaler decides")
    draft.put("autoscaling", value, origin)


def keep_number(draft: Draft, least: Part, most: Part) -> None:
    """Bounds with nothing to scale between them: the least is the number of pods, or 1, as 0 would stay 0 for ever."""
    fewest = number(least.text or "1")
    count = max(1, fewest)
    if fewest == 0:
        draft.say(least.origin("minReplicas"), Went.LEFT, f"{_NEVER_NONE}: one pod serves")
    elif least:
        draft.put("replicas", count, least.origin("replicas"))
    if most and number(most.text or "0") != count:
        draft.say(most.origin("maxReplicas"), Went.LEFT, f"the number of pods stays {count}: set autoscaling for more")
    elif most and least and fewest:
        draft.say(most.origin("maxReplicas"), Went.OPERATOR, "the same number")
    elif most:
        draft.put("replicas", count, most.origin("replicas"))


def _target(told: Part) -> tuple[str, int] | None:
    text = str(told.value)
    for word, field in _TARGETS:
        if word in text:
            amount = told.at("threshold").text or _average(told)
            value = _number(amount)
            if field == "kvCacheUtilizationPercent" and value is not None:
                value = min(Fraction(90), value * 100 if value <= 1 else value)
            return (field, max(1, round(value))) if value is not None else None
    return None


def _average(told: Part) -> str:
    for kind in ("pods", "object", "external", "podmetric"):
        target = told.at(kind, "target")
        if target:
            return target.at("averageValue").text or target.at("value").text
    return ""


def _number(text: str) -> Fraction | None:
    try:
        return exact(text)
    except ValueError:
        return None

"""From an autoscaler of a source to `autoscaling`: its bounds, targets where it scaled by what vLLM feels, its pace."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ....api.quantities import exact
from ..documents import Document
from ..draft import Draft
from ..part import Part
from ..report import Went
from ..values import number

_TARGETS = (
    ("num_requests_waiting", "waitingRequests"),
    ("num_requests_running", "runningRequests"),
    ("cache_usage", "kvCacheUtilizationPercent"),
)
_KINDS = ("pods", "object", "external", "podmetric")
_UTILIZATION = _TARGETS[2][1]
# Labels and ranges of a query say which pods, and how long; these words around a metric leave it what it is.
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"' r"|'(?:[^'\\]|\\.)*'")
_WHICH = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|\b(?:by|without)\s*\([^()]*\)")
_AROUND = {"sum", "avg", "max", "min", "avg_over_time", "max_over_time", "min_over_time", "or", "vector", "0", "(", ")"}
_LONGEST_QUERY = 4096
_PERCENT = re.compile(r"\*\s*100\b|\b100\s*\*")
_NEVER_NONE = "0 replicas need a trigger of KEDA's that is not vLLM's own metric"
_INSTEAD = "pods follow the requests that wait and the KV cache in use instead: autoscaling.targets"
_LAST_POD = "the last pod goes after autoscaling.scaleDown.stabilizationSeconds, or the time that a start takes"
_STEPS = {
    "scaleUp": "autoscaling.scaleUp.maxReplicasPerStep says how many pods are added at once",
    "scaleDown": "pods are taken away one a minute",
}
# What else an autoscaler says: with what it does by itself (None: nothing is the same), and what is done here.
_REST = {
    "enabled": (True, "autoscaling says it"),
    "cooldownPeriod": (300, _LAST_POD),
    "initialCooldownPeriod": (0, _LAST_POD),
    "pollingInterval": (30, "KEDA looks every 15 seconds"),
    "idleReplicaCount": (None, "autoscaling.minReplicas is the fewest that there are"),
    "fallback": (None, "where a metric cannot be read, the number of pods stays as it is"),
    "targetCPUUtilizationPercentage": (None, _INSTEAD),
    "targetMemoryUtilizationPercentage": (None, _INSTEAD),
}
_ADVANCED = {
    "restoreToOriginalReplicaCount": (False, "the number of pods that an autoscaler leaves behind stays"),
    "scalingModifiers": (None, "the number of pods follows the trigger that asks for most"),
}
# What triggers and their pace may say, and the operator's say as well.
_AS_HERE = (("metricType", "AverageValue"), ("selectPolicy", "Max"), ("useCachedMetrics", False))
_PAUSED = "autoscaling.keda.sh/paused"


@dataclass(frozen=True, slots=True)
class Scaler:
    """An autoscaler of a source, by where its parts stand."""

    least: Part
    most: Part
    metrics: Sequence[Part]
    behavior: Part
    keda: bool = False
    bounds: tuple[int, int | None] = (1, None)
    """The fewest and most pods where it says neither; None: as many as the fewest."""


def hpa(spec: Part) -> Scaler:
    """What says the same as a HorizontalPodAutoscaler's spec."""
    metrics = list(spec.at("metrics").each())
    return Scaler(spec.at("minReplicas"), spec.at("maxReplicas"), metrics, spec.at("behavior"))


def scaled_object(spec: Part) -> Scaler:
    """What says the same as a ScaledObject's spec, with its defaults.

    Source: https://keda.sh/docs/latest/reference/scaledobject-spec/.
    """
    behavior = spec.at("advanced", "horizontalPodAutoscalerConfig", "behavior")
    least, most = spec.at("minReplicaCount"), spec.at("maxReplicaCount")
    return Scaler(least, most, list(spec.at("triggers").each()), behavior, keda=True, bounds=(0, 100))


def take_autoscaler(draft: Draft, document: Document) -> None:
    """Take a HorizontalPodAutoscaler or a ScaledObject over."""
    spec, metadata = document.root.at("spec"), document.root.at("metadata")
    autoscale(draft, scaled_object(spec) if document.kind == "ScaledObject" else hpa(spec))
    tell_rest(draft, spec)
    for key, part in spec.at("scaleTargetRef").items():
        draft.say(part.origin(f"scaleTargetRef {key}"), Went.OPERATOR, "the service is what is scaled")
    for key, part in metadata.items():
        if key != "annotations":
            draft.say(part.origin(f"{document.label} {key}"), Went.OPERATOR, "the operator makes an autoscaler")
    for key, part in metadata.at("annotations").items():
        paused = key.startswith(_PAUSED) and part.text != "false"
        text = (
            "an autoscaler is not paused: set replicas instead of autoscaling" if paused else "belong to the autoscaler"
        )
        draft.say(part.origin(f"annotation {key}"), Went.LEFT if paused else Went.OPERATOR, text)


def end_autoscaler(draft: Draft, document: Document) -> None:
    """What scales a workload by rules of its own: two that decide the number of pods would work against each other.

    Of AIBrix's PodAutoscaler, and others with bounds that are called as Kubernetes' are, these are taken over.
    """
    spec = document.root.at("spec")
    if spec.at("maxReplicas") and not draft.get("autoscaling"):
        autoscale(draft, replace(hpa(spec), metrics=()))
    kind = spec.at("scaleTargetRef", "kind").text or "workload"
    field = "autoscaling.targets" if draft.get("autoscaling") else "autoscaling"
    text = f"scales the {kind} whose pods are the operator's now: delete it, and set {field}"
    draft.say(document.root.origin(document.label), Went.LEFT, text)


def tell_rest(draft: Draft, spec: Part) -> None:
    """Say what became of an autoscaler's settings that are neither bounds, metrics nor pace."""
    for holder, texts in ((spec, _REST), (spec.at("advanced"), _ADVANCED)):
        for key, (same, text) in texts.items():
            if part := holder.at(key):
                draft.say(part.origin(), Went.OPERATOR if part.value == same else Went.LEFT, text)


def autoscale(draft: Draft, scaler: Scaler) -> None:
    """Take the bounds, metrics and pace of an autoscaler over, with a row for each."""
    targets: dict[str, int] = {}
    triggers: list[dict[str, Any]] = []
    taken: list[tuple[Part, str]] = []
    for metric in scaler.metrics:
        told = metric.at("metadata") if scaler.keda and metric.at("metadata") else metric
        if found := _target(told):
            targets[found[0]] = found[1]
            taken.append((metric, f"autoscaling.targets.{found[0]}: {found[1]}"))
        elif scaler.keda and metric.at("type").text in ("cron", "kubernetes-workload"):
            triggers.append(_trigger(metric))
            taken.append((metric, "autoscaling.triggers"))
        else:
            kind = metric.at("resource", "name").text or metric.at("type").text or "metric"
            draft.say(metric.origin(f"scaled by {kind}"), Went.LEFT, _INSTEAD)
    fewest, most = _bounds(scaler)
    least = fewest if triggers else max(1, fewest)
    value: dict[str, Any] = {"minReplicas": least, "maxReplicas": most or max(least, 1)}
    value |= {"provider": "KEDA"} if scaler.keda else {}
    value |= {key: one for key, one in (("targets", targets), ("triggers", triggers)) if one}
    draft.take_back("replicas", "the autoscaler decides")
    if not draft.put("autoscaling", value, scaler.most.origin()):
        return
    if least != fewest:
        draft.say(scaler.least.origin(), Went.LEFT, _NEVER_NONE)
    elif scaler.least:
        draft.say(scaler.least.origin(), Went.FIELD, f"autoscaling.minReplicas: {least}")
    for metric, text in taken:
        _tell_metric(draft, metric, text)
    for kind in _STEPS:
        _pace(draft, kind, scaler.behavior.at(kind))


def _bounds(scaler: Scaler) -> tuple[int, int | None]:
    least, most = (int(part.text) if part.text.isdecimal() else None for part in (scaler.least, scaler.most))
    return scaler.bounds[0] if least is None else least, most or scaler.bounds[1]


def _trigger(metric: Part) -> dict[str, Any]:
    """A trigger of KEDA's as the API has it."""
    metadata = {key: part.text for key, part in metric.at("metadata").items()}
    trigger: dict[str, Any] = {"type": metric.at("type").text, "metadata": metadata}
    if reference := _reference(metric):
        trigger["authenticationRef"] = {"name": reference}
    return trigger


def _reference(metric: Part) -> str:
    """The TriggerAuthentication of a trigger; none of the whole cluster."""
    reference = metric.at("authenticationRef")
    return reference.at("name").text if reference.at("kind").text in ("", "TriggerAuthentication") else ""


def _tell_metric(draft: Draft, metric: Part, text: str) -> None:
    """Rows for a metric that was taken over; what a trigger of KEDA's says beside it has rows of its own."""
    if not metric.at("metadata"):
        draft.say(metric.origin(), Went.FIELD, text)
        return
    for key, part in metric.items():
        if key in ("type", "metadata") or (key == "authenticationRef" and "triggers" in text and _reference(metric)):
            draft.say(part.origin(), Went.FIELD, text)
        elif key == "name" or (key, part.value) in _AS_HERE:
            draft.say(part.origin(), Went.OPERATOR, "as the operator has it")
        else:
            draft.say(part.origin(), Went.LEFT, f"not with {text}")


def _pace(draft: Draft, kind: str, rules: Part) -> None:
    """How fast pods are added, or taken away."""
    for key, part in rules.items():
        if key == "stabilizationWindowSeconds":
            draft.put(f"autoscaling.{kind}.stabilizationSeconds", part.value, part.origin())
        elif (key, part.value) in _AS_HERE:
            draft.say(part.origin(), Went.OPERATOR, "as the operator has it")
        else:
            draft.say(part.origin(), Went.LEFT, _STEPS[kind])


def keep_number(draft: Draft, least: Part, most: Part, otherwise: int = 1) -> None:
    """Bounds with nothing to scale between them: the least is the number of pods, or 1, as 0 would stay 0 for ever.

    `otherwise` is the least where the source does not say it.
    """
    fewest = number(least.text or str(otherwise))
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
    query = told.at("query").text or next(filter(None, (told.at(one, "metric", "query").text for one in _KINDS)), "")
    text = query or str(told.value)
    found = [field for word, field in _TARGETS if word in text]
    value = _number(told.at("threshold").text or _average(told))
    if len(found) != 1 or value is None or not _is_plain(query, found[0]):
        return None
    if found[0] == _UTILIZATION:
        value = min(Fraction(90), value * 100 if value <= 1 else value)
    return found[0], max(1, round(value))


def _is_plain(query: str, field: str) -> bool:
    """Whether a query is of nothing but the metric of a target, over pods and time: no sum of two, ratio or rate."""
    bare = _WHICH.sub(" ", _TEXT.sub(" ", query[:_LONGEST_QUERY]))
    if field == _UTILIZATION:
        bare = _PERCENT.sub(" ", bare)
    metrics = tuple(word for word, _ in _TARGETS)
    words = re.findall(r"[\w:.]+|\S", bare)
    return len(query) <= _LONGEST_QUERY and all(one in _AROUND or any(word in one for word in metrics) for one in words)


def _average(told: Part) -> str:
    for kind in _KINDS:
        target = told.at(kind, "target")
        if target:
            return target.at("averageValue").text or target.at("value").text
    return ""


def _number(text: str) -> Fraction | None:
    try:
        return exact(text)
    except ValueError:
        return None

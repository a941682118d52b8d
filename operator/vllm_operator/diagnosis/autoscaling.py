"""Why the number of pods does not follow the load, from what the autoscaler says and what became of the pods. Pure.

The words are those of pkg/controller/podautoscaler in Kubernetes and of k8s.io/metrics.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..api.reasons import Reason
from ..api.spec import InferenceServiceSpec
from ..assess.supply import Supply
from ..diagnosis import refusals, scheduling
from ..snapshots.child import AutoscalerSnapshot
from ..snapshots.pod import PodSnapshot
from ..snapshots.workload import DeploymentSnapshot
from .redaction import redact, shorten

# The status (None: Unknown), its reason and the sentence.
ScalingFinding = tuple[bool | None, Reason, str]

# Pods are added at more than this much above a target.
_TOLERANCE = 1.1
_NO_API = re.compile(
    r"no (custom|external) metrics API|no known available metric versions|could not find the requested resource"
    r"|currently unable to handle the request|service unavailable"
)
_NO_METRIC = re.compile(
    r"could not find the metric|no metrics returned|did not receive metrics|no pods returned|no matching metrics"
)
_METRIC = re.compile(r"unable to get (?:external )?metric (?:[^\s/]+/)?(?P<name>[^\s/]+?)(?:/&[^:]*(?::[^:]*)*)?: ")


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """What is seen of a service's autoscaler."""

    # The HorizontalPodAutoscaler: ours, or the one that KEDA keeps.
    hpa: AutoscalerSnapshot | None = None
    scaled_object: AutoscalerSnapshot | None = None
    # Whether the cluster knows ScaledObjects.
    keda: bool = False
    # Why the API server refuses the autoscaler.
    refused: str = ""


def scaling(
    spec: InferenceServiceSpec,
    seen: Autoscaler,
    deployment: DeploymentSnapshot | None,
    pods: Sequence[PodSnapshot],
    supply: Supply | None = None,
) -> ScalingFinding | None:
    """Whether the number of pods follows the load; None for a fixed number."""
    if not spec.autoscaling:
        return None
    by_keda = spec.autoscaling.provider == "KEDA"
    return (
        _not_made(spec, seen, by_keda=by_keda)
        or _missing(deployment, pods, supply)
        or (_keda(seen.scaled_object, deployment) if by_keda and seen.scaled_object else None)
        or _metrics(seen.hpa, by_keda=by_keda)
        or _limited(spec, seen.hpa)
        or (True, Reason.SCALING, _follows(spec))
    )


def _not_made(spec: InferenceServiceSpec, seen: Autoscaler, *, by_keda: bool) -> ScalingFinding | None:
    if by_keda and not seen.keda:
        return (
            False,
            Reason.KEDA_API_MISSING,
            "the cluster has no ScaledObject API: install KEDA, or set autoscaling.provider to HPA",
        )
    if seen.refused:
        return False, Reason.AUTOSCALER_REFUSED, f"the autoscaler cannot be made: {shorten(redact(seen.refused))}"
    if unreachable := _unreachable(spec):
        return False, Reason.TARGET_UNREACHABLE, unreachable
    made = seen.scaled_object if by_keda else seen.hpa
    if made is None or not made.conditions:
        who = "KEDA's operator" if by_keda else "the HorizontalPodAutoscaler controller"
        return None, Reason.AUTOSCALER_STARTING, f"{who} has said nothing about the autoscaler yet"
    return None


def _unreachable(spec: InferenceServiceSpec) -> str:
    """A target that vLLM's own limits keep from ever being passed.

    Source: v1/engine/async_llm.py, check_admission: what runs and what waits count alike.
    """
    scaling = spec.autoscaling
    if scaling is None or scaling.max_replicas == scaling.min_replicas:
        return ""
    takes = _limit(spec.max_queued_requests, "refuses what is above maxQueuedRequests")
    engines = spec.data_parallel_size or 1
    runs = _limit(spec.max_num_seqs, "runs no more requests than maxNumSeqs", engines)
    targets = scaling.targets
    for name, target, limits in (
        ("runningRequests", targets.running_requests, [*runs, *takes]),
        ("waitingRequests", targets.waiting_requests, takes),
    ):
        most, why = min(limits, default=(0, ""))
        if most and target * _TOLERANCE >= most:
            return f"autoscaling.targets.{name} ({target}) is never passed by 10 %: a pod {why}; lower the target"
    return ""


def _limit(most: int | None, why: str, engines: int = 1) -> list[tuple[int, str]]:
    """The most requests of a pod, and why; none where that is not limited."""
    each = f" for each of its {engines} engines" if engines > 1 else ""
    return [(most * engines, f"{why} ({most}){each}")] if most else []


def _keda(scaled_object: AutoscalerSnapshot, deployment: DeploymentSnapshot | None) -> ScalingFinding | None:
    ready, paused = scaled_object.condition("Ready"), scaled_object.condition("Paused")
    if paused and paused.status == "True":
        return (
            False,
            Reason.AUTOSCALER_PAUSED,
            "an annotation of the ScaledObject (autoscaling.keda.sh/paused...) pauses KEDA: remove it",
        )
    at_zero = deployment is not None and not deployment.wanted
    if ready is None or ready.status == "True":
        zero = "no pods: requests are refused until a trigger has brought one"
        return (True, Reason.SCALED_TO_ZERO, zero) if at_zero else None
    if ready.status == "Unknown" and not ready.message:
        return None, Reason.AUTOSCALER_STARTING, "KEDA has not looked at the triggers yet"
    if "Trigger" in ready.reason:
        why = (
            "without pods, Prometheus needs the operator's metrics, or those of kube-state-metrics, to know that there "
            "are none"
            if at_zero
            else "Prometheus does not scrape the pods, as while they load the model, or where networkPolicy.allowFrom "
            "keeps it from them"
        )
        return (
            False,
            Reason.TRIGGER_FAILED,
            f"KEDA gets no answer for a trigger: {why}; else check the operator's setting prometheusUrl, and "
            "autoscaling.triggers",
        )
    return False, Reason.AUTOSCALER_FAILED, f"KEDA cannot scale: {shorten(redact(ready.message or ready.reason))}"


def _metrics(hpa: AutoscalerSnapshot | None, *, by_keda: bool) -> ScalingFinding | None:
    able = hpa.condition("AbleToScale") if hpa else None
    active = hpa.condition("ScalingActive") if hpa else None
    if able and able.status == "False":
        return False, Reason.AUTOSCALER_FAILED, f"the autoscaler cannot scale: {shorten(redact(able.message))}"
    if active is None:
        return None, Reason.AUTOSCALER_STARTING, "the HorizontalPodAutoscaler has not looked at the metrics yet"
    return None if active.status == "True" else _without_metrics(active.message, by_keda=by_keda)


def _without_metrics(message: str, *, by_keda: bool) -> ScalingFinding:
    if _NO_API.search(message):
        kind, fix = (
            ("external", "check KEDA's metrics server")
            if by_keda
            else ("custom", "install prometheus-adapter with the chart's rules (files/prometheus-adapter-values.yaml)")
        )
        return False, Reason.METRICS_API_MISSING, f"the cluster's {kind} metrics API does not answer: {fix}"
    if _NO_METRIC.search(message):
        named = _METRIC.search(message)
        return (
            False,
            Reason.NO_METRIC_YET,
            f"there is no {named['name'] if named else 'metric'} of the pods: that is so while they load the model; "
            "else check that Prometheus scrapes them, and the rules of the metrics API",
        )
    return False, Reason.AUTOSCALER_FAILED, f"the autoscaler cannot scale: {shorten(redact(message))}"


def _missing(
    deployment: DeploymentSnapshot | None, pods: Sequence[PodSnapshot], supply: Supply | None
) -> ScalingFinding | None:
    """Pods that the autoscaler has asked for and that the cluster does not give."""
    wanted = deployment.wanted if deployment else 0
    live = [pod for pod in pods if not pod.failed]
    stranded = [pod for pod in live if not pod.scheduled and pod.reason]
    refused = refusals.of_pods(deployment)
    if not stranded and refused is None:
        return None
    missing = max(wanted - sum(pod.scheduled for pod in live), len(stranded))
    reason, message = scheduling.no_node(stranded[0], supply) if refused is None else refusals.pods(refused, supply)
    return (False, reason, f"{missing} of {wanted} wanted pods are missing: {message}") if missing else None


def _limited(spec: InferenceServiceSpec, hpa: AutoscalerSnapshot | None) -> ScalingFinding | None:
    limited = hpa.condition("ScalingLimited") if hpa else None
    if spec.autoscaling and limited and limited.status == "True" and limited.reason == "TooManyReplicas":
        most = spec.autoscaling.max_replicas
        return (
            False,
            Reason.AT_MAXIMUM,
            f"the load asks for more than autoscaling.maxReplicas ({most}) pods: raise it, or let requests wait",
        )
    return None


def _follows(spec: InferenceServiceSpec) -> str:
    scaling = spec.autoscaling
    if scaling is None:
        return ""
    targets = [name for name, value in scaling.targets.to_manifest().items() if value]
    names = ", ".join([*targets, *(trigger.type for trigger in scaling.triggers or ())])
    return f"between {scaling.min_replicas} and {scaling.max_replicas} pods, by {names}"

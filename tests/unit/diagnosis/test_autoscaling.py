"""ScalingActive: why the number of pods does not follow the load, in the words of Kubernetes and KEDA."""

from dataclasses import replace
from typing import Any

import pytest

from support.accounts import Scene
from support.autoscalers import CRON
from support.snapshots import deployment, pod, service, unscheduled
from vllm_operator.diagnosis import Autoscaler
from vllm_operator.snapshots.child import AutoscalerSnapshot
from vllm_operator.snapshots.workload import ConditionSnapshot
from vllm_operator.status.status import status as status_of

SERVING = [pod("a")]
ABLE = ConditionSnapshot("AbleToScale", "True", "SucceededGetScale", "")
ACTIVE = ConditionSnapshot("ScalingActive", "True", "ValidMetricFound", "")
# As pkg/controller/podautoscaler writes them.
UNABLE = "the HPA was unable to compute the replica count: unable to get metric vllm:num_requests_waiting: "
NO_API = (
    f"{UNABLE}unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
)
NO_METRIC = (
    f"{UNABLE}unable to fetch metrics from custom metrics API: the server could not find the metric "
    "vllm:num_requests_waiting for pods"
)
NO_PODS = f"{UNABLE}no metrics returned from custom metrics API"
QUOTA = (
    'pods "a-1" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, '
    "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
)


def failing(message: str, reason: str = "FailedGetPodsMetric") -> AutoscalerSnapshot:
    return AutoscalerSnapshot((ABLE, ConditionSnapshot("ScalingActive", "False", reason, message)))


def hpa(*more: ConditionSnapshot) -> AutoscalerSnapshot:
    return AutoscalerSnapshot((ABLE, ACTIVE, *more))


def keda(**ready: str) -> AutoscalerSnapshot:
    return AutoscalerSnapshot((ConditionSnapshot(**{"type": "Ready", "reason": "", "message": "", **ready}),))


def conditions(observed: Scene, **spec: Any) -> dict[str, Any]:
    written = status_of(observed.account(service(**spec)), "2026-11-24T12:00:00Z")
    return {entry["type"]: entry for entry in written["conditions"]}


def said(seen: Autoscaler, observed: Scene | None = None, **spec: Any) -> tuple[str, str, str]:
    observed = observed or Scene(deployment=deployment(1), pods=SERVING)
    observed.autoscaler = seen
    scaling = {"maxReplicas": 4, **spec.pop("autoscaling", {})}
    found = conditions(observed, autoscaling=scaling, **spec)
    # Whatever the autoscaler does, a service whose pods serve is ready.
    if observed.deployment == deployment(sum(one.ready for one in observed.pods)):
        assert found["Ready"]["status"] == "True"
    one = found["ScalingActive"]
    return one["status"], one["reason"], one["message"]


@pytest.mark.parametrize(
    ("message", "reason", "part"),
    [
        (NO_API, "MetricsApiMissing", "install prometheus-adapter"),
        (NO_METRIC, "NoMetricYet", "there is no vllm:num_requests_waiting of the pods"),
        (NO_PODS, "NoMetricYet", "check that Prometheus scrapes them"),
        (f"{UNABLE}the server is currently unable to handle the request", "MetricsApiMissing", "does not answer"),
        (f"{UNABLE}forbidden", "AutoscalerFailed", "forbidden"),
    ],
)
def test_an_autoscaler_without_metrics(message: str, reason: str, part: str) -> None:
    status, why, words = said(Autoscaler(failing(message)))
    assert (status, why) == ("False", reason)
    assert part in words


def test_a_fixed_number_of_pods_has_no_such_condition() -> None:
    assert "ScalingActive" not in conditions(Scene(deployment=deployment(1), pods=SERVING))


def test_before_anything_is_known_it_is_unknown() -> None:
    assert said(Autoscaler())[:2] == ("Unknown", "AutoscalerStarting")


def test_it_follows_the_targets_that_are_on() -> None:
    assert said(Autoscaler(hpa()), autoscaling={"targets": {"waitingRequests": 0}}) == (
        "True",
        "Scaling",
        "between 1 and 4 pods, by kvCacheUtilizationPercent",
    )


def test_at_the_maximum() -> None:
    limited = ConditionSnapshot("ScalingLimited", "True", "TooManyReplicas", "")
    assert said(Autoscaler(hpa(limited)))[:2] == ("False", "AtMaximum")
    few = ConditionSnapshot("ScalingLimited", "True", "TooFewReplicas", "")
    assert said(Autoscaler(hpa(few)))[:2] == ("True", "Scaling")


def test_missing_gpus_are_counted() -> None:
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    waiting = [unscheduled(name, message) for name in "bc"]
    asked = [replace(one, asked=replace(one.asked, resource="nvidia.com/gpu", count=4)) for one in waiting]
    observed = Scene(deployment=deployment(3), pods=[*SERVING, *asked])
    status, reason, words = said(Autoscaler(hpa()), observed)
    assert (status, reason) == ("False", "InsufficientGpus")
    assert words.startswith("2 of 3 wanted pods are missing: no node for pod b among 3")


def test_a_used_up_quota_is_named() -> None:
    refused = ConditionSnapshot("ReplicaFailure", "True", "FailedCreate", QUOTA)
    observed = Scene(deployment=replace(deployment(3), conditions=(refused,)), pods=SERVING)
    status, reason, words = said(Autoscaler(hpa()), observed)
    assert (status, reason) == ("False", "QuotaExceeded")
    assert words.startswith("2 of 3 wanted pods are missing: ResourceQuota gpus is used up")


@pytest.mark.parametrize(
    ("target", "limits", "named"),
    [
        ("runningRequests", {"maxNumSeqs": 256}, "maxNumSeqs (256);"),
        ("waitingRequests", {"maxQueuedRequests": 256}, "maxQueuedRequests (256);"),
        ("runningRequests", {"maxQueuedRequests": 256}, "maxQueuedRequests (256);"),
        ("runningRequests", {"maxNumSeqs": 1024, "maxQueuedRequests": 256}, "maxQueuedRequests (256);"),
        ("runningRequests", {"maxNumSeqs": 256, "maxQueuedRequests": 1024}, "maxNumSeqs (256);"),
        ("runningRequests", {"maxNumSeqs": 64, "dataParallelSize": 4}, "maxNumSeqs (64) for each of its 4 engines;"),
        ("runningRequests", {"maxNumSeqs": 256, "maxQueuedRequests": 256, "dataParallelSize": 4}, "Requests (256);"),
    ],
)
def test_a_target_that_is_never_passed(target: str, limits: dict[str, Any], named: str) -> None:
    for value, reason in ((240, "TargetUnreachable"), (120, "Scaling")):
        status, why, words = said(Autoscaler(hpa()), autoscaling={"targets": {target: value}}, **limits)
        assert (why, named in words) == (reason, status == "False")


BY_KEDA = {"provider": "KEDA", "minReplicas": 0, "triggers": [CRON]}


def test_keda_is_missing_failing_or_has_scaled_to_zero() -> None:
    def by_keda(seen: Autoscaler, observed: Scene | None = None) -> tuple[str, str, str]:
        return said(seen, observed, autoscaling=BY_KEDA)

    fine = keda(status="True")
    assert by_keda(Autoscaler())[1] == "KedaApiMissing"
    assert by_keda(Autoscaler(hpa(), fine, keda=True)) == (
        "True",
        "Scaling",
        "between 0 and 4 pods, by waitingRequests, kvCacheUtilizationPercent, cron",
    )
    broken = keda(status="False", reason="TriggerError", message="Triggers ... are not working correctly")
    assert by_keda(Autoscaler(hpa(), broken, keda=True))[1] == "TriggerFailed"
    partly = keda(status="Unknown", reason="PartialTriggerError", message="Some triggers ... are not working correctly")
    status, reason, words = by_keda(Autoscaler(hpa(), partly, keda=True))
    assert (status, reason) == ("False", "TriggerFailed")
    assert "networkPolicy.allowFrom" in words
    at_zero = Scene(deployment=deployment(0))
    assert by_keda(Autoscaler(None, fine, keda=True), at_zero)[:2] == ("True", "ScaledToZero")
    # What wakes the service up may be what fails.
    status, reason, words = by_keda(Autoscaler(None, broken, keda=True), at_zero)
    assert (status, reason) == ("False", "TriggerFailed")
    assert "without pods" in words
    paused = AutoscalerSnapshot((*fine.conditions, ConditionSnapshot("Paused", "True", "ScaledObjectPaused", "")))
    assert by_keda(Autoscaler(hpa(), paused, keda=True))[:2] == ("False", "AutoscalerPaused")
    refused = Autoscaler(None, None, keda=True, refused="the workload is already managed by the hpa")
    assert by_keda(refused)[1:] == (
        "AutoscalerRefused",
        "the autoscaler cannot be made: the workload is already managed by the hpa",
    )


def test_keda_that_has_just_been_told_is_waited_for() -> None:
    seen = Autoscaler(scaled_object=keda(status="Unknown"), keda=True)
    status, reason, message = said(seen, autoscaling={"provider": "KEDA"})
    assert (status, reason) == ("Unknown", "AutoscalerStarting")
    assert "KEDA" in message

"""Who decides how many pods there are: a HorizontalPodAutoscaler, or KEDA's ScaledObject, which makes one itself.

Both scale the Deployment, or the LeaderWorkerSet by its leaders, by vLLM's own gauges. The names of the metrics per pod
are those of the rules for prometheus-adapter in the chart (files/prometheus-adapter-values.yaml).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..api.autoscaling import Autoscaling
from ..api.resource import InferenceService
from .metadata import Manifest, compact, metadata
from .names import GROUP_API, GROUP_KIND, SERVICE_LABEL, group_name

UNKNOWN_STARTUP_SECONDS = 300
# One pod a minute: each drains its requests first, and the next look sees what the others make of them.
_SCALE_DOWN_SECONDS = 60
# How often KEDA asks whether a service without pods has work.
_POLLING_SECONDS = 15
# A threshold that no load reaches: the trigger only says whether there is work, never for how many pods.
_ONLY_ACTIVATES = "1000000000"


@dataclass(frozen=True, slots=True)
class Scaling:
    """What an autoscaler is made of beside the spec."""

    # status.startupSeconds; None until a pod was seen to start.
    startup_seconds: int | None = None
    prometheus_url: str = ""
    grouped: bool = False
    """Whether replicas are groups of pods."""


@dataclass(frozen=True, slots=True)
class _Target:
    """One metric: per pod for the HPA, over all pods in PromQL for KEDA, and what each pod should have at most."""

    name: str
    metric: str
    query: str
    thousandths: int

    @property
    def quantity(self) -> str:
        """The target as a Kubernetes quantity."""
        return f"{self.thousandths}m" if self.thousandths % 1000 else self.number

    @property
    def number(self) -> str:
        """The target as KEDA reads it."""
        return f"{self.thousandths / 1000:g}"


def _asked_of(provider: str, service: InferenceService) -> Autoscaling | None:
    """How a provider is to scale the service; None where another does, or the number of pods is fixed."""
    spec = service.spec.autoscaling
    return spec if spec and spec.provider == provider and service.wanted_replicas is None else None


def horizontal_pod_autoscaler(service: InferenceService, scaling: Scaling) -> Manifest | None:
    """Kubernetes' own autoscaler, by metrics per pod."""
    spec = _asked_of("HPA", service)
    if not spec:
        return None
    metrics = [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": target.metric},
                "target": {"type": "AverageValue", "averageValue": target.quantity},
            },
        }
        for target in _targets(service, spec)
    ]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(service),
        "spec": {
            "scaleTargetRef": _scale_target(service, scaling),
            "minReplicas": spec.min_replicas,
            "maxReplicas": spec.max_replicas,
            "metrics": metrics,
            "behavior": _behavior(spec, scaling),
        },
    }


def scaled_object(service: InferenceService, scaling: Scaling) -> Manifest | None:
    """KEDA's ScaledObject. KEDA makes and keeps the HorizontalPodAutoscaler keda-hpa-NAME, with our labels, from it.

    An empty result of any of our queries is an error, by which neither takes pods away; by the other triggers the
    HorizontalPodAutoscaler still adds some.

    Source: controllers/keda/hpa.go and pkg/scaling/executor/scale_scaledobjects.go in github.com/kedacore/keda 2.21,
    and computeReplicasForMetrics of pkg/controller/podautoscaler/horizontal.go in Kubernetes.
    """
    spec = _asked_of("KEDA", service)
    if not spec:
        return None
    known = [replace(target, query=_or_few(target.query, service, spec)) for target in _targets(service, spec)]
    triggers = [_prometheus(scaling, target.name, target.query, target.number) for target in known]
    # A pod that was asked for gets the time to load before it can be taken away for want of work.
    cooldown = max(spec.scale_down.stabilization_seconds, _startup(scaling))
    if spec.min_replicas == 0:
        triggers.append(_prometheus(scaling, "busy", _busy_query(service), _ONLY_ACTIVATES))
    return compact(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": metadata(service),
            "spec": {
                "scaleTargetRef": _scale_target(service, scaling),
                "pollingInterval": _POLLING_SECONDS,
                "cooldownPeriod": cooldown,
                # KEDA's default of 0 would take the pods away from a service that was handed over to it.
                "initialCooldownPeriod": cooldown,
                "minReplicaCount": spec.min_replicas,
                "maxReplicaCount": spec.max_replicas,
                "advanced": {
                    # The count that an autoscaler leaves behind is the one to go on with.
                    "restoreToOriginalReplicaCount": False,
                    "horizontalPodAutoscalerConfig": {"behavior": _behavior(spec, scaling)},
                },
                "triggers": [*triggers, *(trigger.to_manifest() for trigger in spec.triggers or ())],
            },
        }
    )


def _scale_target(service: InferenceService, scaling: Scaling) -> Manifest:
    if scaling.grouped:
        return {"apiVersion": GROUP_API, "kind": GROUP_KIND, "name": group_name(service.name)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name}


def _startup(scaling: Scaling) -> int:
    return scaling.startup_seconds or UNKNOWN_STARTUP_SECONDS


def _behavior(spec: Autoscaling, scaling: Scaling) -> Manifest:
    up = {"type": "Pods", "value": spec.scale_up.max_replicas_per_step, "periodSeconds": _startup(scaling)}
    down = {"type": "Pods", "value": 1, "periodSeconds": _SCALE_DOWN_SECONDS}
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": spec.scale_up.stabilization_seconds,
            "selectPolicy": "Max",
            "policies": [up],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": spec.scale_down.stabilization_seconds,
            "selectPolicy": "Max",
            "policies": [down],
        },
    }


def _selector(service: InferenceService) -> str:
    return f'namespace="{service.namespace}",{SERVICE_LABEL}="{service.name}"'


def _targets(service: InferenceService, spec: Autoscaling) -> Iterator[_Target]:
    """The targets that are on, always in the same order."""
    wanted, labels = spec.targets, _selector(service)
    gauges = (
        ("waiting-requests", "vllm:num_requests_waiting", wanted.waiting_requests * 1000),
        ("running-requests", "vllm:num_requests_running", wanted.running_requests * 1000),
        ("kv-cache", "vllm:kv_cache_usage_perc", wanted.kv_cache_utilization_percent * 10),
    )
    for name, metric, thousandths in gauges:
        if thousandths:
            series = f"{metric}{{{labels}}}"
            # A share: of several engines in a pod, the fullest counts.
            summed = f"max by (pod) ({series})" if name == "kv-cache" else series
            yield _Target(name, metric, f"sum({summed})", thousandths)
    if milliseconds := wanted.time_to_first_token_milliseconds:
        metric = "vllm:time_to_first_token_seconds"
        per_pod = f"sum by (le, pod) (rate({metric}_bucket{{{labels}}}[2m]))"
        # Over pods that answered nothing the quantile is NaN, which no comparison holds for: 0, if they are seen.
        query = f"sum(histogram_quantile(0.95, {per_pod}) >= 0) or 0 * sum(vllm:num_requests_running{{{labels}}})"
        yield _Target("time-to-first-token", f"{metric}_p95", query, milliseconds)


def _prometheus(scaling: Scaling, name: str, query: str, threshold: str) -> Manifest:
    about = {"serverAddress": scaling.prometheus_url, "query": query, "threshold": threshold}
    # KEDA's default takes an empty result for 0.
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "AverageValue",
        "metadata": {**about, "ignoreNullValues": "false"},
    }


def _pods_wanted(service: InferenceService) -> str:
    """How many pods there are to be, as the operator or kube-state-metrics says; empty where neither is scraped."""
    return (
        f"max(vllm_operator_service_replicas_wanted{{{_selector(service)}}} or "
        f'kube_deployment_spec_replicas{{namespace="{service.namespace}",deployment="{service.name}"}})'
    )


def _or_few(query: str, service: InferenceService, spec: Autoscaling) -> str:
    """The query's result; without one 0, but only where that takes no pod away.

    Without pods a trigger that fails would keep KEDA from making minReplicas of them again. Of a service that may go
    to zero, one pod is left by this, and the trigger `busy` decides about that one: while it loads, a trigger that
    fails would keep KEDA from noting that the service is active, and once loaded it would be taken away at once.
    """
    most = 0 if spec.min_replicas else 1
    pods = f"({_pods_wanted(service)} or count(up{{{_selector(service)}}}))"
    return f"{query} or (vector(0) unless {pods} > {most})"


def _busy_query(service: InferenceService) -> str:
    """Requests that run or wait, those that ended in the last two minutes, and pods that are not scraped yet.

    A pod is a target from the moment it has an address, and does not answer while it loads the model. Where Prometheus
    has no target at all, the result is 0 only if it also knows that there are to be no pods; else it is empty, which is
    an error to the trigger, and then KEDA takes nothing away: Prometheus may only have lost sight of the pods.
    """
    labels = _selector(service)
    parts = (
        f"sum(vllm:num_requests_running{{{labels}}})",
        f"sum(vllm:num_requests_waiting{{{labels}}})",
        f"sum(increase(vllm:request_success_total{{{labels}}}[2m]))",
        f"count(up{{{labels}}} == 0)",
    )
    total = " + ".join(f"({part} or vector(0))" for part in parts)
    none = f"({_pods_wanted(service)} == 0)"
    return f"(({total}) and on() count(up{{{labels}}})) or on() {none}"

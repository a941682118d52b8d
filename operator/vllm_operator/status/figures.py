"""What the metrics say of the services: from evidence to plain figures, and to series when they are scraped.

A service that goes takes its series with it. Its labels are those that the ServiceMonitor gives to vLLM's own metrics.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..api.reasons import Reason
from ..api.resource import Key
from ..snapshots.pod import PodSnapshot
from .conditions import wanted
from .evidence import Account
from .status import plan_error


@dataclass(frozen=True, slots=True)
class Figures:
    """What the metrics say of one service."""

    ready: str
    """Status of the condition Ready: True, False or Unknown."""
    reason: str
    replicas_wanted: int
    replicas_ready: int
    replicas_max: int | None
    """Where an autoscaler may choose: the most."""
    gpus_wanted: int
    gpus_granted: int
    """Of pods that have a node."""
    plan_error: float | None
    """By what share vLLM's KV cache is larger (or, negative, smaller) than planned."""
    restarts: int
    """Since the operator has been running."""
    available: bool
    """Whether enough pods serve, of whichever spec, or none is asked for."""


_GAUGES: dict[str, tuple[str, Callable[[Figures], float | None]]] = {
    "ready": (
        "1 if the service is ready, or suspended as its owner asks; else 0.",
        lambda figures: _is_up({"status": figures.ready, "reason": figures.reason}),
    ),
    "available": (
        "1 if enough pods serve, with the current spec or an earlier one, or none is asked for; else 0.",
        lambda figures: figures.available,
    ),
    "replicas_wanted": (
        "Pods that there should be, by the spec or the autoscaler.",
        lambda figures: figures.replicas_wanted,
    ),
    "replicas_ready": ("Pods with the current spec that serve.", lambda figures: figures.replicas_ready),
    "replicas_max": ("The most pods that the autoscaler may ask for.", lambda figures: figures.replicas_max),
    "gpus_wanted": ("GPUs that all wanted pods take together.", lambda figures: figures.gpus_wanted),
    "gpus_granted": ("GPUs of the pods that have a node.", lambda figures: figures.gpus_granted),
    "gpus_missing": (
        "GPUs that wanted pods still wait for.",
        lambda figures: max(0, figures.gpus_wanted - figures.gpus_granted),
    ),
    "plan_error_ratio": (
        "By what share of the plan vLLM's KV cache is larger (or, negative, smaller) than planned.",
        lambda figures: figures.plan_error,
    ),
}


class Fleet(Collector):
    """The services' metrics. Scraped by another thread, which sees each service's figures as a whole."""

    def __init__(self) -> None:
        self._figures: dict[Key, Figures] = {}

    def show(self, key: Key, figures: Figures) -> None:
        """What is true of a service (namespace, name) now."""
        self._figures[key] = figures

    def forget(self, key: Key) -> None:
        """Drop the series of a service that is gone."""
        self._figures.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        known = list(self._figures.items())
        services = GaugeMetricFamily(
            "vllm_operator_services",
            "InferenceServices, by whether they are ready and why.",
            labels=["ready", "reason"],
        )
        for (ready, reason), count in Tally((figures.ready, figures.reason) for _, figures in known).items():
            services.add_metric([ready, reason], count)
        yield services
        labels = ["namespace", "inferenceservice"]
        why = GaugeMetricFamily(
            "vllm_operator_service_reason",
            "1 for the reason why the service is ready or not.",
            labels=[*labels, "reason"],
        )
        for key, figures in known:
            why.add_metric([*key, figures.reason], 1)
        yield why
        for name, (text, value_of) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"vllm_operator_service_{name}", text, labels=labels)
            for key, figures in known:
                if (value := value_of(figures)) is not None:
                    gauge.add_metric(key, value)
            yield gauge
        restarts = CounterMetricFamily(
            "vllm_operator_service_restarts", "Restarts of vLLM that the operator has seen.", labels=labels
        )
        for key, figures in known:
            restarts.add_metric(key, figures.restarts)
        yield restarts


class Restarts:
    """Counts the restarts of one service's containers. Pods come and go, and a counter must never fall."""

    def __init__(self) -> None:
        self._seen: dict[str, int] | None = None
        self._total = 0

    def count(self, pods: Sequence[PodSnapshot]) -> int:
        """Restarts since the first call, of all of the service's pods as they are now."""
        if self._seen is not None:
            self._total += sum(max(0, pod.restarts - self._seen.get(pod.name, 0)) for pod in pods)
        self._seen = {pod.name: pod.restarts for pod in pods}
        return self._total


def figures(account: Account, ready: Mapping[str, Any], restarts: int) -> Figures:
    """What the metrics say of a service; `ready` is its condition Ready."""
    scaling = account.service.spec.autoscaling
    pods = [*account.evidence.pods, *account.evidence.old_pods]
    total = wanted(account)
    return Figures(
        ready=ready["status"],
        reason=ready["reason"],
        replicas_wanted=total,
        replicas_ready=sum(pod.ready for pod in account.evidence.pods),
        # Where there is nothing to choose, being at the maximum means nothing.
        replicas_max=scaling.max_replicas if scaling and scaling.max_replicas > scaling.min_replicas else None,
        gpus_wanted=account.gpus_of_replica * total,
        gpus_granted=account.gpus_of_replica * sum(pod.scheduled and not pod.failed for pod in pods),
        plan_error=plan_error(account),
        restarts=restarts,
        # As Ready counts pods of the current spec: all but the one that a rollout or a drain may take.
        available=_is_up(ready) or sum(pod.ready for pod in pods) >= max(1, total - 1),
    )


def _is_up(ready: Mapping[str, Any]) -> bool:
    """Whether a service is ready, or suspended as its owner asks."""
    return bool(ready["status"] == "True" or ready["reason"] == Reason.SUSPENDED)


fleet = Fleet()

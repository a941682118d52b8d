"""The operator's own metrics, as Prometheus scrapes them.

What is known of each service is kept as plain figures and turned into metrics when they are scraped: a service that
goes takes its series with it. Its labels are those that the ServiceMonitor gives to vLLM's own metrics.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Key = tuple[str, str]

reconcile_seconds = Histogram("vllm_operator_reconcile_seconds", "Time that one reconcile of one service takes.")
reconcile_errors = Counter("vllm_operator_reconcile_errors", "Reconciles that failed and are tried again.", ["kind"])
queue_depth = Gauge("vllm_operator_queue_depth", "Services that are due to be reconciled and wait for a worker.")
queue_age = Gauge("vllm_operator_queue_age_seconds", "For how long the service that is due first has been due.")
api_requests = Counter("vllm_operator_api_requests", "Requests to the API server.", ["verb", "code"])
api_seconds = Histogram("vllm_operator_api_request_seconds", "Time that a request to the API server takes.", ["verb"])


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


_GAUGES: dict[str, tuple[str, Callable[[Figures], float | None]]] = {
    "ready": ("1 if the service is ready, else 0.", lambda figures: figures.ready == "True"),
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
        """The service is gone."""
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


class Watches(Collector):
    """How old each watch is. Each is renewed twice a minute: one that gets much older shows nothing new."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wanted: dict[str, float] = {}
        self._accepted: dict[str, float] = {}

    def wanted(self, plural: str) -> None:
        """A resource that there must be a watch of: until one is accepted, its age is reckoned from now on."""
        self._wanted[plural] = self._clock()

    def accepted(self, path: str) -> None:
        """The API server has accepted a watch of this URL path."""
        self._accepted[path] = self._clock()

    def forget(self, plural: str) -> None:
        """The cluster does not serve this resource any more."""
        for path in [path for path in self._accepted if path.endswith(f"/{plural}")]:
            del self._accepted[path]

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads: of each resource the oldest watch, where several namespaces are watched."""
        oldest: dict[str, float] = {}
        for path, at in list(self._accepted.items()):
            resource = path.rpartition("/")[2]
            oldest[resource] = min(at, oldest.get(resource, at))
        oldest = {**self._wanted, **oldest}
        family = GaugeMetricFamily(
            "vllm_operator_watch_age_seconds",
            "Time since the API server last accepted a watch; each is renewed twice a minute.",
            labels=["resource"],
        )
        for resource, at in oldest.items():
            family.add_metric([resource], self._clock() - at)
        yield family


fleet = Fleet()
watches = Watches()
REGISTRY.register(fleet)
REGISTRY.register(watches)

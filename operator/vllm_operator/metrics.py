"""The operator's own metrics, as Prometheus scrapes them. What a kind of ours says of its objects is the kind's."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

reconcile_seconds = Histogram(
    "vllm_operator_reconcile_seconds", "Time that one reconcile of a service, or of a batch, takes."
)
reconcile_errors = Counter(
    "vllm_operator_reconcile_errors",
    "Reconciles that failed and are tried again; kind is the Python class of the error.",
    ["kind"],
)
queue_depth = Gauge(
    "vllm_operator_queue_depth",
    "Objects that are due to be reconciled and wait for a worker: services, batches, classes, and all nodes as one.",
)
queue_age = Gauge("vllm_operator_queue_age_seconds", "For how long the object that is due first has been due.")
loop_lag = Gauge(
    "vllm_operator_event_loop_lag_seconds", "The longest that the operator's event loop was late in the last minute."
)
acts = Gauge(
    "vllm_operator_acts",
    "Whether this operator acts, and waits for no Lease. part is a namespace, a shard (shard-0), or cluster.",
    ["part"],
)
api_requests = Counter("vllm_operator_api_requests", "Requests to the API server.", ["verb", "code"])
api_seconds = Histogram("vllm_operator_api_request_seconds", "Time that a request to the API server takes.", ["verb"])


class Watches(Collector):
    """How old each watch is. Each is renewed twice a minute: one that gets much older shows nothing new."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wanted: dict[str, float] = {}
        self._accepted: dict[str, float] = {}

    def wanted(self, plural: str) -> None:
        """A resource that there must be a watch of: until one is accepted, its age counts from now on."""
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


watches = Watches()

"""What the metrics say of the batches. A batch that goes takes its series with it."""

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..api.conditions import ConditionType, find, holds
from ..api.resource import Key

_LABELS = ["namespace", "inferencebatch"]


class BatchFleet(Collector):
    """The batches' metrics. Scraped by another thread, which sees each batch's status as a whole."""

    def __init__(self) -> None:
        self._statuses: dict[Key, Mapping[str, Any]] = {}

    def show(self, key: Key, status: Mapping[str, Any]) -> None:
        """What is true of a batch (namespace, name) now."""
        self._statuses[key] = status

    def forget(self, key: Key) -> None:
        """Drop the series of a batch that is gone."""
        self._statuses.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        known = list(self._statuses.items())
        batches = GaugeMetricFamily(
            "vllm_operator_batches", "InferenceBatches, by how far they are.", labels=["reason"]
        )
        reasons = (find(status, ConditionType.READY).get("reason", "") for _, status in known)
        for reason, count in Tally(reasons).items():
            batches.add_metric([reason], count)
        yield batches
        requests = GaugeMetricFamily(
            "vllm_operator_batch_requests", "Requests of a batch, by what became of them.", labels=[*_LABELS, "state"]
        )
        running = GaugeMetricFamily("vllm_operator_batch_running", "1 while pods answer requests.", labels=_LABELS)
        pace = GaugeMetricFamily(
            "vllm_operator_batch_tokens_per_second", "Tokens of prompts and answers in a second.", labels=_LABELS
        )
        for key, status in known:
            for state in ("total", "done", "failed"):
                if state in status:
                    requests.add_metric([*key, state], status[state])
            running.add_metric([*key], holds(status, ConditionType.RUNNING))
            pace.add_metric([*key], status.get("tokensPerSecond", 0))
        yield from (requests, running, pace)


batch_fleet = BatchFleet()

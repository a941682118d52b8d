"""The algorithm of Kubernetes' HorizontalPodAutoscaler, for simulations: from a manifest and pods to a count.

Source: pkg/controller/podautoscaler/horizontal.go and replica_calculator.go in Kubernetes 1.36. Only what a manifest of
ours, or one without `behavior`, uses: metrics of type Pods with an AverageValue, and policies of Pods and Percent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

SYNC_SECONDS = 15
TOLERANCE = 0.1
DOWNSCALE_STABILIZATION_SECONDS = 300

_SUFFIX = {"m": 0.001}


def quantity(text: str) -> float:
    """A Kubernetes quantity without a binary suffix."""
    return float(text[:-1]) * _SUFFIX[text[-1]] if text[-1] in _SUFFIX else float(text)


def calculate(metrics: Mapping[str, float], missing: Iterable[str], current: int, target: float) -> int:
    """calcPlainMetricReplicas: `metrics` are those of pods that have one, `missing` the names of those without."""
    if not metrics:
        return current  # the HPA reports an error and leaves the count alone
    values, without = list(metrics.values()), len(list(missing))
    ratio = sum(values) / len(values) / target
    if not without:
        return current if abs(1 - ratio) <= TOLERANCE else ceil(ratio * len(values))
    if ratio < 1:
        values += [target] * without
    elif ratio > 1:
        values += [0.0] * without
    again = sum(values) / len(values) / target
    if abs(1 - again) <= TOLERANCE or (ratio < 1 < again) or (again < 1 < ratio):
        return current
    wanted = ceil(again * len(values))
    if (again < 1 and wanted > current) or (again > 1 and wanted < current):
        return current
    return wanted


@dataclass(slots=True)
class Hpa:
    """One HorizontalPodAutoscaler and what its controller remembers of it. Times are in seconds."""

    spec: Mapping[str, Any]
    recommendations: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """What each metric should be at most, per pod."""
        pods = [metric["pods"] for metric in self.spec["metrics"]]
        return {pod["metric"]["name"]: quantity(pod["target"]["averageValue"]) for pod in pods}

    def sync(self, now: float, current: int, pods: Mapping[str, Mapping[str, float]], missing: Sequence[str]) -> int:
        """The new count. `pods` are the metrics by pod; `missing` are pods that have none (yet)."""
        low, high = int(self.spec["minReplicas"]), int(self.spec["maxReplicas"])
        if not self.recommendations:
            self.recommendations.append((now, current))
        if not low <= current <= high:
            wanted = max(low, min(current, high))
        else:
            wanted = max(
                calculate({name: values[metric] for name, values in pods.items()}, missing, current, target)
                for metric, target in self.metrics().items()
            )
            wanted = self._normalized(now, current, wanted)
        if wanted != current:
            self.changes = [change for change in self.changes if change[0] > now - 3600]
            self.changes.append((now, wanted - current))
        return wanted

    def _normalized(self, now: float, current: int, wanted: int) -> int:
        low, high = int(self.spec["minReplicas"]), int(self.spec["maxReplicas"])
        behavior = self.spec.get("behavior")
        up = behavior["scaleUp"]["stabilizationWindowSeconds"] if behavior else 0
        down = behavior["scaleDown"]["stabilizationWindowSeconds"] if behavior else DOWNSCALE_STABILIZATION_SECONDS
        least = min([wanted, *(count for at, count in self.recommendations if at > now - up)])
        most = max([wanted, *(count for at, count in self.recommendations if at > now - down)])
        self.recommendations = [one for one in self.recommendations if one[0] > now - max(up, down)]
        self.recommendations.append((now, wanted))
        # Without `behavior` a scale-up is never stabilized, which a window of 0 is as well.
        stable = min(max(current, least), most)
        if stable > current:
            limit = self._up_limit(now, current, behavior["scaleUp"]) if behavior else max(2 * current, 4)
            return min(stable, high, max(limit, current))
        if stable < current:
            limit = self._down_limit(now, current, behavior["scaleDown"]) if behavior else 0
            return max(stable, low, min(limit, current))
        return current

    def _at_start(self, now: float, current: int, seconds: float) -> int:
        """Replicas at the start of a policy's period."""
        return current - sum(change for at, change in self.changes if at > now - seconds)

    def _up_limit(self, now: float, current: int, rules: Mapping[str, Any]) -> int:
        best = -inf
        for policy in rules["policies"]:
            start = self._at_start(now, current, policy["periodSeconds"])
            pods = policy["type"] == "Pods"
            best = max(best, start + policy["value"] if pods else ceil(start * (1 + policy["value"] / 100)))
        return int(best)

    def _down_limit(self, now: float, current: int, rules: Mapping[str, Any]) -> int:
        best = inf
        for policy in rules["policies"]:
            start = self._at_start(now, current, policy["periodSeconds"])
            pods = policy["type"] == "Pods"
            best = min(best, start - policy["value"] if pods else int(start * (1 - policy["value"] / 100)))
        return int(best)

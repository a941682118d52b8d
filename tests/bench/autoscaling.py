"""Our autoscaling policy against `requests waiting` with the HPA's default behaviour, on the HPA's own algorithm.

    python -m bench.autoscaling [--plot PLOT.svg]

Over-provisioned GPU hours are those of pods beyond the fewest that carry the load of the moment. For each trace, and
each budget of seconds that a request may wait in a queue on average, we keep our defaults and choose minReplicas with
hindsight. The rival chooses minReplicas and its target with hindsight, and at equal queueing: its requests must wait no
longer than ours do (or than a second). Ends with 1 where we do not need fewer hours. The budget of a second is printed
only: where pods start slowly it takes nearly all of them all the time, whatever scales them.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil, pi, sin
from pathlib import Path
from random import Random
from typing import Any

from bench.autoscaling_plot import Column, Point, plot
from bench.hpa import SYNC_SECONDS, Hpa
from bench.vllm_pods import CAPACITY, DRAIN_SECONDS, Pod, shares
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests import Scaling
from vllm_operator.manifests.amounts import STARTUP_STEPS
from vllm_operator.manifests.autoscaling import horizontal_pod_autoscaler

STEP = 7.5
# From a scrape until the HPA reads it through prometheus-adapter.
METRIC_AGE_SECONDS = 15.0
MOST = 12
BUDGETS, PRINTED_ONLY = (10.0, 5.0, 2.0), (1.0,)
PLOTTED = 5.0
UNNOTICED_SECONDS = 1.0
LEAST, TARGETS = range(1, 8), (1, 2, 5, 10, 20, 40)
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Load over time, in requests per second, and how long a pod takes to start."""

    name: str
    hours: float
    startup_seconds: float
    rate: Callable[[float], float]

    def times(self) -> Iterator[float]:
        """The moments of the simulation."""
        return (index * STEP for index in range(int(self.hours * HOUR / STEP)))


def _bursts() -> Callable[[float], float]:
    random = Random(7)
    starts = [(random.uniform(0, 6 * HOUR), random.uniform(300, 1200), random.uniform(10, 30)) for _ in range(14)]
    return lambda t: 1.2 + 0.2 * sum(height for start, length, height in starts if start <= t < start + length)


TRACES = (
    Trace("bursty", 6, 110, _bursts()),
    Trace("daily", 24, 170, lambda t: 6.6 - 5.7 * sin(2 * pi * (t / HOUR + 4) / 24)),
    Trace("slow start", 8, 840, lambda t: 1.2 + 8 * min(1.0, max(0.0, (t - HOUR) / HOUR)) * (t < 5 * HOUR)),
)


@dataclass(slots=True)
class Run:
    """What came of one policy on one trace. Hours are of GPUs, and of requests in queues."""

    over_hours: float = 0.0
    gpu_hours: float = 0.0
    lost_hours: float = 0.0
    requests: float = 0.0
    dropped: float = 0.0
    # Every minute.
    points: list[Point] = field(default_factory=list)

    @property
    def wait(self) -> float:
        """Seconds in a queue, for each request."""
        return self.lost_hours * HOUR / self.requests


def needed(rate: float) -> int:
    """The fewest pods that carry a load."""
    return max(1, ceil(rate / CAPACITY))


class Simulation:
    """One Deployment under one HPA on one trace."""

    def __init__(self, trace: Trace, spec: dict[str, Any]) -> None:
        self.trace, self.hpa, self.random = trace, Hpa(spec), Random(1)
        count = max(spec["minReplicas"], needed(trace.rate(0)))
        self.pods = [Pod(f"pod-{index}", 0.0) for index in range(count)]
        self.made, self.run = count, Run()
        self.scraped: list[tuple[float, dict[str, dict[str, float]]]] = []

    def replay(self) -> Run:
        """Runs the whole trace, or until requests have waited more than the largest budget allows over all of it."""
        hopeless = sum(self.trace.rate(now) for now in self.trace.times()) * STEP * BUDGETS[0] / HOUR * 1.1
        for now in self.trace.times():
            rate = self.trace.rate(now)
            self._serve(now, rate)
            self._count(now, rate)
            if now % SYNC_SECONDS == 0:
                self._scale(now)
            if self.run.lost_hours > hopeless:
                break
        return self.run

    def _serve(self, now: float, rate: float) -> None:
        ready = [pod for pod in self.pods if pod.gone_at is None and pod.ready_at <= now]
        # A variance as of single requests that come by chance.
        arrivals = max(0.0, self.random.gauss(rate * STEP, (rate * STEP) ** 0.5))
        self.run.requests += arrivals
        for pod, share in zip(ready, shares(arrivals, len(ready), self.random), strict=True):
            pod.step(share, STEP)
        for pod in self.pods:
            if pod.gone_at is not None:
                pod.step(0.0, STEP)
        ended = [pod for pod in self.pods if pod.gone_at is not None and (pod.running < 0.5 or now >= pod.gone_at)]
        self.run.dropped += sum(pod.waiting + pod.running for pod in ended if pod.running >= 0.5)
        self.pods = [pod for pod in self.pods if pod not in ended]

    def _count(self, now: float, rate: float) -> None:
        run, hours = self.run, STEP / HOUR
        waiting = sum(pod.waiting for pod in self.pods)
        run.gpu_hours += len(self.pods) * hours
        run.over_hours += max(0, len(self.pods) - needed(rate)) * hours
        run.lost_hours += waiting * hours
        if now % 60 == 0:
            wanted = sum(pod.gone_at is None for pod in self.pods)
            run.points.append(Point(now / HOUR, wanted, needed(rate), waiting, run.lost_hours))

    def _scale(self, now: float) -> None:
        live = [pod for pod in self.pods if pod.gone_at is None]
        self.scraped.append((now, {pod.name: pod.metrics() for pod in live if pod.ready_at <= now}))
        known = [metrics for at, metrics in self.scraped if at <= now - METRIC_AGE_SECONDS]
        self.scraped = self.scraped[-3:]
        if not known:
            return
        metrics = {pod.name: known[-1][pod.name] for pod in live if pod.name in known[-1]}
        missing = [pod.name for pod in live if pod.name not in metrics]
        wanted = self.hpa.sync(now, len(live), metrics, missing)
        for _ in range(wanted - len(live)):
            self.pods.append(Pod(f"pod-{self.made}", now + self.trace.startup_seconds))
            self.made += 1
        # The ReplicaSet takes pods that are not ready first, then the youngest.
        for pod in sorted(live, key=lambda pod: -pod.ready_at)[: max(0, len(live) - wanted)]:
            if pod.ready_at > now:
                self.pods.remove(pod)
            else:
                pod.gone_at = now + DRAIN_SECONDS


def ours(trace: Trace, least: int) -> dict[str, Any]:
    """The HorizontalPodAutoscaler that the operator makes with its defaults."""
    bounds = {"minReplicas": least, "maxReplicas": MOST}
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "hf://a/b"}, "autoscaling": bounds})
    known = next(step for step in STARTUP_STEPS if trace.startup_seconds <= step)
    manifest = horizontal_pod_autoscaler(InferenceService("default", "bench", "", 1, spec), Scaling(known))
    if manifest is None:
        raise ValueError("the operator makes no autoscaler")
    hpa: dict[str, Any] = manifest["spec"]
    return hpa


def plain(target: float, least: int) -> dict[str, Any]:
    """Requests waiting, with the HPA's default behaviour."""
    metric = {"name": "vllm:num_requests_waiting"}
    pods = {"metric": metric, "target": {"averageValue": f"{int(target * 1000)}m"}}
    return {"minReplicas": least, "maxReplicas": MOST, "metrics": [{"type": "Pods", "pods": pods}]}


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy with settings, and what came of it."""

    settings: str
    run: Run


@dataclass(frozen=True, slots=True)
class Comparison:
    """One trace within one budget: our best, and the rival's at equal queueing; None where no setting comes to it."""

    trace: Trace
    budget: float
    ours: Choice | None
    rival: Choice | None

    @property
    def won(self) -> bool:
        """Whether we need fewer hours."""
        if self.ours is None:
            return False
        return self.rival is None or self.ours.run.over_hours < self.rival.run.over_hours


def _best(choices: list[Choice], budget: float) -> Choice | None:
    within = [choice for choice in choices if choice.run.wait <= budget and not choice.run.dropped]
    return min(within, key=lambda choice: choice.run.over_hours, default=None)


def compare(trace: Trace) -> list[Comparison]:
    """Replays one trace with every setting; one comparison for each budget."""
    own = [Choice(f"min {least}", Simulation(trace, ours(trace, least)).replay()) for least in LEAST]
    rivals = [
        Choice(f"min {least}, target {target}", Simulation(trace, plain(target, least)).replay())
        for target in TARGETS
        for least in LEAST
    ]
    found = []
    for budget in (*BUDGETS, *PRINTED_ONLY):
        best = _best(own, budget)
        equal = max(best.run.wait, UNNOTICED_SECONDS) if best else budget
        found.append(Comparison(trace, budget, best, _best(rivals, equal)))
    return found


def _cells(choice: Choice | None) -> str:
    if choice is None:
        return f"{'none stays within it':<38}"
    return f"{choice.settings:<20}{choice.run.over_hours:>8.1f}{choice.run.wait:>8.2f}  "


def report(found: list[Comparison]) -> str:
    """The table."""
    head = f"{'settings':<20}{'over h':>8}{'wait s':>8}  "
    lines = [f"{'':<12}{'budget':>7}  {'vllm-operator':<38}requests waiting", f"{'trace':<12}{'s':>7}  {head}{head}"]
    for one in found:
        won = "" if one.won else "not better"
        lines.append(f"{one.trace.name:<12}{one.budget:>7g}  {_cells(one.ours)}{_cells(one.rival)}{won}")
    return "\n".join(lines)


def _columns(found: list[Comparison]) -> Iterator[Column]:
    for one in found:
        if one.budget == PLOTTED and one.ours and one.rival:
            names = (f"ours, {one.ours.settings}", f"waiting, {one.rival.settings}")
            yield Column(one.trace.name, names, (one.ours.run.points, one.rival.run.points))


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plot", type=Path, help="write a plot of replicas, queues and lost time here (SVG)")
    arguments = parser.parse_args()
    found = [comparison for trace in TRACES for comparison in compare(trace)]
    print(report(found))
    if arguments.plot:
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        arguments.plot.write_text(plot(*_columns(found)))
    lost = [f"{one.trace.name} within {one.budget:g} s" for one in found if one.budget in BUDGETS and not one.won]
    print(f"not better: {'; '.join(lost)}" if lost else "fewer over-provisioned GPU hours at equal queueing")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

"""Pods of vLLM as a simulation sees them: requests wait, run side by side while the KV cache has room, and end.

A flow, not single requests: each pod has a number of waiting and of running requests, which need not be whole.
"""

from dataclasses import dataclass
from random import Random

# An 8B model on one GPU, roughly: a step takes 12 ms and 0.25 ms for each sequence in it; an answer has 1000 tokens.
STEP_SECONDS, STEP_SECONDS_PER_SEQUENCE, TOKENS = 0.012, 0.00025, 1000
# Sequences that the KV cache has room for.
SEQUENCES = 48
# vLLM gets this long to end its requests when its pod is deleted.
DRAIN_SECONDS = 150


def seconds_per_request(running: float) -> float:
    """How long an answer takes beside `running` others."""
    return TOKENS * (STEP_SECONDS + STEP_SECONDS_PER_SEQUENCE * running)


# Requests per second that a full pod answers.
CAPACITY = SEQUENCES / seconds_per_request(SEQUENCES)


@dataclass(slots=True)
class Pod:
    """One pod. Times are in seconds."""

    name: str
    ready_at: float
    waiting: float = 0.0
    running: float = 0.0
    gone_at: float | None = None

    def step(self, arrivals: float, seconds: float) -> None:
        """Lets time pass: requests come, start while there is room, and end."""
        self.waiting += arrivals
        if self.running:
            self.running -= min(self.running, self.running * seconds / seconds_per_request(self.running))
        started = min(self.waiting, SEQUENCES - self.running)
        self.waiting, self.running = self.waiting - started, self.running + started

    def metrics(self) -> dict[str, float]:
        """vLLM's gauges."""
        return {
            "vllm:num_requests_waiting": self.waiting,
            "vllm:num_requests_running": self.running,
            "vllm:kv_cache_usage_perc": self.running / SEQUENCES,
        }


def shares(count: float, pods: int, random: Random) -> list[float]:
    """How requests fall on pods: each connection on any of them, whatever its queue."""
    if pods == 1:
        return [count]
    mean = count / pods
    drawn = [max(0.0, random.gauss(mean, (mean * (1 - 1 / pods)) ** 0.5)) for _ in range(pods)]
    total = sum(drawn)
    return [count * one / total for one in drawn] if total else [mean] * pods

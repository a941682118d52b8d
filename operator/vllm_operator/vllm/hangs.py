"""Whether an engine of vLLM hangs, as far as vLLM's API process can tell: a part of the middleware's file.

Of vLLM's objects it reads what tests/vllm_parser/test_engines.py finds in the pinned version; where one is missing, it
goes by the metrics.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

TERMINATION_MESSAGE = Path("/dev/termination-log")
# Readiness fails after the first of these: with two probes, a hang is known within a minute of the last step. Liveness
# fails after the second: to load a model again costs more than to wait for a slow step.
HANG_SECONDS, HANG_KILL_SECONDS = 35.0, 120.0
LIVENESS_SECONDS = 30.0  # for which liveness has to fail until the kubelet ends the container
HUNG = "vllm-operator: engine hung: "  # the diagnosis knows a pod's last words by it
_PROGRESS = (
    "vllm:iteration_tokens_total_count",
    "vllm:generation_tokens_total",
    "vllm:kv_cache_usage_perc",  # moves in a long prefill, which gives no tokens
    "vllm:num_requests_waiting",
)
_RUNNING = "vllm:num_requests_running"
# Older versions (0.11.2) have none. By setting the gauges above anew they tell of such a step, too, but also of one in
# which the scheduler lets nothing run any more (Scheduler.schedule breaks off): that is a hang, which has to end.
_WAITING_BY_REASON = "vllm:num_requests_waiting_by_reason"


class Watch:
    """What each engine was seen to do last. vLLM has one of them for each data parallel rank.

    An engine that hangs in its first step after a pause never reports the request as running: what waits counts as
    well. Once one is known to hang, it is of no help that its clients give up.
    """

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, ...]] = {}
        self.seen_at: dict[str, float] = {}
        self.stuck: dict[str, int] = {}
        self.hanging: set[str] = set()
        self.hang = ""
        self.told: dict[str, float] = {}

    def deferred(self) -> dict[str, int]:
        """By engine, requests that it holds back in its steps since the last look, as while their grammar is compiled.

        Such a step moves no figure, and vLLM sets no limit to the time that a grammar takes. It sets the gauge in each
        step, always to another float: where that is the same object as before, there was no step, or nothing to do.
        """
        before, self.told = self.told, _deferred()
        return {engine: int(count) for engine, count in self.told.items() if count is not before.get(engine)}

    def came(self) -> None:
        """An answer came after all. Of several engines, it is not known whose."""
        if len(self.seen) == 1:
            self.seen = {}

    def stalled(self, figures: dict[str, tuple[float, ...]], waiting: dict[str, int]) -> float:
        """Seconds of the engine that has stood still longest, while it had requests."""
        now = time.monotonic()
        for engine, figure in figures.items():
            held = max(waiting[engine], int(figure[0]))
            if self.seen.get(engine) != figure or not (held or engine in self.hanging):
                self.seen[engine], self.seen_at[engine], self.stuck[engine] = figure, now, 0
            self.stuck[engine] = max(self.stuck[engine], held)
        self.hanging = {engine for engine in figures if now - self.seen_at[engine] >= HANG_SECONDS}
        worst = min(figures, key=lambda engine: self.seen_at[engine])
        seconds = now - self.seen_at[worst]
        passed = max((limit for limit in (HANG_SECONDS, HANG_KILL_SECONDS) if seconds >= limit), default=0.0)
        which = f"engine {worst} of {len(figures)}: " if len(figures) > 1 else ""
        hang = f"{HUNG}{which}{self.stuck[worst]} requests waited, no step for {passed:.0f} s" if passed else ""
        if hang != self.hang:
            self.hang = hang
            leave(hang)
        return seconds


def leave(words: str) -> None:
    """The operator reads it in the pod's status, once this process has ended; a probe is right without it, too."""
    with suppress(OSError):
        TERMINATION_MESSAGE.write_text(words)


def figures() -> dict[str, tuple[float, ...]]:
    """By engine, in the order of their numbers: requests that run, then what changes with every step of it."""
    from prometheus_client import REGISTRY  # noqa: PLC0415 - not in the preStop hook

    none = dict.fromkeys((_RUNNING, *_PROGRESS), 0.0)
    totals: dict[str, dict[str, float]] = {}
    for metric in REGISTRY.restricted_registry(none).collect():
        for sample in metric.samples:
            of_engine = totals.setdefault(sample.labels.get("engine", ""), {**none})
            of_engine[sample.name] += sample.value
    by_number = sorted(totals or {"": none}, key=lambda engine: (len(engine), engine))
    return {engine: tuple(totals.get(engine, none).values()) for engine in by_number}


def _deferred() -> dict[str, float]:
    """By engine, the very float that the gauge of requests held back holds."""
    from prometheus_client import REGISTRY  # noqa: PLC0415 - not in the preStop hook

    metrics = REGISTRY.restricted_registry([_WAITING_BY_REASON]).collect()
    samples = [sample for metric in metrics for sample in metric.samples]
    return {one.labels.get("engine", ""): one.value for one in samples if one.labels.get("reason") == "deferred"}


class Held:
    """The requests that vLLM's API process has given to its engines.

    One that it could not write down for an engine (an integer above 64 bits, half a surrogate pair) it never forgets,
    though no engine has it and its client was told: AsyncLLM.add_request, vLLM 0.32. What is there while none that has
    arrived to its last byte is open waits for nobody, but for what a WebSocket's client still speaks. A response in the
    background, or to the last word over a WebSocket, is left out as well; it shows once it runs.
    """

    def __init__(self) -> None:
        self.forgotten: set[str] = set()

    def forget(self, app: Any) -> None:
        """No request that has arrived is open: what is there now counts no more, but for what a client still speaks."""
        states = _states(app) or {}
        self.forgotten = states.keys() - _spoken(states)

    def of_each(self, app: Any) -> list[int]:
        """Requests that each of several engines has, by their numbers; empty where vLLM has one, or does not tell."""
        left = self._left(app)
        try:
            client = app.state.engine_client.engine_core
            given = [client.reqs_in_flight.get(request) for request in left]
            return [int(client.engine_inflight[engine]) - given.count(engine) for engine in client.core_engines]
        except AttributeError:
            return []

    def of_all(self, app: Any) -> int | None:
        """Requests that all engines have, together; None where vLLM does not tell.

        What vLLM still fetches media for is not with an engine, and what comes over a WebSocket can be there while its
        client says nothing: neither waits for a step.
        """
        states, left = _states(app), self._left(app)
        if states is None:
            return None
        return len(states.keys() - _spoken(states) - left)

    def _left(self, app: Any) -> set[str]:
        """Of what was forgotten, what vLLM still has. A request whose client gives up, vLLM takes away."""
        self.forgotten &= (_states(app) or {}).keys()
        return self.forgotten


def _spoken(states: dict[str, Any]) -> set[str]:
    """Requests of which more may come, over a WebSocket."""
    return {request for request, state in states.items() if getattr(state, "streaming_input", False)}


def _states(app: Any) -> dict[str, Any] | None:
    try:
        states: dict[str, Any] = app.state.engine_client.output_processor.request_states
    except AttributeError:
        return None
    return states

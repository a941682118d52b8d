"""The factors of planner/roofline.py, from engines whose speed was measured, and how far the estimates are off.

    python -m bench.speed [--rows ENGINES.json ...]

Each engine is held out in turn: its row is told by factors that come from all the others. Those that say `heldOut` were
measured when the factors stood, and set none. Ends with 1 where the factors
that are written in roofline.py are not those of the rows.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.plan import engines, gpu_of, spec_of
from cluster.host import REPOSITORY
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.effective import engine_of
from vllm_operator.planner.graphs import most_graph_tokens
from vllm_operator.planner.plan import storage
from vllm_operator.planner.quantization import scheme_of
from vllm_operator.planner.rates import rates_of
from vllm_operator.planner.roofline import FACTORS, Engine, Factors
from vllm_operator.planner.work import work_of

FILES = tuple(REPOSITORY / "tests" / "planner" / f"engines-0.32-{gpu}.json" for gpu in ("h100", "h200"))
START = Factors(
    memory=0.85, packed=0.5, experts=0.7, cache=0.8, wide=0.7, narrow=0.65, routed=0.5, attention=0.5, passes=10,
    layer=20e-6, routing=20e-6, reduce=10e-6, step=5e-4, request=5e-6, launch=5e-4, launch_routing=5e-4,
    launch_latent=5e-4, start=5e-3,
)  # fmt: skip
"""Where the search begins: what such kernels usually get."""
SHARES = ("memory", "packed", "experts", "cache", "wide", "narrow", "routed", "attention")
MOST_SHARE = 0.92
"""No kernel gets more of a data sheet's rate."""
NOTHING = 1e-9
"""What is below it was of no use."""
ROUNDS, FIRST_STEP, SHRINK = 60, 0.3, 0.6


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine, and the seconds that it took."""

    name: str
    engine: Engine
    points: tuple[tuple[str, Callable[[Engine], float], float], ...]
    """What was measured, its estimate, and the seconds."""
    held_out: bool = False
    """Whether no factor comes from it."""

    def ratios(self, factors: Factors) -> list[tuple[str, float]]:
        """Estimated seconds by measured ones, for each point."""
        engine = replace(self.engine, factors=factors)
        return [(what, estimate(engine) / seconds) for what, estimate, seconds in self.points]


def measured(row: dict[str, Any]) -> Measured:
    """A row that has `speed`."""
    spec, model = spec_of(row["engineArgs"], row["vllm"]), model_of(row["modelConfig"])
    gpu = gpu_of(row["gpu"], row["measured"]["totalBytes"])
    settings, scheme, rates = engine_of(spec, model, gpu), scheme_of(model, spec.quantization), rates_of(gpu)
    assert scheme, row["case"]
    assert rates, row["gpu"]
    work = work_of(replace(model, dtype=settings.dtype), settings, storage(scheme, settings))
    engine = Engine(work, rates, settings, most_graph_tokens(settings, model))
    return Measured(f"{row['case']} on {gpu.name}", engine, tuple(_points(row["speed"])), row.get("heldOut", False))


def _points(speed: dict[str, Any]) -> list[tuple[str, Callable[[Engine], float], float]]:
    found: list[tuple[str, Callable[[Engine], float], float]] = []
    for one in speed["decode"]:
        requests, context = one["requests"], one["context"]
        found.append((f"{requests}x{context}", _step(requests, context), one["stepSeconds"]))
    count, tokens = speed["prefill"]["requests"], speed["prefill"]["promptTokens"]
    found.append(("prefill", _prefill(count, tokens), count * tokens / speed["prefill"]["tokensPerSecond"]))
    first = speed["firstToken"]
    found.append(("first token", _prefill(1, first["promptTokens"]), first["seconds"]))
    return found


def _step(requests: int, context: int) -> Callable[[Engine], float]:
    return lambda engine: engine.step_seconds(requests, context)


def _prefill(count: int, tokens: int) -> Callable[[Engine], float]:
    return lambda engine: engine.prefill_seconds(count, tokens)


def _cost(rows: Sequence[Measured], factors: Factors) -> float:
    """Squares of the logarithms: an engine's steps count once together, prefill and the first token as much again."""
    total = 0.0
    for row in rows:
        ratios = row.ratios(factors)
        for what, ratio in ratios:
            total += math.log(ratio) ** 2 * (1 if what[0].isdigit() else 2) / len(ratios)
    return total


def fitted(rows: Sequence[Measured], start: Factors = START) -> Factors:
    """The factors with the least cost, one after the other moved as long as that helps. Always ends the same."""
    rows = [row for row in rows if not row.held_out]
    steps, best = dict.fromkeys(asdict(start), FIRST_STEP), _cost(rows, start)
    for _ in range(ROUNDS):
        for name, step in steps.items():
            tried = [_moved(start, name, sign * step) for sign in (1, -1)]
            cost, _, better = min((_cost(rows, one), place, one) for place, one in enumerate(tried))
            if cost < best:
                start, best = better, cost
            else:
                steps[name] = step * SHRINK
    return Factors(**{name: float(f"{value:.2g}") if value > NOTHING else 0.0 for name, value in asdict(start).items()})


def _moved(factors: Factors, name: str, by: float) -> Factors:
    value = getattr(factors, name) * math.exp(by)
    return replace(factors, **{name: min(value, MOST_SHARE) if name in SHARES else value})


def held_out(rows: Sequence[Measured]) -> list[tuple[Measured, list[tuple[str, float]]]]:
    """For each engine, what factors from all the others say of it."""
    return [(row, row.ratios(fitted([other for other in rows if other is not row]))) for row in rows]


def main() -> int:
    """Print the factors and the table."""
    parser = argparse.ArgumentParser(prog="bench.speed", description="estimated and measured speed of engines")
    parser.add_argument("--rows", type=Path, nargs="*", default=FILES, help="files of engines (default: %(default)s)")
    rows = [measured(row) for path in parser.parse_args().rows for row in engines(path) if "speed" in row]
    found = fitted(rows)
    print("\n".join(f"{name:<16}{value:g}" for name, value in asdict(found).items()))
    print(f"\nestimated seconds beside measured ones, each engine held out of the factors, {len(rows)} engines")
    errors: dict[str, list[float]] = {}
    for row, ratios in held_out(rows):
        print(f"{row.name:<38}" + "  ".join(f"{what} {ratio - 1:+.0%}" for what, ratio in ratios))
        for what, ratio in ratios:
            errors.setdefault("decode" if what[0].isdigit() else what, []).append(abs(ratio - 1))
    for what, some in {**errors, "all": [error for every in errors.values() for error in every]}.items():
        print(f"{what:<12} {statistics.median(some):.1%} in the median, {max(some):.0%} at worst")
    print("as in roofline.py" if found == FACTORS else "roofline.py has other factors")
    return 0 if found == FACTORS else 1


if __name__ == "__main__":
    sys.exit(main())

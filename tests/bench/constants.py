"""Makes the constants of `planner/versions.py` from measured engines, and says how well they hold for other models.

    python -m bench.constants [--rows ENGINES.json] [--vllm 0.32.0]

For a new vLLM: measure engines (tests/bench/measure_engines.py, or `vllm serve` with VLLM_LOGGING_LEVEL=DEBUG, whose
log has all that a row needs), add them to tests/planner/calibration.json with their version, add a row to RELEASES, run
this, and write what it prints into the row. Rows that are `heldOut` set no constant. Ends with 1 where the table and
the engines disagree.

The error for other models: the engines of each model in turn are left out, the constants are made from the others, and
the budgets of those left out are planned with them.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.plan import ROWS, engines, gpu_of, spec_of
from vllm_operator.planner.accelerators import GIB, MIB
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.effective import EngineSettings, engine_of
from vllm_operator.planner.overhead import Overhead, overhead
from vllm_operator.planner.plan import storage
from vllm_operator.planner.quantization import scheme_of
from vllm_operator.planner.versions import RELEASES, Planned, Release
from vllm_operator.planner.weights import rank_weights

Entry = dict[str, Any]
PIECE_STEP = 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """Bytes of the first rank of one engine, as the planner reckons them."""

    weights: int
    overhead: Overhead

    @property
    def without_graphs(self) -> int:
        """What vLLM calls memory that is not of the KV cache."""
        return self.weights + self.overhead.activation + self.overhead.other


def terms(entry: Entry, release: Release) -> Terms:
    """The planner's terms for an engine, with the constants of `release`."""
    spec, gpu = spec_of(entry["engineArgs"], release.version), gpu_of(entry["gpu"], entry["measured"]["totalBytes"])
    model = model_of(entry["modelConfig"])
    engine: EngineSettings = replace(engine_of(spec, model, gpu), planned=Planned(release, 0, release.version))
    model = replace(model, dtype=engine.dtype)
    scheme = scheme_of(model, spec.quantization)
    assert scheme, f"{entry['case']}: the planner does not know how its weights are stored"
    weights = rank_weights(model, storage(scheme, engine), engine.ranks, 0)
    return Terms(weights.total, overhead(model, engine, scheme))


def fitted(rows: Sequence[Entry], release: Release) -> Release:
    """The row of the table that these engines make."""
    return _from_free_memory(rows, release) if release.free_memory_counts else _from_torch(rows, release)


def _from_torch(rows: Sequence[Entry], release: Release) -> Release:
    """vLLM says what others than torch have taken."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for entry in rows:
        if "librariesBytes" in entry["measured"]:
            taken[_second_runner(entry, release)].append(entry["measured"]["librariesBytes"])
    libraries, first = (_whole(statistics.median(taken[second])) for second in (True, False))
    return replace(release, libraries=libraries, first_runner_libraries=first, joined_libraries=libraries)


def _from_free_memory(rows: Sequence[Entry], release: Release) -> Release:
    """Libraries: what is left of the memory that is not of the KV cache. Graphs: what is left of their estimate."""
    bare = replace(
        release, libraries=0, first_runner_libraries=0, joined_libraries=0, expert_libraries=0, piece_bytes=0
    )
    one = replace(bare, piece_bytes=1)
    rest: dict[str, list[float]] = {"alone": [], "joined": [], "experts": []}
    pieces = []
    for entry in rows:
        measured, without = entry["measured"], terms(entry, bare)
        rest[_group(entry)].append(measured["nonKvGiB"] * GIB - without.without_graphs)
        if count := terms(entry, one).overhead.graphs - without.overhead.graphs:
            pieces.append((measured["graphEstimateGiB"] * GIB - without.overhead.graphs) / count)
    before = {
        "alone": release.libraries,
        "joined": release.joined_libraries,
        "experts": release.joined_libraries + release.expert_libraries,
    }
    found = {group: _whole(statistics.median(rest[group])) if rest[group] else before[group] for group in rest}
    piece = round(statistics.median(pieces) / PIECE_STEP) * PIECE_STEP
    return replace(
        release, libraries=found["alone"], first_runner_libraries=found["alone"], joined_libraries=found["joined"],
        expert_libraries=found["experts"] - found["joined"], piece_bytes=piece,
    )  # fmt: skip


def _group(entry: Entry) -> str:
    """Whose libraries an engine's are like."""
    if entry["engineArgs"].get("enable_expert_parallel"):
        return "experts"
    return "joined" if entry.get("gpus", 1) > 1 else "alone"


def _second_runner(entry: Entry, release: Release) -> bool:
    gpu = gpu_of(entry["gpu"], entry["measured"]["totalBytes"])
    return engine_of(spec_of(entry["engineArgs"], release.version), model_of(entry["modelConfig"]), gpu).second_runner


def _whole(size: float) -> int:
    return round(size / MIB) * MIB


def error(entry: Entry, release: Release) -> float:
    """How far the planned budget of the first rank is off, as a part of what vLLM gave the KV cache there."""
    measured, planned = entry["measured"], terms(entry, release)
    requested = measured["totalBytes"] * entry["engineArgs"].get("gpu_memory_utilization", 0.92)
    exact = measured.get("availableBytes") or measured.get("kvBytes") or measured["availableKvGiB"] * GIB
    return float((requested - planned.without_graphs - planned.overhead.graphs) / exact - 1)


def left_out(rows: Sequence[Entry], release: Release) -> list[float]:
    """Absolute errors, each model's with constants from the engines of all others."""
    errors = []
    for model in {entry["model"] for entry in rows}:
        constants = fitted([entry for entry in rows if entry["model"] != model], release)
        errors += [abs(error(entry, constants)) for entry in rows if entry["model"] == model]
    return errors


def used(path: Path, release: Release) -> list[Entry]:
    """The engines of a file that set a release's constants: those that are not held out."""
    return [row for row in engines(path) if row["vllm"] == release.version and not row.get("heldOut")]


def main() -> int:
    """Prints the rows of the table, and returns 1 where one is not what is written there."""
    parser = argparse.ArgumentParser(prog="bench.constants", description="constants of the planner from engines")
    parser.add_argument("--rows", type=Path, default=ROWS, help="engine starts (default: %(default)s)")
    parser.add_argument("--vllm", help="only this version")
    options = parser.parse_args()
    same = True
    for release in RELEASES:
        if options.vllm not in {None, release.version}:
            continue
        rows = used(options.rows, release)
        found = fitted(rows, release)
        same = same and found == release
        print(f"{found}" if found == release else f"{found}\n  the table has {release}")
        for what, errors in (("all", [abs(error(row, found)) for row in rows]), ("left out", left_out(rows, release))):
            print(f"  {len(errors)} engines, {what}: median {statistics.median(errors):.2%}, worst {max(errors):.2%}")
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())

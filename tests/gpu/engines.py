"""Part 1 of `make gpu-check`: starts vLLM engines with random weights and sets what they took beside what is planned.

    python -m gpu.engines [--cases FILE] [--only NAME ...] [--skip ROWS ...] [--output ROWS] [--seconds N]

Runs on a machine with NVIDIA GPUs and vLLM, without any download. As many engines are started side by side as there are
GPUs, those that need most GPUs first. Each row is written as soon as it is there, in the form of
tests/planner/calibration.json with the model's config inside. Ends with 1 where an engine neither started nor was
refused.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.plan import row_of
from gpu import machine

CASES = Path(__file__).with_name("engine_cases.json")
GIB = 1 << 30


def cases(path: Path = CASES) -> list[dict[str, Any]]:
    """The engine starts of a file {models, cases}, each with its model's config inside."""
    content = json.loads(path.read_text())
    found = []
    for entry in content["cases"]:
        case = {"engineArgs": {}, **entry, "modelConfig": content["models"][entry["model"]]}
        if "draft" in entry:
            case["draftConfig"] = content["models"][entry["draft"]]
        found.append(case)
    return found


def gpus_of(case: dict[str, Any]) -> int:
    """How many GPUs an engine needs."""
    arguments = case["engineArgs"]
    return int(arguments.get("tensor_parallel_size", 1)) * int(arguments.get("pipeline_parallel_size", 1))


class _Queue:
    """Cases that wait, and rows that are there; shared by the threads that drive the servers."""

    def __init__(self, output: Path | None, until: float) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self._output, self._until, self._lock = output, until, threading.Lock()

    def next(self) -> dict[str, Any] | None:
        with self._lock:
            return self.waiting.pop(0) if self.waiting and time.monotonic() < self._until else None

    def add(self, row: dict[str, Any]) -> None:
        with self._lock:
            self.rows.append(row)
            if self._output:
                with self._output.open("a") as out:
                    out.write(json.dumps(row) + "\n")
            print(line(row), flush=True)


def _drive(queue: _Queue, gpus: list[int], home: Path) -> None:
    """Give the server of some GPUs one case after another."""
    visible = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
    home.mkdir(parents=True, exist_ok=True)
    with (home / "server.log").open("w") as log:
        command = [sys.executable, "-m", "gpu.engine_server", str(home)]
        server = subprocess.Popen(
            command, env=visible, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert server.stdin
    assert server.stdout
    while case := queue.next():
        server.stdin.write(json.dumps(case) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server of GPU {gpus} ended: {(home / 'server.log').read_text()[-2000:]}")
        queue.add(json.loads(answer))
    server.stdin.close()
    server.wait()


def run(wanted: list[dict[str, Any]], gpus: list[int], home: Path, queue: _Queue) -> list[dict[str, Any]]:
    """Start all engines on these GPUs, those that need most of them first, and return their rows."""
    count = len(gpus)
    for size in sorted({gpus_of(case) for case in wanted}, reverse=True):
        queue.waiting = [case for case in wanted if gpus_of(case) == size]
        if size > count:
            print(f"{len(queue.waiting)} engines need {size} GPUs and are left out: there are {count}")
            continue
        sets = [gpus[at : at + size] for at in range(0, count - size + 1, size)]
        threads = [threading.Thread(target=_drive, args=(queue, some, home / f"gpu{some[0]}")) for some in sets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return queue.rows


HEAD = f"{'engine':<34}{'KV tokens':>11}{'planned':>11}{'off by':>8}{'non-KV':>8}{'graphs':>8}{'took':>7}"


def line(row: dict[str, Any]) -> str:
    """One line of the table: what the engine took in GiB, and its tokens beside the planned ones."""
    measured = row["measured"]
    kept = f"{measured['nonKvGiB'] or 0:>8.2f}{measured['graphEstimateGiB'] or 0:>8.2f}{row['seconds']:>6.0f}s"
    actual = measured["kvTokens"]
    if actual is None:
        longest = measured["refusedMaxModelLen"]
        said = f"refused, {longest} fit" if longest is not None else "refused" if refused(row) else "failed"
        note = "" if refused(row) else f"  {row['error'][:150]}"
        return f"{row['case']:<34}{said:>22}{'':>8}{kept}{note}"
    if (planned := planned_tokens(row)) is None:
        return f"{row['case']:<34}{actual:>11,}{'-':>11}{'':>8}{kept}"
    return f"{row['case']:<34}{actual:>11,}{planned:>11,}{planned / actual - 1:>+8.2%}{kept}"


def refused(row: dict[str, Any]) -> bool:
    """Whether vLLM itself said that memory does not suffice."""
    words = ("KV cache is needed", "No available memory for the cache blocks", "not enough GPU memory", "out of memory")
    return "error" in row and any(word in row["error"] for word in words)


def planned_tokens(row: dict[str, Any]) -> int | None:
    """What this project's planner says for the engine, or None where it says nothing of such an engine, or a library is
    missing that vLLM does not need."""
    try:
        return row_of(row).ours
    except (ValueError, KeyError, AttributeError, AssertionError, ImportError):
        return None


def main() -> int:
    """Start the engines and print the table."""
    parser = argparse.ArgumentParser(prog="gpu.engines", description="vLLM engines on this machine's GPUs")
    parser.add_argument("--cases", type=Path, default=CASES, help="engine starts (default: %(default)s)")
    parser.add_argument("--only", nargs="*", help="names of the cases to start, in this order")
    parser.add_argument("--skip", nargs="*", type=Path, default=[], help="files of rows that are there already")
    parser.add_argument("--output", type=Path, help="where to add the rows, one JSON a line")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no engine later than so long after the start")
    parser.add_argument("--gpus", nargs="*", type=int, help="on these GPUs only, by their index")
    parser.add_argument("--home", type=Path, help="where logs and caches are kept (default: a folder that is removed)")
    options = parser.parse_args()
    queue = _Queue(options.output, time.monotonic() + options.seconds)
    gpus = options.gpus if options.gpus is not None else list(range(machine.gpu_count()))
    there = {json.loads(text)["case"] for path in options.skip for text in path.read_text().splitlines()}
    wanted = [case for case in cases(options.cases) if case["case"] not in there]
    if options.only:
        wanted = [case for name in options.only for case in wanted if case["case"] == name]
    print(f"{machine.describe()}\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        rows = run(wanted, gpus, options.home or Path(scratch), queue)
    failed = [row["case"] for row in rows if "error" in row and not refused(row)]
    print(f"{len(rows)} of {len(wanted)} engines started or refused; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

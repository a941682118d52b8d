"""`make bench-batch`: the program in a batch's pods, with the real vLLM on the CPU, without a cluster.

- speed: `LLM.generate` and the program on the same prompts, in turn, start-up apart: their tokens per second. A request
  costs CPU beside its tokens, so short answers of a small model are the worst case (--tokens 64);
- kills: two pods, each killed at random moments with all its processes: every custom_id exactly once, none failed;
- memory: the most that each command takes of 1,000 and of 1,000,000 requests (an engine stand-in: no model is faster).

Exits with 1 when the program has less than 90 % of LLM.generate's tokens per second, when a request is lost or there
twice, or when 1,000,000 requests take more than 1.2 times the memory of 1,000.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from cluster.host import REPOSITORY
from support.batch_kills import Killing, finish, serve_words, write_requests
from support.batch_process import written
from support.batches import rows, where, write_input
from support.real_vllm.environment import interpreter
from support.real_vllm.tiny import QUIET, tiny_model

LEAST_SPEED, MOST_MEMORY = 0.9, 1.2
SEQUENCES = 64
KILL_REQUESTS = 500


def figures(*command: str | Path) -> dict[str, Any]:
    """The last line of JSON that a process prints."""
    told = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, env=QUIET)
    # vLLM logs there too, also while it ends.
    line: dict[str, Any] = json.loads([line for line in told.stdout.splitlines() if line.startswith("{")][-1])
    return line


def speed(folder: Path, options: argparse.Namespace) -> bool:
    """Both on the same prompts, in turn."""
    python = options.python or interpreter()
    source = write_requests(folder / "in.jsonl", options.requests, options.tokens)
    ratios = []
    for number in range(options.rounds):
        home = folder / f"round-{number}"
        home.mkdir()
        script = REPOSITORY / "tests" / "bench" / "offline_generate.py"
        offline = figures(python, script, tiny_model(), source, home / "answers.json", str(SEQUENCES))
        share = ["--index=0", "--count=1", "--port=0", "--", *serve_words(SEQUENCES)]
        ours = figures(python, written(home), "run", *where(source, home / "out"), *share)
        finish(home, source, 1)
        texts = [row["response"]["body"]["choices"][0]["text"] for row in rows(home / "out" / "in.jsonl")]
        same = sum(a == b for a, b in zip(texts, json.loads((home / "answers.json").read_text()), strict=True))
        rates = (offline["tokens"] / offline["seconds"], ours["outputTokens"] / ours["seconds"])
        ratios.append(rates[1] / rates[0])
        print(
            f"speed, round {number + 1}: LLM.generate {rates[0]:.0f} tokens/s, batch {rates[1]:.0f} tokens/s: "
            f"{ratios[-1]:.0%}; {same} of {len(texts)} answers are the same",
            flush=True,
        )
    print(f"speed: {median(ratios):.0%} of LLM.generate (at least {LEAST_SPEED:.0%})", flush=True)
    return bool(median(ratios) >= LEAST_SPEED)


def kills(folder: Path, options: argparse.Namespace) -> bool:
    """Two pods over one input, each killed half of the times."""
    source = write_requests(folder / "in.jsonl", KILL_REQUESTS)
    killing = Killing(options.python or interpreter(), folder, source, lambda text: print(f"kills: {text}", flush=True))
    left = killing.run([options.kills - options.kills // 2, options.kills // 2], options.seed)
    good = left.statuses == [0, 0] and left.answered == Counter(f"r{number}" for number in range(KILL_REQUESTS))
    print(
        f"kills: {options.kills}, {left.killed_at_work} at work; {left.totals}, failed: {left.failed}",
        flush=True,
    )
    return good and not left.failed


def peak_mebibytes(command: list[str | Path], env: dict[str, str]) -> float:
    """The most memory that a process had."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[2]} ended with {process.returncode}")
    return usage.ru_maxrss / 1024


def memory(folder: Path, options: argparse.Namespace) -> bool:
    """Each command with few and with many requests."""
    program = REPOSITORY / "tests" / "support" / "batch_engine.py"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("tests", "operator"))}
    taken: dict[int, list[float]] = {}
    for count in (1_000, options.lines):
        home = folder / str(count)
        source = write_input(home / "in.jsonl", (f"prompt {number}" for number in range(count)))
        options_of = {"check": [], "run": ["--index=0", "--count=1", "--port=0"], "merge": ["--count=1"]}
        taken[count] = [
            peak_mebibytes([sys.executable, program, name, *where(source, home / "out"), *words], env)
            for name, words in options_of.items()
        ]
        print(f"memory: {count} requests: check, run, merge take {taken[count]} MiB", flush=True)
    ratio = max(many / few for few, many in zip(*taken.values(), strict=True))
    print(f"memory: {ratio:.2f} times (at most {MOST_MEMORY})", flush=True)
    return bool(ratio <= MOST_MEMORY)


PARTS: dict[str, Callable[[Path, argparse.Namespace], bool]] = {"speed": speed, "kills": kills, "memory": memory}


def main() -> int:
    """Runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be repeated")
    parser.add_argument("--python", type=Path, help="one that has vLLM (default: installed for the CPU)")
    parser.add_argument("--requests", type=int, default=300, help="of `speed` (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=256, help="of each answer of `speed` (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of `speed` (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of `kills` (default: the time)")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of `memory` (default: %(default)s)")
    options = parser.parse_args()
    good = True
    for name in options.part or PARTS:
        with tempfile.TemporaryDirectory(prefix=f"bench-batch-{name}-") as folder:
            good = PARTS[name](Path(folder), options) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

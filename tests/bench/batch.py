"""`make bench-batch`: the program in a batch's pods, with the real vLLM on the CPU, without a cluster.

- speed: `LLM.generate` and the program on the same prompts, in turn, start-up apart: their tokens per second;
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from cluster.host import REPOSITORY
from support.batch_process import Pod, free_port, written
from support.batches import rows, where, write_input
from support.real_vllm.environment import interpreter
from support.real_vllm.tiny import QUIET, tiny_model

LEAST_SPEED, MOST_MEMORY = 0.9, 1.2
SEQUENCES = 64
START_SECONDS = 300.0
WORDS = ("the", "capital", "of", "France", "weather", "joke", "pod", "model", "served", "what", "is", "tiny", "answer")


def prompts(count: int) -> list[str]:
    """Different prompts of about 40 tokens, so that no answer comes from the prefix cache."""
    random = Random(1)
    return [f"{number} " + " ".join(random.choices(WORDS, k=15)) for number in range(count)]


def write_requests(path: Path, count: int, tokens: int) -> Path:
    """Requests whose answers all have as many tokens."""
    with path.open("w") as file:
        for number, prompt in enumerate(prompts(count)):
            body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
            row = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/completions", "body": body}
            file.write(json.dumps(row) + "\n")
    return path


def serve_words(sequences: int) -> list[str]:
    """What follows `vllm serve`, as for LLM in offline_generate.py."""
    return [str(tiny_model()), "--enforce-eager", "--max-model-len=1024", f"--max-num-seqs={sequences}"]


def finish(folder: Path, source: Path, count: int) -> dict[str, int]:
    """Merges; the totals."""
    command = [sys.executable, written(folder), "merge", *where(source, folder / "out"), f"--count={count}"]
    totals: dict[str, int] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return totals


def last_line(*command: str | Path) -> dict[str, Any]:
    """What a process says at its end, as JSON."""
    told = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, env=QUIET)
    line: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return line


def speed(folder: Path, options: argparse.Namespace) -> bool:
    """Both on the same prompts, in turn."""
    python = options.python or interpreter()
    source = write_requests(folder / "in.jsonl", options.requests, 64)
    ratios = []
    for number in range(options.rounds):
        home = folder / f"round-{number}"
        home.mkdir()
        words = [python, REPOSITORY / "tests/bench/offline_generate.py", tiny_model(), source, home / "answers.json"]
        told = subprocess.run(
            [*map(str, words), str(SEQUENCES)], stdout=subprocess.PIPE, text=True, check=True, env=QUIET
        )
        offline = json.loads(told.stdout.splitlines()[-1])
        share = ["--index=0", "--count=1", "--port=0"]
        words = [python, written(home), "run", *where(source, home / "out"), *share, "--", *serve_words(SEQUENCES)]
        told = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, env=QUIET)
        ours = json.loads(told.stdout.splitlines()[-1])
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
    python = options.python or interpreter()
    source = write_requests(folder / "in.jsonl", 500, 64)
    program = written(folder)
    random = Random(options.seed)
    dice = [Random(random.random()) for _ in range(2)]

    def share(index: int) -> int:
        lives = 0
        while True:
            port = free_port()
            words = [f"--index={index}", "--count=2", f"--port={port}", "--max-inflight=8", "--", *serve_words(8)]
            env = {**QUIET, "POD_UID": f"pod-{lives}"}
            command = [python, program, "run", *where(source, folder / "out"), *words]
            pod = Pod(command, port, folder / f"pod-{index}.log", env)
            if lives < options.kills // 2:
                loading = dice[index].random() < 0.2
                until = time.monotonic() + (dice[index].uniform(0, 20) if loading else START_SECONDS)
                alive = pod.wait_until(until, ready=not loading)
                if alive and not loading:
                    alive = pod.wait_until(time.monotonic() + dice[index].uniform(0, 3))
                pod.kill()
                lives += 1
                print(f"kills: pod {index}, {'while it loads' if loading else 'at work'}: {alive}", flush=True)
                continue
            while pod.ended() is None:
                time.sleep(0.2)
            return pod.ended() or 0

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(share, range(2)))
    totals = finish(folder, source, 2)
    answered = Counter(row["custom_id"] for row in rows(folder / "out" / "in.jsonl"))
    failed = rows(folder / "out" / "in.errors.jsonl")
    good = statuses == [0, 0] and answered == Counter(f"r{number}" for number in range(500)) and not failed
    print(
        f"kills: {options.kills} kills, {totals}, statuses {statuses}: {'as it should' if good else failed[:3]}",
        flush=True,
    )
    return bool(good)


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
    parser.add_argument("--requests", type=int, default=500, help="of `speed` (default: %(default)s)")
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

"""Two pods of a batch with the real vLLM, killed at random moments, each so many times, and then left alone."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from support.batch_process import Pod, free_port, written
from support.batches import rows, where
from support.real_vllm.tiny import QUIET, tiny_model

START_SECONDS = 300.0
PODS, INFLIGHT = 2, 8
# One kill in five comes while vLLM is loaded, the others after it, in so many seconds.
WHILE_LOADING, LOADING_SECONDS, WORKING_SECONDS = 0.2, 20.0, 3.0
WORDS = ("the", "capital", "of", "France", "weather", "joke", "pod", "model", "served", "what", "is", "tiny", "answer")


def write_requests(path: Path, count: int, tokens: int = 64) -> Path:
    """Requests r0, r1, ... with different prompts of about 40 tokens, whose answers all have as many tokens."""
    random = Random(1)
    with path.open("w") as file:
        for number in range(count):
            prompt = f"{number} " + " ".join(random.choices(WORDS, k=15))
            body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
            row = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/completions", "body": body}
            file.write(json.dumps(row) + "\n")
    return path


def serve_words(sequences: int) -> list[str]:
    """What follows `vllm serve`."""
    return [str(tiny_model()), "--enforce-eager", "--max-model-len=1024", f"--max-num-seqs={sequences}"]


def finish(folder: Path, source: Path, count: int) -> dict[str, int]:
    """Merges; the totals."""
    command = [sys.executable, str(written(folder)), "merge", *where(source, folder / "out"), f"--count={count}"]
    totals: dict[str, int] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return totals


class Outcome(NamedTuple):
    """What is left in the end."""

    statuses: list[int]
    killed_at_work: int
    totals: dict[str, int]
    answered: Counter[str]
    failed: list[dict[str, Any]]


class Killing:
    """Runs both pods in `folder` over `source`, with `kills` kills for each of them."""

    def __init__(self, python: Path, folder: Path, source: Path, tell: Callable[[str], None]) -> None:
        self._command: list[str | Path] = [python, written(folder), "run", *where(source, folder / "out")]
        self._folder = folder
        self._source = source
        self._tell = tell
        self._at_work = 0

    def run(self, kills: list[int], seed: int) -> Outcome:
        """`kills`: of each pod."""
        with ThreadPoolExecutor(PODS) as pool:
            seeds = [seed * PODS + index for index in range(PODS)]
            statuses = list(pool.map(self._share, range(PODS), kills, map(Random, seeds)))
        totals = finish(self._folder, self._source, PODS)
        answered = Counter(row["custom_id"] for row in rows(self._folder / "out" / "in.jsonl"))
        return Outcome(statuses, self._at_work, totals, answered, rows(self._folder / "out" / "in.errors.jsonl"))

    def _share(self, index: int, kills: int, random: Random) -> int:
        for life in range(kills):
            self._kill(index, life, random)
        pod = self._start(index, kills)
        if not pod.wait_until(time.monotonic() + 2 * START_SECONDS):
            return pod.ended() or 0
        pod.kill()
        raise TimeoutError(f"pod {index} did not end")

    def _kill(self, index: int, life: int, random: Random) -> None:
        pod = self._start(index, life)
        loading = random.random() < WHILE_LOADING
        alive = pod.wait_until(
            time.monotonic() + (random.uniform(0, LOADING_SECONDS) if loading else START_SECONDS), ready=not loading
        )
        if alive and not loading:
            alive = pod.wait_until(time.monotonic() + random.uniform(0, WORKING_SECONDS))
        pod.kill()
        self._at_work += alive and not loading
        self._tell(f"pod {index} killed {'while it loads' if loading else 'at work' if alive else 'when it was done'}")

    def _start(self, index: int, life: int) -> Pod:
        port = free_port()
        words = [f"--index={index}", f"--count={PODS}", f"--port={port}", f"--max-inflight={INFLIGHT}"]
        env = {**QUIET, "POD_UID": f"pod-{life}"}
        command = [*self._command, *words, "--", *serve_words(INFLIGHT)]
        return Pod(command, port, self._folder / f"pod-{index}.log", env)

"""Part 2 of `make gpu-check`, failures: makes vLLM fail on a real GPU, and looks whether the diagnosis names it.

    python -m gpu.failures [--only NAME ...] [--output CASES]

Each failure is `vllm serve` with random weights on one GPU of this machine. The diagnosis gets what the kubelet would
keep of it, the last 80 lines or 2 KiB of the log, and what the operator reads of the log itself. --output writes the
texts for tests/unit/diagnosis/gpu_failures.json, where `told` is added by hand. Ends with 1 where one is not named.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu import machine
from gpu.engines import CASES
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.log import cleaned

START_SECONDS, DIES_SECONDS = 200.0, 30.0
KEPT_BYTES, KEPT_LINES = 2048, 80
# As vllm_operator.cluster, which imports a Kubernetes client that a machine with vLLM need not have.
LOG_LINES = 400
_CARETS = re.compile(r"(\(.*\] )?\s*[~^]+")


@dataclass(frozen=True)
class Failure:
    """One way to fail. `takes` GiB of the GPU are another process's, from the start or from when the log says `after`;
    -1: all that is free then."""

    model: str
    reason: Reason
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    takes: int = 0
    after: str = ""
    asks: bool = False


EAGER = "--enforce-eager"
FAILURES = {
    "another process on the GPU": Failure("llama31-8b", Reason.GPU_MEMORY_IN_USE, takes=40),
    "weights larger than the GPU": Failure("mixtral-8x7b", Reason.MODEL_TOO_LARGE, (EAGER, "--max-model-len=8192")),
    "weights leave no room to run": Failure("phi-3.5-moe", Reason.OUT_OF_GPU_MEMORY, (EAGER, "--max-model-len=8192")),
    "weights fill the share": Failure("llama31-8b", Reason.KV_CACHE_TOO_SMALL, (EAGER, "--gpu-memory-utilization=0.2")),
    "KV cache too small": Failure("llama31-8b", Reason.KV_CACHE_TOO_SMALL, (EAGER, "--gpu-memory-utilization=0.4")),
    "memory taken while graphs are captured": Failure(
        "llama32-3b", Reason.OUT_OF_GPU_MEMORY, takes=-1, after="Available KV cache memory"
    ),
    "memory taken while it serves": Failure(
        "llama32-3b", Reason.OUT_OF_GPU_MEMORY, (EAGER, "--max-num-batched-tokens=65536"), takes=-1,
        after="Application startup complete", asks=True,
    ),
    "fewer GPUs than asked for": Failure("llama32-3b", Reason.GPU_UNAVAILABLE, ("--tensor-parallel-size=2",)),
    "no GPU": Failure("llama32-3b", Reason.GPU_UNAVAILABLE, environment={"CUDA_VISIBLE_DEVICES": ""}),
}  # fmt: skip

_TAKE = """
import sys, time, torch
held = []
gib = int(sys.argv[1])
if gib >= 0:
    held.append(torch.empty(gib << 30, dtype=torch.uint8, device="cuda"))
size = 1 << 30
while gib < 0 and size >= 1 << 21:
    try:
        held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        size //= 2
print("taken", flush=True)
time.sleep(600)
"""


def _take(gib: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    """A process that holds memory of the GPU."""
    taker = subprocess.Popen(
        [sys.executable, "-c", _TAKE, str(gib)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert taker.stdout
    taker.stdout.readline()
    return taker


def _ask(port: int) -> None:
    """A prompt that takes the engine much memory at once."""
    body = {"model": "m", "prompt": [7 + number % 1000 for number in range(60000)], "max_tokens": 4}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with suppress(OSError):  # the answer is in the log
        urllib.request.urlopen(request, timeout=60).read()


def fail(failure: Failure, home: Path, gpu: str, port: int) -> tuple[str, int | None, float]:
    """Start vLLM so that it fails. Returns its log, its exit code (None where it did not end), and how long it took."""
    folder, log = home / "model", home / "log"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(json.loads(CASES.read_text())["models"][failure.model]))
    program = ["vllm"] if shutil.which("vllm") else [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    # Without a tokenizer vLLM serves token ids.
    argv = [*program, "serve", str(folder), "--served-model-name=m", "--load-format=dummy", "--skip-tokenizer-init",
            f"--port={port}", *failure.arguments]  # fmt: skip
    visible = {**os.environ, "CUDA_VISIBLE_DEVICES": gpu, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    taker = _take(failure.takes, visible) if failure.takes > 0 else None
    began = time.monotonic()
    until = began + START_SECONDS
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, env={**visible, **failure.environment}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        while process.poll() is None and time.monotonic() < until:
            if failure.after and taker is None and failure.after in log.read_text(errors="replace"):
                taker = _take(failure.takes, visible)
                if failure.asks:
                    _ask(port)
                    until = time.monotonic() + DIES_SECONDS
            time.sleep(0.1)
        code = process.poll()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if taker:
            taker.kill()
            taker.wait()
    return log.read_text(errors="replace"), code, time.monotonic() - began


def kept(log: str) -> str:
    """What the kubelet keeps of it (terminationMessagePolicy FallbackToLogsOnError)."""
    return "\n".join(log.splitlines()[-KEPT_LINES:])[-KEPT_BYTES:]


def named(text: str) -> Reason | None:
    """The reason that the diagnosis finds in a text; None where it knows none."""
    return next((symptom.reason for symptom in SYMPTOMS if symptom.search(cleaned(text))), None)


def case(name: str, failure: Failure, log: str, code: int | None) -> dict[str, Any]:
    """A test case: what the operator reads of the log, without this machine's paths and the carets of tracebacks."""
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(":")):
        log = log.replace(folder, "/opt/vllm")
    lines = [line for line in log.splitlines()[-LOG_LINES:] if not _CARETS.fullmatch(line)]
    where = {"exitCode": code, "from": machine.describe()}
    return {"name": name, "reason": failure.reason, **where, "log": "\n".join(lines)}


def main() -> int:
    """Let vLLM fail in each way and print whether it is named."""
    parser = argparse.ArgumentParser(prog="gpu.failures", description="real failures on a GPU, and their diagnosis")
    parser.add_argument("--only", nargs="*", choices=FAILURES, help="these only")
    parser.add_argument("--output", type=Path, help="where to write the texts, one JSON a line")
    parser.add_argument("--port", type=int, default=8100, help="port of vLLM (default: %(default)s)")
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    gpu = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
    bad = False
    for name in options.only or FAILURES:
        failure = FAILURES[name]
        with tempfile.TemporaryDirectory() as scratch:
            log, code, seconds = fail(failure, Path(scratch), gpu, options.port)
        found, short = named("\n".join(log.splitlines()[-LOG_LINES:])), named(kept(log))
        good = failure.reason == found and code is not None
        bad = bad or not good
        said = f"{found or 'nothing'} by its log, {short or 'nothing'} by its last 2 KiB"
        print(f"{'ok  ' if good else 'FAIL'} {name}: {said}; ended with {code} after {seconds:.0f} s", flush=True)
        if options.output:
            with options.output.open("a") as out:
                out.write(json.dumps(case(name, failure, log, code)) + "\n")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

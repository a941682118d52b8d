"""Part 2 of `make gpu-check`, failures: makes vLLM fail on a real GPU, and looks whether the diagnosis names it.

    python -m gpu.failures [--only NAME ...] [--gpus INDEX ...] [--output CASES]

Each failure is `vllm serve` with random weights on one GPU of this machine; with --gpus each of them has one failure at
a time. The diagnosis gets what the kubelet would keep of it, the last 80 lines or 2 KiB of the log, and what the
operator reads of the log itself. It is told how long before vLLM's end its log could be named: the operator looks when
the container has ended. --output writes the texts for tests/unit/diagnosis/gpu_failures.json, where `told` is added by
hand. Ends with 1 where one is not named.
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
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from bench.plan import gpu_of, spec_of
from gpu import machine
from gpu.engines import CASES, GIB
from vllm_operator.api.limits import cut_lines
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.log import cleaned
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan

# vLLM's start on a machine where others start beside it; its end after what makes it fail.
START_SECONDS, DIES_SECONDS = 240.0, 60.0
LOOK_SECONDS = 0.2
KEPT_BYTES, KEPT_LINES = 2048, 80
_CARETS = re.compile(r"(\(.*\] )?\s*[~^]+")


@dataclass(frozen=True)
class Failure:
    """One way to fail. `takes` GiB of the GPU are another process's, from the start or from when the log says `after`;
    -1: all that is free then. `share`: GiB that vLLM may take. `leaves`: the model gets as many layers as leave so many
    GiB of the GPU or more; below 0, its weights are larger. `hidden`: vLLM finds no device behind its nodes in /dev."""

    model: str
    reason: Reason
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    takes: int = 0
    after: str = ""
    share: float = 0.0
    leaves: float | None = None
    asks: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a failure, in seconds from the start; `named` is when its log first told the reason."""

    log: str
    code: int | None
    ended: float
    named: float | None


EAGER = "--enforce-eager"
# The older model runner asks for log-probabilities of a prompt all at once, and the newer one in parts that fit in what
# torch has kept.
_RUNNER = {"VLLM_USE_V2_MODEL_RUNNER": "0"}
# The longest first, so that several GPUs end together; what has been measured before comes last.
FAILURES = {
    "memory taken while it serves": Failure(
        "llama32-3b", Reason.OUT_OF_GPU_MEMORY, (EAGER, "--max-num-batched-tokens=65536"), _RUNNER, takes=-1,
        after="Application startup complete", asks=True,
    ),
    "weights larger than the GPU": Failure(
        "mixtral-8x7b", Reason.MODEL_TOO_LARGE, (EAGER, "--max-model-len=8192"), leaves=-4
    ),
    "weights leave no room to run": Failure(
        "llama31-8b", Reason.OUT_OF_GPU_MEMORY, (EAGER, "--max-model-len=8192"), leaves=1.5
    ),
    "KV cache too small": Failure("llama31-8b", Reason.KV_CACHE_TOO_SMALL, (EAGER,), share=20),
    "weights fill the share": Failure("llama31-8b", Reason.KV_CACHE_TOO_SMALL, (EAGER,), share=15.5),
    "its GPU taken away": Failure("llama32-3b", Reason.GPU_UNAVAILABLE, hidden=True),
    "no GPU": Failure("llama32-3b", Reason.GPU_UNAVAILABLE, environment={"CUDA_VISIBLE_DEVICES": ""}),
    "fewer GPUs than asked for": Failure("llama32-3b", Reason.GPU_UNAVAILABLE, ("--tensor-parallel-size=2",)),
    "memory taken while graphs are captured": Failure(
        "llama32-3b", Reason.OUT_OF_GPU_MEMORY, takes=-1, after="Available KV cache memory"
    ),
    "another process on the GPU": Failure("llama31-8b", Reason.GPU_MEMORY_IN_USE, takes=40),
}  # fmt: skip

# What a pod sees whose GPU is gone when it starts: a node in /dev that no driver answers behind. Only this process sees
# it so, in a mount namespace of its own, and may make no node anew. The GPU itself is not touched.
_HIDDEN = """
for node in /dev/nvidia[0-9]*; do mount --bind /dev/null "$node"; done
exec setpriv --bounding-set=-mknod --inh-caps=-mknod "$@"
"""

_TAKE = """
import sys, time, torch
held = [torch.empty(1, device="cuda")]
print("ready", flush=True)
gib = int(sys.stdin.readline())
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


class _Taker:
    """A process that takes memory of the GPU when it is told to: at once, since it has started before."""

    def __init__(self, gib: int, environment: dict[str, str]) -> None:
        self._gib, self.took = gib, False
        command = [sys.executable, "-c", _TAKE]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._expect("ready")

    def _expect(self, word: str) -> None:
        assert self._process.stdout
        if self._process.stdout.readline().strip() != word:
            raise ChildProcessError("the process that takes memory of the GPU ended")

    def take(self) -> None:
        """Take it; returns when it is taken."""
        assert self._process.stdin
        print(self._gib, file=self._process.stdin, flush=True)
        self._expect("taken")
        self.took = True

    def end(self) -> None:
        """Give it back."""
        self._process.kill()
        self._process.communicate()


def _ask(port: int) -> None:
    """A prompt that takes the engine much memory at once; with log-probabilities, more than was tried at its start."""
    prompt = [7 + number % 1000 for number in range(60000)]
    body = {"model": "m", "prompt": prompt, "max_tokens": 4, "prompt_logprobs": 1}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with suppress(OSError):  # the answer is in the log
        urllib.request.urlopen(request, timeout=60).read()


def _config(failure: Failure, gpu: str) -> dict[str, Any]:
    """The model's config, with as many layers as leave what is to be left of the GPU."""
    config: dict[str, Any] = json.loads(CASES.read_text())["models"][failure.model]
    if failure.leaves is None:
        return config
    layers = int(config["num_hidden_layers"])
    one, all_of_it = _weights({**config, "num_hidden_layers": 1}), _weights(config)
    layer = (all_of_it - one) / (layers - 1)
    room = machine.memory(gpu) - failure.leaves * GIB - (one - layer)
    return {**config, "num_hidden_layers": int(room // layer)}


def _weights(config: dict[str, Any]) -> int:
    """Bytes of a model's weights, as planned."""
    planned = plan(spec_of({}, metadata.version("vllm")), model_of(config), gpu_of("NVIDIA H200", 141 * GIB))
    assert planned.capacity
    return planned.capacity.memory.weights


def _command(failure: Failure, folder: Path, gpu: str, port: int) -> list[str]:
    """vLLM's argv. Without a tokenizer it serves token ids."""
    share = [f"--gpu-memory-utilization={failure.share * GIB / machine.memory(gpu):.4f}"] if failure.share else []
    program = ["vllm"] if shutil.which("vllm") else [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    argv = [*program, "serve", str(folder), "--served-model-name=m", "--load-format=dummy", "--skip-tokenizer-init",
            f"--port={port}", *share, *failure.arguments]  # fmt: skip
    hide = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _HIDDEN, "sh"]
    return [*hide, *argv] if failure.hidden else argv


def _watch(failure: Failure, process: subprocess.Popen[bytes], log: Path, taker: _Taker | None, port: int) -> Outcome:
    """Wait for the end, and do to vLLM meanwhile what makes it fail."""
    began = time.monotonic()
    until, named_at, text = began + START_SECONDS, None, ""
    while (code := process.poll()) is None and time.monotonic() < until:
        if (now := log.read_text(errors="replace")) != text:
            text = now
            if named_at is None and named(cut_lines(text)) == failure.reason:
                named_at = time.monotonic() - began
        if taker and not taker.took and failure.after in text:
            taker.take()
            if failure.asks:
                threading.Thread(target=_ask, args=(port,), daemon=True).start()
            until = time.monotonic() + DIES_SECONDS
        time.sleep(LOOK_SECONDS)
    return Outcome(log.read_text(errors="replace"), code, time.monotonic() - began, named_at)


def fail(failure: Failure, home: Path, gpu: str, port: int) -> Outcome:
    """Start vLLM on a GPU so that it fails."""
    folder, log = home / "model", home / "log"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_config(failure, gpu)))
    visible = {**os.environ, "CUDA_VISIBLE_DEVICES": gpu, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    taker = _Taker(failure.takes, visible) if failure.takes else None
    if taker and not failure.after:
        taker.take()
    environment, argv = {**visible, **failure.environment}, _command(failure, folder, gpu, port)
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        return _watch(failure, process, log, taker, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if taker:
            taker.end()


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
    lines = [line for line in cut_lines(log).splitlines() if not _CARETS.fullmatch(line)]
    where = {"exitCode": code, "from": machine.describe()}
    return {"name": name, "reason": failure.reason, **where, "log": "\n".join(lines)}


def tell(name: str, failure: Failure, outcome: Outcome) -> bool:
    """One line about a failure; returns whether it is named, and vLLM ended."""
    found, short = named(cut_lines(outcome.log)), named(kept(outcome.log))
    good = failure.reason == found and outcome.code is not None
    said = f"{found or 'nothing'} by its log, {short or 'nothing'} by its last 2 KiB"
    if outcome.named is not None:
        said += f"; told after {outcome.named:.1f} s, {outcome.ended - outcome.named:.1f} s before its end"
    print(
        f"{'ok  ' if good else 'FAIL'} {name}: {said}; ended with {outcome.code} after {outcome.ended:.0f} s",
        flush=True,
    )
    if not good:
        print(kept(outcome.log), flush=True)
    return good


class Lanes:
    """The failures, each on the next GPU that is free."""

    def __init__(self, names: list[str], output: Path | None) -> None:
        self._output, self._lock, self.bad = output, threading.Lock(), False
        self._waiting: Queue[str] = Queue()
        for name in names:
            self._waiting.put(name)

    def run(self, gpus: list[str], port: int) -> None:
        """All of them."""
        lanes = [threading.Thread(target=self._lane, args=(gpu, port + number)) for number, gpu in enumerate(gpus)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _lane(self, gpu: str, port: int) -> None:
        with suppress(Empty):
            while True:
                self._one(self._waiting.get_nowait(), gpu, port)

    def _one(self, name: str, gpu: str, port: int) -> None:
        failure = FAILURES[name]
        try:
            with tempfile.TemporaryDirectory() as scratch:
                outcome = fail(failure, Path(scratch), gpu, port)
        except (OSError, ChildProcessError) as error:
            outcome = Outcome(f"{type(error).__name__}: {error}", None, 0.0, None)
        with self._lock:
            self.bad = not tell(name, failure, outcome) or self.bad
            if self._output:
                with self._output.open("a") as out:
                    out.write(json.dumps(case(name, failure, outcome.log, outcome.code)) + "\n")


def main() -> int:
    """Let vLLM fail in each way and print whether it is named."""
    parser = argparse.ArgumentParser(prog="gpu.failures", description="real failures on a GPU, and their diagnosis")
    parser.add_argument("--only", nargs="*", choices=FAILURES, help="these only")
    parser.add_argument("--gpus", nargs="*", help="GPUs that have one failure at a time each (default: the first)")
    parser.add_argument("--output", type=Path, help="where to write the texts, one JSON a line")
    parser.add_argument("--port", type=int, default=8100, help="port of vLLM on the first GPU (default: %(default)s)")
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    lanes = Lanes(options.only or list(FAILURES), options.output)
    lanes.run(options.gpus or (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[:1], options.port)
    return int(lanes.bad)


if __name__ == "__main__":
    sys.exit(main())

"""Starts vLLM engines one after another, each in a fork of this process, which has imported vLLM once.

    python -m gpu.engine_server FOLDER    (cases on stdin, one JSON a line; rows on stdout)

It decides when an engine has told enough and ends it. What the figures mean is engine_log's to say. It must not touch a
GPU itself: a process that has can make no forks that do.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gpu import engine_log, machine, processors
from vllm_operator.diagnosis.log import last_error

Case = dict[str, Any]

START_SECONDS = 240.0
"""How long an engine on one GPU may take; on several, whose workers each import and compile, twice as long."""
GRAPH_SECONDS = 60.0
"""How long the CUDA graphs of an engine are waited for once it has told its tokens."""
SPEED_SECONDS = 120.0
# A context that ended is gone after a second or two.
FREE_SECONDS, FREE_MIB = 20.0, 700

ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "DEBUG", "VLLM_WORKER_MULTIPROC_METHOD": "fork", "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}  # fmt: skip


def import_vllm() -> None:
    """What an engine's start imports, but nothing that touches a GPU."""
    import vllm.engine.arg_utils
    import vllm.model_executor.model_loader
    import vllm.model_executor.models.llama
    import vllm.v1.engine.llm_engine
    import vllm.v1.worker.gpu.model_runner
    import vllm.v1.worker.gpu_model_runner
    import vllm.v1.worker.gpu_worker  # noqa: F401
    from vllm.model_executor.models import registry

    # Asked in a process of its own, which would import vLLM again, so that no GPU is touched: a fork is such a process.
    registry._run_in_subprocess = lambda function: function()


def folders(case: Case, home: Path) -> dict[str, Any]:
    """The engine's arguments, with the models written where it will look for them."""
    arguments = dict(case["engineArgs"])
    model = home / "models" / case["case"]
    _config(model, case["modelConfig"])
    towers = "vision_config" in case["modelConfig"]
    if towers:
        processors.write(model, case["modelConfig"])
    if draft := case.get("draftConfig"):
        _config(model / "draft", draft)
        arguments["speculative_config"] = {**arguments["speculative_config"], "model": str(model / "draft")}
    return {
        "model": str(model),
        "load_format": "dummy",
        "skip_tokenizer_init": not towers,
        **case.get("extraArgs", {}),
        **arguments,
    }


def _config(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def start(case: Case, home: Path, result: Path) -> None:
    """Start the engine, in a fork. Leaves what only its process knows in `result`."""
    import torch
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    os.environ.update(case.get("environment", {}))
    # A process of its own for the engine, as in the server: else it waits for what is done with its answers.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1" if case.get("speed") else "0"
    facts: dict[str, Any] = {"torch": torch.__version__}
    try:
        several = case["engineArgs"].get("tensor_parallel_size", 1) > 1
        environment, without = machine.without_multicast() if several else ({}, {})
        os.environ.update(environment)
        facts["engineArgs"] = {**case["engineArgs"], **without}
        arguments = EngineArgs(**folders(case, home), **without)
        # The server's defaults, which are other than those of the class LLM.
        config = arguments.create_engine_config(UsageContext.OPENAI_API_SERVER)
        facts["maxNumSeqs"] = config.scheduler_config.max_num_seqs
        facts["maxNumBatchedTokens"] = config.scheduler_config.max_num_batched_tokens
        facts["maxModelLenAsked"] = config.model_config.max_model_len
        result.write_text(json.dumps(facts))  # an engine that takes too long with its graphs is ended before the rest
        engine = LLMEngine.from_vllm_config(config, UsageContext.OPENAI_API_SERVER)
        if case.get("speed"):
            from gpu import speed

            facts["speed"] = speed.measure(engine, config)
        else:
            facts["bytes"] = _bytes(engine) if config.parallel_config.world_size == 1 else {}
    finally:
        result.write_text(json.dumps(facts))
    os._exit(0)  # an engine takes seconds to end in good order


def _bytes(engine: Any) -> dict[str, int]:
    """The terms to the byte, of an engine in this process: the log rounds them."""
    worker = engine.model_executor.driver_worker.worker
    model = worker.model_runner.get_model()
    return {
        "parameterBytes": sum(part.numel() * part.element_size() for part in model.parameters()),
        "weightsBytes": int(worker.model_runner.model_memory_usage),
        "consumedBytes": int(worker.total_consumed),
        "peakBytes": int(worker.peak_activation_memory - worker.cudagraph_memory_estimate),
        "graphEstimateBytes": int(worker.cudagraph_memory_estimate),
        "availableBytes": int(worker.available_kv_cache_memory_bytes),
    }


def _tell_card(result: Path) -> None:
    import torch

    if torch.cuda.is_available():
        card = {"gpu": torch.cuda.get_device_name(0), "totalBytes": torch.cuda.mem_get_info(0)[1]}
        result.write_text(json.dumps(card))


def card(home: Path) -> dict[str, Any]:
    """What the GPU is called, and its bytes as CUDA tells them; asked once, in a fork, and while no engine runs."""
    result = home / "card.json"
    if not result.exists():
        home.mkdir(parents=True, exist_ok=True)
        pid = os.fork()
        if pid == 0:
            _in_fork(lambda: _tell_card(result))
        os.waitpid(pid, 0)
    return dict(json.loads(result.read_text())) if result.exists() else {}


def _in_fork(work: Callable[[], None]) -> NoReturn:
    """Do it and end this process, with 1 and what was raised where something was."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _child(case: Case, home: Path, log: Path, result: Path) -> NoReturn:
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(handle, descriptor)
    _in_fork(lambda: start(case, home, result))


def _wait(pid: int, log: Path, seconds: float, *, speed: bool) -> str:
    """Wait for the engine's end, or end it when it takes too long. Returns how it ended: ended, enough, timeout."""
    began, told = time.monotonic(), None
    while True:
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            return "ended"
        now = time.monotonic()
        if told is None and log.exists() and "Maximum concurrency for" in log.read_text(errors="replace"):
            told = now
        late = told is not None and now - told > GRAPH_SECONDS + speed * SPEED_SECONDS
        if late or now - began > seconds:
            _kill(pid)
            os.waitpid(pid, 0)
            return "enough" if late else "timeout"
        time.sleep(0.2)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def used_mib(gpus: str) -> int:
    """MiB in use on the GPUs, by whichever process; 0 where there is no nvidia-smi."""
    ask = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", gpus]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return max(int(line) for line in answer.split())


def _free(gpus: str) -> None:
    until = time.monotonic() + FREE_SECONDS
    while used_mib(gpus) > FREE_MIB and time.monotonic() < until:
        time.sleep(0.3)


def row(case: Case, home: Path) -> dict[str, Any]:
    """Start one engine and return its row, with `error` where it did not come as far as its tokens."""
    import vllm

    log, result = home / "logs" / f"{case['case']}.log", home / "results" / f"{case['case']}.json"
    for path in (log, result):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    facts = card(home)
    _free(os.environ["CUDA_VISIBLE_DEVICES"])
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(case, home, log, result)
    gpus = len(os.environ["CUDA_VISIBLE_DEVICES"].split(","))
    ended = _wait(pid, log, START_SECONDS * (1 if gpus == 1 else 2), speed=bool(case.get("speed")))
    _kill(pid)  # workers of an engine that failed
    if result.exists():
        facts.update(json.loads(result.read_text()))
    text = log.read_text(errors="replace")
    told = engine_log.measured(text)
    made = {
        "case": case["case"], "gpu": facts.get("gpu"), "vllm": vllm.__version__, "torch": facts.get("torch"),
        "gpus": gpus, "engineArgs": facts.get("engineArgs", case["engineArgs"]),
        "modelConfig": case["modelConfig"],
    }  # fmt: skip
    made.update({name: case[name] for name in ("draftConfig", "extraArgs", "environment") if name in case})
    kept = ("totalBytes", "maxNumSeqs", "maxNumBatchedTokens", "maxModelLenAsked")
    made["measured"] = {**{name: facts[name] for name in kept if name in facts}, **facts.get("bytes", {}), **told}
    if "speed" in facts:
        made["speed"] = facts["speed"]
    if told["kvTokens"] is None:
        made["error"] = last_error(text)[:500] or f"{ended} after {time.monotonic() - began:.0f} s: {text[-300:]}"
    return {**made, "ended": ended, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Serve cases until stdin ends."""
    home = Path(sys.argv[1])
    os.environ.update(ENVIRONMENT)
    caches = {"VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "inductor"}
    for name, folder in caches.items():
        os.environ[name] = str(home / folder)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever vLLM prints is not an answer
    import_vllm()
    for line in sys.stdin:
        answers.write(json.dumps(row(json.loads(line), home)) + "\n")


if __name__ == "__main__":
    main()

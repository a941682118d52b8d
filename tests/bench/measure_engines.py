"""Measures what vLLM takes of a GPU before it serves: engine starts with random weights, without any download.

    python measure_engines.py cases.json results.jsonl [--peak]

A case is {"case": name, "modelConfig": config.json, "engineArgs": {...}}. It needs a GPU that nobody else uses, and
vLLM. Each case is started twice with caches of its own: a first start compiles and tunes kernels while memory is
measured, which takes more than the next one. Each start ends as soon as vLLM has decided what the KV cache gets.
`--peak` also writes which allocations were alive at the peak of the profiling pass, with the lines that made them.

The rows of tests/planner/calibration.json that are neither `given` nor `heldOut` were measured so on 2026-11-24, on
an H200 (driver 580, CUDA 13.0, torch 2.11.0, vLLM 0.26.0), first starts side by side, second ones alone: `peakBytes`
is the first start's, all else the second's. FlashInfer's sampler was off: compiling it took longer than all the rest.

The `heldOut` rows were measured on 2026-11-25 on an H100 with the same vLLM, torch and driver, and the hook below. Each
engine was started once, alone, with empty caches, by a fork of a process that had imported vLLM, and went on until vLLM
had counted its tokens or refused. FlashInfer, flash attention 2 and DeepGEMM were not installed. Two starts are left
out: from a config.json and no other file, vLLM ran an embedding model as one that generates, and a GPTQ model as one
that is not quantized.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

_LARGEST = 14
_SERVER_BATCH = 8192
"""What `vllm serve` takes on an H100 or H200; the class that is used here would take twice as much."""


def _peak(snapshot: dict[str, Any]) -> list[tuple[float, str]]:
    """MiB and origin of what was alive at the highest point of an allocation trace."""
    events = snapshot["device_traces"][0]
    alive: dict[int, int] = {}
    now = highest = 0
    at = 0
    for index, event in enumerate(events):
        if event["action"] == "alloc":
            alive[event["addr"]] = index
            now += event["size"]
        elif event["action"] == "free_completed" and event["addr"] in alive:
            now -= events[alive.pop(event["addr"])]["size"]
        if now > highest:
            highest, at = now, index
    alive = {}
    for index, event in enumerate(events[: at + 1]):
        if event["action"] == "alloc":
            alive[event["addr"]] = index
        elif event["action"] == "free_completed":
            alive.pop(event["addr"], None)
    sizes: Counter[str] = Counter()
    for index in alive.values():
        frames = [f"{Path(f['filename']).name}:{f['line']}:{f['name']}" for f in events[index].get("frames", [])]
        own = [f for f in frames if not f.startswith(("_ops", "module.py", "parameter.py"))][:5]
        sizes[f"{events[index]['size'] / 2**20:.2f} MiB each: " + " < ".join(own)] += events[index]["size"]
    return [(round(size / 2**20, 2), origin) for origin, size in sizes.most_common(_LARGEST)]


def _start(case: dict[str, Any], folder: Path, result: Path, *, peak: bool) -> None:
    """Start one engine in this process and leave the result. Does not return."""
    import torch  # noqa: PLC0415 - the parent needs no GPU
    from vllm import LLM  # noqa: PLC0415
    from vllm.v1.worker import gpu_worker  # noqa: PLC0415

    own = gpu_worker.Worker.determine_available_memory

    def determine(worker: Any) -> int:
        before = torch.cuda.memory_allocated()
        if peak:
            torch.cuda.memory._record_memory_history(max_entries=400000, stacks="python")
        available = own(worker)
        runner = worker.model_runner
        _, total = torch.cuda.mem_get_info()
        facts = {
            "case": case["case"],
            "totalBytes": total,
            "requestedBytes": worker.requested_memory,
            "parameterBytes": sum(p.numel() * p.element_size() for p in runner.get_model().parameters()),
            "weightsBytes": int(runner.model_memory_usage),
            "nonTorchBytes": getattr(worker, "non_torch_memory", None),
            # 0.32 says what is gone of the free memory, and counts the graphs to the peak.
            "consumedBytes": getattr(worker, "total_consumed", None),
            "peakBytes": getattr(worker, "peak_activation_memory", None),
            "cudaGraphEstimateBytes": worker.cudagraph_memory_estimate,
            "allocatedBeforeBytes": before,
            "availableKvBytes": int(available),
            "runner": type(runner).__module__,
            "maxNumSeqs": worker.scheduler_config.max_num_seqs,
            "maxNumBatchedTokens": worker.scheduler_config.max_num_batched_tokens,
            "maxModelLen": worker.model_config.max_model_len,
        }
        if peak:
            facts["peak"] = _peak(torch.cuda.memory._snapshot())
        result.write_text(json.dumps(facts))
        sys.stdout.flush()
        os._exit(0)

    gpu_worker.Worker.determine_available_memory = determine
    arguments = {"max_num_batched_tokens": _SERVER_BATCH, **case["engineArgs"]}
    LLM(model=str(folder), load_format="dummy", skip_tokenizer_init=True, **arguments)


def _measure(case: dict[str, Any], caches: Path, *, peak: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        # The model's folder is part of what vLLM's cache is found by.
        folder, result = caches / "model", Path(scratch) / "result.json"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(case["modelConfig"]))
        environment = {
            **os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_CACHE_ROOT": str(caches / "vllm"),
            "TRITON_CACHE_DIR": str(caches / "triton"), "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        }  # fmt: skip
        began = time.monotonic()
        arguments = [sys.executable, __file__, "--one", json.dumps(case), str(folder), str(result), str(int(peak))]
        done = subprocess.run(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        seconds = round(time.monotonic() - began, 1)
        if not result.exists():
            return {"case": case["case"], "error": done.stdout[-3000:], "seconds": seconds}
        return {**json.loads(result.read_text()), "seconds": seconds}


def main() -> None:
    """Measure all cases of a file, one after another, and write each result as soon as it is there."""
    if sys.argv[1] == "--one":
        case, folder, result, peak = sys.argv[2:]
        _start(json.loads(case), Path(folder), Path(result), peak=peak == "1")
    cases, results = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for case in cases:
        with tempfile.TemporaryDirectory() as caches:
            for start in (1, 2):
                row = {"start": start, **_measure(case, Path(caches), peak="--peak" in sys.argv)}
                with results.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print({key: value for key, value in row.items() if key != "peak"}, flush=True)


if __name__ == "__main__":
    main()

"""What vLLM said of memory while an engine started. Pure: the log's text in, figures out; it starts nothing.

The log is one of VLLM_LOGGING_LEVEL=DEBUG: the terms of the profiling pass are only told there. Figures are vLLM's own,
in GiB with two decimals, of the first rank that told them (ranks agree). Where vLLM 0.32 says them:
v1/worker/gpu_worker.py, v1/worker/gpu_model_runner.py, v1/core/kv_cache_utils.py, utils/mem_utils.py.
"""

import re
from typing import Any

_GIB = r"(-?[\d.]+) ?GiB"
_NUMBER = {
    "weightsGiB": rf"Model loading took {_GIB} memory",
    "availableKvGiB": rf"Available KV cache memory: {_GIB}",
    "requestedGiB": rf"Requested memory: [\d.]+ \(util\), {_GIB}",
    "initialFreeGiB": rf"Initial free memory: {_GIB}",
    "nonKvGiB": rf"Total non KV cache memory: {_GIB}",
    "torchPeakIncreaseGiB": rf"torch peak memory increase: {_GIB}",
    "consumedGiB": rf"total consumed \(from mem_get_info\): {_GIB}",
}
_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x")
_GRAPHS = re.compile(rf"CUDA graph pool memory: {_GIB} \(actual\), {_GIB} \(estimated\)")
_ESTIMATE = re.compile(rf"Estimated CUDA graph memory: {_GIB} total")
_REFUSED = re.compile(r"estimated maximum model length is (\d+)")
_NEEDED = re.compile(
    rf"max seq len \((\d+)\), \({_GIB} KV cache is needed, which is larger than the available KV cache memory "
    rf"\({_GIB}\)"
)
_COMPILED = re.compile(r"torch\.compile took ([\d.]+) s in total")
_CHOICES = re.compile(r"Using ('?\w+'?) (attention backend|\w* ?(?:LoRA )?MoE backend)")


def measured(text: str) -> dict[str, Any]:
    """The figures of an engine's log, by the names of the calibration rows; what was not said is null or left out.

    `graphEstimateGiB` is what vLLM kept back for CUDA graphs: 0 where it made no estimate (`enforce_eager`), null where
    it did not come so far.
    """
    found: dict[str, Any] = {}
    for name, pattern in _NUMBER.items():
        match = re.search(pattern, text)
        found[name] = float(match[1]) if match else None
    tokens, refused = _TOKENS.search(text), _REFUSED.search(text)
    found["kvTokens"] = int(tokens[1].replace(",", "")) if tokens else None
    found["maxModelLen"] = int(tokens[2].replace(",", "")) if tokens else None
    found["maxConcurrency"] = float(tokens[3]) if tokens else None
    found["refusedMaxModelLen"] = int(refused[1]) if refused else None
    if needed := _NEEDED.search(text):
        found["refusedNeededGiB"] = float(needed[2])
    graphs = _GRAPHS.search(text)
    found["graphGiB"] = {"actual": float(graphs[1]), "estimated": float(graphs[2])} if graphs else None
    found["graphEstimateGiB"] = _estimate(text, found)
    found.update(_circumstances(text))
    return found


def _estimate(text: str, found: dict[str, Any]) -> float | None:
    """What was kept back for CUDA graphs, as said, or else what is missing from the sum."""
    if match := _ESTIMATE.search(text):
        return float(match[1])
    if found["graphGiB"]:
        return float(found["graphGiB"]["estimated"])
    terms = (found["requestedGiB"], found["nonKvGiB"], found["availableKvGiB"])
    if None in terms:
        return None
    rest = round(terms[0] - terms[1] - terms[2], 2)
    return rest if rest > 0.02 else 0.0  # two decimals of three terms


def _circumstances(text: str) -> dict[str, Any]:
    """What else decided the figures: chosen kernels, and whether the model was compiled or read from a cache."""
    compiled = _COMPILED.search(text)
    return {
        "backends": sorted({f"{name.strip(chr(39))} {kind}" for name, kind in _CHOICES.findall(text)}),
        "runner": "v2" if "Using V2 Model Runner" in text else "v1",
        "compileSeconds": float(compiled[1]) if compiled else None,
        "compileCached": "Directly load AOT compilation from path" in text
        or "Directly load the compiled graph" in text,
    }

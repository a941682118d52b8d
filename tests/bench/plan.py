"""How far the planner's KV cache tokens are from what vLLM printed, beside KAITO's formula, and how long a plan takes.

    python -m bench.plan [--rows ENGINES.json] [--plot PLOT.svg]

The rows are engine starts on real GPUs (tests/planner/calibration.json). Ends with 1 where a figure is missed: tokens
within 0.5 % in the median and 2 % at worst, and a plan in less than 5 ms.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, replace
from html import escape
from math import ceil
from pathlib import Path
from typing import Any

from cluster.host import REPOSITORY
from vllm_operator.api import InferenceServiceSpec
from vllm_operator.planner.accelerators import GIB, Gpu, find
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan

ROWS = REPOSITORY / "tests" / "planner" / "calibration.json"
MEDIAN, WORST, SECONDS = 0.005, 0.02, 0.005
REPEATS = 50

_FIELDS = {
    "max_model_len": "maxModelLen", "max_num_seqs": "maxNumSeqs", "max_num_batched_tokens": "maxNumBatchedTokens",
    "enforce_eager": "enforceEager", "quantization": "quantization", "dtype": "dtype",
    "tensor_parallel_size": "tensorParallelSize", "pipeline_parallel_size": "pipelineParallelSize",
    "enable_expert_parallel": "expertParallel",
}  # fmt: skip
_OTHERS = {
    "kv_cache_dtype", "gpu_memory_utilization", "enable_lora", "max_lora_rank", "max_loras", "speculative_config",
    "compilation_config", "limit_mm_per_prompt",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One engine start: tokens in vLLM's KV cache, and what the two planners say."""

    name: str
    gpu: str
    actual: int
    ours: int
    kaito: int
    seconds: float
    vllm: str
    held_out: bool = False
    """Whether none of the planner's constants comes from it."""

    def error(self, tokens: int) -> float:
        """How far a number of tokens is off, as a part of the actual one."""
        return tokens / self.actual - 1


def kaito_tokens(config: dict[str, Any], weights: float, total: int, utilization: float) -> int:
    """Tokens in the KV cache by KAITO's formula, on one GPU, given the true bytes of the weights.

    Source: github.com/kaito-project/kaito, pkg/workspace/estimator/budget.go at 3cc8a5b and max_model_len.go at 76fb6ad
    (weights 2 % larger once loaded; 2.3 GiB and 5 % of them besides), and calculateKVCacheTokenSize in
    presets/workspace/generator/generator.go at 0235d6a (two bytes an element, all layers alike).
    """
    text = {**config.get("text_config", {}), **config}
    heads = text["num_attention_heads"]
    size = text.get("head_dim") or text["hidden_size"] // heads
    elements = 2 * (text.get("num_key_value_heads") or heads) * size
    if text.get("kv_lora_rank") is not None:
        elements = text["kv_lora_rank"] + text.get("qk_rope_head_dim", 0)
    loaded = 1.02 * weights
    left = utilization * total - loaded - (2.3 * GIB + 0.05 * loaded)
    return max(0, int(left / (elements * text["num_hidden_layers"] * 2)))


def spec_of(engine: dict[str, Any], vllm: str) -> InferenceServiceSpec:
    """The service that an engine's arguments are the arguments of, with the image of a version of vLLM."""
    fields: dict[str, Any] = {_FIELDS[name]: value for name, value in engine.items() if name in _FIELDS}
    fields["image"] = f"vllm/vllm-openai:v{vllm}"
    cache: dict[str, Any] = {}
    if "kv_cache_dtype" in engine:
        cache["dtype"] = engine["kv_cache_dtype"]
    if "gpu_memory_utilization" in engine:
        cache["gpuMemoryUtilizationPercent"] = round(100 * engine["gpu_memory_utilization"])
    if engine.get("enable_lora"):
        rank = {"maxRank": engine["max_lora_rank"]} if "max_lora_rank" in engine else {}
        fields["lora"] = {"adapters": [{"name": "a", "uri": "pvc://adapters/a"}], **rank}
    flags = {"max_loras": "--max-loras", "limit_mm_per_prompt": "--limit-mm-per-prompt"}
    if told := [f"{flags[name]}={json.dumps(value)}" for name, value in engine.items() if name in flags]:
        fields["extraArgs"] = told
    if compilation := engine.get("compilation_config"):
        fields["tuning"] = {"compilation": {"passConfig": compilation["pass_config"]}}
    if guess := engine.get("speculative_config"):
        fields["speculative"] = {"method": guess["method"], "numSpeculativeTokens": guess["num_speculative_tokens"]}
    left = set(engine) - set(_FIELDS) - _OTHERS
    if left:
        raise ValueError(f"the benchmark does not know the arguments {sorted(left)}")
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://a/b"}, "kvCache": cache, **fields})


def gpu_of(name: str, total: int) -> Gpu:
    """The GPU of the catalogue, with the memory that was measured."""
    gpu = find(name.replace(" ", "-"))
    if gpu is None:
        raise ValueError(f"the catalogue has no {name}")
    return replace(gpu, total_bytes=total)


def engines(path: Path) -> list[dict[str, Any]]:
    """The engine starts of a file, each with its model's config: {models, engines}, or a list that has them inside."""
    content = json.loads(path.read_text())
    if isinstance(content, list):
        return content
    return [{**entry, "modelConfig": content["models"][entry["model"]]} for entry in content["engines"]]


def row_of(entry: dict[str, Any]) -> Row:
    """Both answers for one engine start. Where only bytes were measured, tokens are calculated from them as planned."""
    measured, config, engine = entry["measured"], entry["modelConfig"], entry["engineArgs"]
    vllm = entry["vllm"]
    spec, model, gpu = spec_of(engine, vllm), model_of(config), gpu_of(entry["gpu"], measured["totalBytes"])
    took = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = plan(spec, model, gpu)
        took.append(time.perf_counter() - start)
    assert result.capacity, result.message
    ours, kept = result.capacity.kv_cache_tokens, result.capacity.memory.kv_cache
    left = measured.get("availableBytes") or measured["availableKvGiB"] * GIB
    actual = measured.get("kvTokens") or round(ours * left / kept)
    weights = measured.get("parameterBytes") or measured["weightsGiB"] * GIB
    gpus = result.gpus_per_replica
    # KAITO divides the weights by the GPUs, and gives each the whole of the other numbers.
    kaito = kaito_tokens(config, weights, gpu.total_bytes, engine.get("gpu_memory_utilization", 0.92)) * gpus
    return Row(entry["case"], gpu.name, actual, ours, kaito, statistics.median(took), vllm, entry.get("heldOut", False))


def table(rows: list[Row]) -> str:
    """All rows, and how far each planner is off in the median and at worst: for each version of vLLM, over all its
    engines and over those held out (*)."""
    lines = [f"{'engine':<29}{'vLLM':<7}{'GPU':<11}{'vLLM':>11}{'this':>11}{'off by':>9}{'KAITO':>11}{'off by':>9}"]
    lines += [
        f"{row.name[:26] + ' *' * row.held_out:<29}{row.vllm:<7}{row.gpu:<11}{row.actual:>11,}{row.ours:>11,}"
        f"{row.error(row.ours):>+9.2%}{row.kaito:>11,}{row.error(row.kaito):>+9.2%}"
        for row in rows
    ]
    for which, those in parts(rows):
        for what, value_of in (("median", statistics.median), ("worst", max)):
            ours, kaito = (value_of(errors(those, who)) for who in ("ours", "kaito"))
            lines.append(f"{f'{which}: {what} of {len(those)}':<47}{'':>22}{ours:>9.2%}{'':>11}{kaito:>9.2%}")
    return "\n".join(lines)


def parts(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """The engines that are judged together, with a name: those of one vLLM, and of these the ones held out."""
    found = []
    for vllm in sorted({row.vllm for row in rows}):
        whole = [row for row in rows if row.vllm == vllm]
        found.append((f"vLLM {vllm}", whole))
        if held_out := [row for row in whole if row.held_out]:
            found.append((f"vLLM {vllm}, held out", held_out))
    return found


def errors(rows: list[Row], who: str) -> list[float]:
    """Absolute errors of `ours` or `kaito`."""
    return [abs(row.error(getattr(row, who))) for row in rows]


def drawing(rows: list[Row]) -> str:
    """The errors as an SVG: a line for each engine, a dot for each planner."""
    left, width, step = 300, 560, 22
    span = ceil(10 * max(*errors(rows, "ours"), *errors(rows, "kaito"), 0.01)) / 10
    height = step * (len(rows) + 4)

    def at(error: float) -> float:
        return left + width * (0.5 + error / span / 2)

    tenths = round(10 * span)
    ticks = [part / 10 for part in range(-tenths, tenths + 1, -(-tenths // 6))]
    parts = [
        f'<line x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="{2 * step}" y2="{height - step}" stroke="#ddd"/>'
        f'<text x="{at(tick):.1f}" y="{2 * step - 6}" text-anchor="middle">{tick:+.0%}</text>'
        for tick in ticks
    ]
    for index, row in enumerate(rows):
        y = step * (index + 2.7)
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(f"{row.name}, {row.gpu}")}</text>')
        for tokens, colour in ((row.kaito, "#d95f02"), (row.ours, "#1b6ca8")):
            parts.append(f'<circle cx="{at(row.error(tokens)):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
    title = "Planned KV cache tokens against vLLM's: this planner (blue), KAITO's formula (orange)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="12" y="18" font-size="14">{title}</text>{"".join(parts)}</svg>\n'
    )


def main() -> int:
    """Prints the table, writes the plot, and returns 1 where a figure is missed."""
    parser = argparse.ArgumentParser(prog="bench.plan", description="the planner against engines that really ran")
    parser.add_argument("--rows", type=Path, default=ROWS, help="engine starts (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="where to write the plot, as SVG")
    options = parser.parse_args()
    rows = [row_of(entry) for entry in engines(options.rows)]
    print(table(rows))
    slowest = max(row.seconds for row in rows)
    print(f"a plan takes {statistics.median(row.seconds for row in rows) * 1e3:.2f} ms, at most {slowest * 1e3:.2f} ms")
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_text(drawing(rows))
        print(f"plot: {options.plot}")
    missed = any(
        statistics.median(errors(part, "ours")) > MEDIAN or max(errors(part, "ours")) > WORST for _, part in parts(rows)
    )
    return int(missed or slowest > SECONDS)


if __name__ == "__main__":
    sys.exit(main())

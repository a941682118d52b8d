"""The plan as text for people: one GPU's memory as a bar, what it serves, the verdict, and what else would fit.

Plain characters, at most 100 columns, so that it reads the same in a pipe. Decides nothing.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from textwrap import wrap

from .accelerators import GIB
from .alternatives import Alternative, Loss
from .plan import Capacity, Memory, Plan
from .speed import Speed, rounded
from .survey import Shape

COLUMNS = 100
_BAR = 60
_GPU_COLUMNS = 18
_VERDICTS = {True: "FITS", False: "DOES NOT FIT", None: "UNKNOWN"}
_LOSSES = {
    Loss.KV_CACHE_PRECISION: "KV cache precision",
    Loss.WEIGHT_PRECISION: "weight precision",
    Loss.CONTEXT: "context",
}


def picture(
    title: str, result: Plan, others: Sequence[Alternative], notes: Iterable[str], speed: Speed | None = None
) -> str:
    """One service on one kind of GPU."""
    count = result.gpus_per_replica
    lines = [f"{title} on {count} x {result.gpu.name}" if count > 1 else f"{title} on {result.gpu.name}", ""]
    if result.capacity:
        lines += [*_memory(result.capacity.memory, count), f"      (as measured with vLLM {result.vllm_version})"]
        lines += ["", *_serving(result.capacity), *_speed(speed), ""]
    lines += _wrapped(f"{_VERDICTS[result.fits]} ({result.reason}): {result.message}")
    if others:
        lines += [
            "",
            "What else would fit:" if result.fits is not True else "What would fit for less:",
            *(line for other in others for line in _listed(other)),
        ]
    for note in notes:
        lines += ["", *_wrapped(f"Note: {note}")]
    return "\n".join(line.rstrip() for line in lines)


def comparison(title: str, shapes: Sequence[Shape], speeds: Sequence[Speed | None]) -> str:
    """One service on each kind of GPU, as a table: the fewest of them that fit, cheapest first, then those that do not.

    TP: tensor parallel size. PRICE: what those GPUs cost against others, in no unit. TOKENS/S PER GPU: about what all
    requests get together that the KV cache holds with contexts of 1,000 tokens.
    """
    rows = [["GPU", "TP", "PRICE", "TOKENS/S PER GPU", "VERDICT", "KV TOKENS", "CONCURRENCY", "LONGEST", "REASON"]]
    ranked = sorted(zip(shapes, speeds, strict=True), key=lambda one: (one[0].plan.fits is not True, *one[0].order))
    rows += [_row(shape, speed) for shape, speed in ranked]
    return "\n".join([title, "", *_columns(rows, right={1, 2, 3, 5, 6, 7})])


def _row(shape: Shape, speed: Speed | None) -> list[str]:
    plan, capacity = shape.plan, shape.plan.capacity
    if not plan.fits or capacity is None:
        verdict = "no" if plan.fits is False else "unknown"
        return [plan.gpu.name, "-", "-", "-", verdict, "-", "-", "-", str(plan.reason)]
    concurrency = capacity.max_concurrency
    return [
        plan.gpu.name,
        str(shape.tensor),
        f"{shape.price:g}" if isfinite(shape.price) else "-",
        f"{rounded(speed.many / plan.gpus_per_replica):,}" if speed else "-",
        "fits",
        f"{capacity.kv_cache_tokens:,}",
        "-" if concurrency is None else f"{concurrency:.2f}",
        f"{capacity.max_model_len_that_fits:,}",
        str(plan.reason),
    ]


def _memory(memory: Memory, count: int) -> list[str]:
    parts = [
        ("#", "weights", memory.weights),
        ("=", "activations", memory.activation),
        ("%", "CUDA graphs", memory.graphs),
        ("+", "other", memory.other),
        (".", "KV cache", memory.kv_cache),
        (" ", "kept free", max(0, memory.total - memory.used)),
    ]
    whole = max(memory.total, memory.used)
    ends, so_far = [], 0
    for _, _, size in parts:
        so_far += size
        ends.append(round(_BAR * so_far / whole))
    starts = [0, *ends]
    bar = "".join(mark * (end - start) for (mark, _, _), start, end in zip(parts, starts, ends, strict=False))
    each = "memory of each GPU" if count > 1 else "memory of the GPU"
    lines = [f"  [{bar}]", f"      {each:<20}{memory.total / GIB:9.2f} GiB  100.0 %"]
    lines += [
        f"    {mark} {name:<20}{size / GIB:9.2f} GiB  {100 * size / memory.total:5.1f} %" for mark, name, size in parts
    ]
    if memory.left < 0:
        lines.append(f"      {'missing':<20}{-memory.left / GIB:9.2f} GiB")
    return lines


def _serving(capacity: Capacity) -> list[str]:
    if capacity.max_concurrency is None:
        return [f"  context of one request      {capacity.max_model_len:>12,} tokens (the model keeps no KV cache)"]
    longest = capacity.max_model_len_that_fits
    return [
        f"  KV cache                    {capacity.kv_cache_tokens:>12,} tokens",
        f"  context of one request      {capacity.max_model_len:>12,} tokens; {capacity.max_concurrency:.2f} at once",
        f"  longest context that fits   {longest:>12,} tokens",
    ]


def _speed(speed: Speed | None) -> list[str]:
    """What it serves, to two digits, where anything is known of that."""
    if speed is None:
        return []
    together = f"{rounded(speed.many):,} of {speed.requests:,} at once" if speed.requests > 1 else "one at a time"
    return [
        f"  answers                     {rounded(speed.one):>12,} tokens/s of one request, {together}",
        f"  prompts                     {rounded(speed.prefill):>12,} tokens/s; "
        f"first token of {speed.context:,} after {rounded(speed.first_token):g} s",
    ]


def _listed(other: Alternative) -> list[str]:
    """Two lines or more: on which GPUs and what to write, what it serves and loses."""
    capacity, count = other.plan.capacity, other.plan.gpus_per_replica
    assert capacity, "an alternative fits, so it has been laid out"
    losses = ", ".join(name for loss, name in _LOSSES.items() if loss & other.loss) or "nothing"
    serves = f"{capacity.max_model_len:,} tokens"
    if capacity.max_concurrency is not None:
        serves += f", {capacity.max_concurrency:.2f} at once"
    first = f"{count} x {other.plan.gpu.name}".ljust(_GPU_COLUMNS)
    indent = " " * (len(first) + 2)
    changes = wrap(other.change, COLUMNS - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"  {first}{changes[0]}", *(f"{indent}{line}" for line in [*changes[1:], f"{serves}; loses {losses}"])]


def _columns(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _wrapped(text: str) -> list[str]:
    return wrap(text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)

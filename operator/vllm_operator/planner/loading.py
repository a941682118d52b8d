"""What loading leaves in torch's memory beside the weights, where they are quantized while they are loaded.

vLLM loads with `max_split_size_mb` 20 (v1/worker/gpu_worker.py): torch never divides a block above that. So the block
that a matrix leaves when it has been made smaller is given whole to the next that is at most 20 MiB smaller than it.
"""

from collections.abc import Sequence

from .accelerators import MIB
from .quantization import DTYPE_BYTES, Scheme
from .shapes import Layer, Model
from .weights import LARGE_STEP, LARGE_TENSOR, Ranks

UNDIVIDED = 20 * MIB
"""From this size on a block is not divided, and given away whole where at most so much of it is too much."""
SETTLED = 3
"""Layers after which each takes as much as the one before."""


def left_over(model: Model, scheme: Scheme, ranks: Ranks, layers: range) -> int:
    """Bytes that the layers of one rank hold beyond what torch's steps make of their quantized matrices."""
    if model.quantization or not scheme.method:
        return 0
    kept: list[int] = []
    free: list[int] = []
    for index in layers[:SETTLED]:
        before = sum(kept)
        for wide, narrow in _matrices(model.layers[index], scheme, ranks, DTYPE_BYTES[model.dtype]):
            whole = _take(free, wide)
            kept.append(_take(free, narrow) - _stepped(narrow))
            free.append(whole)
        last = sum(kept) - before
    return sum(kept) + last * max(0, len(layers) - SETTLED)


def _take(free: list[int], size: int) -> int:
    """The block that torch gives for a tensor: the smallest free one that is not far too large, or a new one."""
    wanted = _stepped(size)
    fitting = [block for block in free if wanted <= block < wanted + UNDIVIDED] if wanted >= UNDIVIDED else []
    if not fitting:
        return wanted
    block = min(fitting)
    free.remove(block)
    return block


def _stepped(size: int) -> int:
    return -(-size // LARGE_STEP) * LARGE_STEP if size >= LARGE_TENSOR else size


def _matrices(layer: Layer, scheme: Scheme, ranks: Ranks, size: int) -> Sequence[tuple[int, int]]:
    """Bytes of each matrix that vLLM keeps as one, before and after, in the order of loading."""
    fused: dict[str, int] = {}
    for linear in layer.linears:
        if linear.quantizable and not scheme.experts_only:
            name = linear.name.rsplit(".", 1)[-1]
            kept = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "up", "up_proj": "up"}.get(name)
            weights = linear.rank_rows(ranks.tensor) * linear.rank_columns(ranks.tensor)
            fused[kept or linear.name] = fused.get(kept or linear.name, 0) + weights
    matrices = list(fused.values())
    if (experts := layer.experts) and not scheme.linears_only:
        count = -(-experts.count // (ranks.tensor if ranks.experts else 1))
        width = experts.intermediate // (1 if ranks.experts else ranks.tensor)
        one = count * width * experts.hidden
        matrices += [one * (experts.matrices - 1), one]
    return [(size * weights, int(weights * scheme.bits / 8)) for weights in matrices]

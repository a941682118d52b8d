"""What loading leaves in torch's memory beside the weights, where they are quantized while they are loaded.

vLLM loads with `max_split_size_mb` 20 (v1/worker/gpu_worker.py): torch never divides a block above that. So the block
that a matrix leaves when it has been made smaller is given whole to the next that is at most 20 MiB smaller than it.
"""

from collections.abc import Sequence

from .accelerators import MIB
from .quantization import DTYPE_BYTES, Scheme
from .shapes import Layer, ModelShape
from .tiles import UNPADDED
from .torch_memory import TorchMemory
from .weights import LARGE_STEP, LARGE_TENSOR, Ranks, rank_experts

UNDIVIDED = 20 * MIB
SETTLED = 3
"""Layers after which each takes as much as the one before."""


def left_over(model: ModelShape, scheme: Scheme, ranks: Ranks, layers: range) -> int:
    """Bytes that the layers of one rank hold beyond what torch's steps make of their quantized matrices."""
    if model.quantization or not scheme.method:
        return 0
    memory = TorchMemory(UNDIVIDED)
    total = last = 0
    for index in layers[:SETTLED]:
        last = 0
        for wide, narrow in _matrices(model.layers[index], scheme, ranks, DTYPE_BYTES[model.dtype]):
            before, after = memory.take(wide), memory.take(narrow)
            memory.give(before)
            last += after.size - _stepped(narrow) if after else 0
        total += last
    return total + last * max(0, len(layers) - SETTLED)


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
        count, hidden, width = rank_experts(experts, scheme, ranks, UNPADDED)
        one = count * width * hidden
        matrices += [one * (experts.matrices - 1), one]
    return [(size * weights, int(weights * scheme.bits / 8)) for weights in matrices]

"""What LoRA adapters take of a GPU: room for as many as it holds at once, beside every matrix that they might change.

Source: vLLM 0.32, lora/model_manager.py (`_create_lora_modules`) and lora/layers: beside a matrix two narrow ones of
the largest rank, for its inputs and for its outputs; beside experts the same for each. Held against bytes that vLLM
sets aside (tests/planner/architectures.json).
"""

from .activations import Pass
from .shapes import Experts, Linear, Split
from .tiles import MARLIN_TILES, Tiles
from .weights import rank_experts

PACKED_EXPERTS = frozenset({
    "GptOssForCausalLM", "InternS1ProForConditionalGeneration", "InternS2PreviewForConditionalGeneration",
    "Qwen3OmniMoeForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration",
})  # fmt: skip
"""Architectures whose adapters have an expert's gate and up as one (model_executor/models, `is_3d_moe_weight`)."""


def adapter_bytes(whole: Pass) -> int:
    """Bytes on one rank: beside the matrices and the experts of its layers, the embedding and the output head."""
    model, lora = whole.model, whole.engine.lora
    if lora is None:
        return 0
    widths = (whole.first + whole.last) * (model.vocabulary + model.hidden)
    for layer, count in whole.layers:
        widths += count * sum(_width(whole, linear) for linear in layer.linears)
        widths += count * _experts_width(whole, layer.experts) if layer.experts else 0
    return lora.slots * lora.rank * widths * whole.size


def _width(whole: Pass, linear: Linear) -> int:
    """Inputs and outputs of a matrix on one rank: what is not split is whole on each, unless adapters are sharded."""
    split = whole.engine.ranks.tensor
    rows, columns, shards = linear.rank_rows(split), linear.rank_columns(split), _shards(whole, split)
    if linear.split is Split.ROWS:
        return rows + columns // shards
    return rows // shards + columns if linear.split is Split.COLUMNS else rows + columns


def _experts_width(whole: Pass, experts: Experts) -> int:
    """The same of all experts on one rank (lora/layers/fused_moe.py)."""
    ranks = whole.engine.ranks
    count, hidden, inner = rank_experts(experts, whole.scheme, ranks, Tiles(mxfp4=MARLIN_TILES))
    across = hidden // _shards(whole, 1 if ranks.experts else ranks.sharing_experts)
    wide = experts.matrices - 1
    into = 1 if whole.model.architecture in PACKED_EXPERTS else wide
    return count * (into * across + wide * inner + inner + across)


def _shards(whole: Pass, split: int) -> int:
    """Ranks that share out what each would have whole otherwise."""
    return split if whole.engine.lora and whole.engine.lora.sharded else 1

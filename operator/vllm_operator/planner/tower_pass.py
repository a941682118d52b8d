"""The pass through a vision tower with which vLLM begins to measure how much memory is left for the KV cache.

It sends the largest image or video that a request may have through the tower, as many of them as a batch takes, and
keeps what comes of it while the text's pass is measured. Source: vLLM 0.32, multimodal/encoder_budget.py and
v1/worker/gpu/mm/encoder_runner.py.
"""

from dataclasses import dataclass

from .effective import EngineSettings
from .quantization import DTYPE_BYTES
from .shapes import ModelShape, Seen, Sight


@dataclass(frozen=True, slots=True)
class Look:
    """What vLLM sends through the tower to measure: so many items, each of so many patches."""

    items: int
    patches: int


def look(sight: Sight, engine: EngineSettings) -> Look:
    """The largest item that a sequence may have, as often as a batch takes it; smaller where the user bounds sizes."""

    def steps(item: Seen) -> int:
        return max(1, min(item.steps, engine.max_model_len // max(1, item.tokens)))

    item = max(sight.items, key=lambda one: (one.tokens * steps(one), one.kind))
    tokens = max(1, item.tokens * steps(item))
    in_one = engine.max_model_len // tokens
    in_one = max(1, in_one if item.most is None else min(item.most, in_one))
    count = max(1, min(max(engine.max_num_batched_tokens, tokens) // tokens, engine.max_num_seqs * in_one))
    return Look(count, min(steps(item), item.sent or steps(item)) * item.patches)


def tower_bytes(model: ModelShape, engine: EngineSettings) -> int:
    """The peak of the pass on a rank of the first stage: a layer's attention or its MLP, and the pixels."""
    sight = model.sight
    if sight is None or not sight.items:
        return 0
    split = engine.ranks.tensor if sight.split else 1
    sent = look(sight, engine)
    # Ranks that have the whole of the tower share out items, and none of them is divided (models/vision.py).
    patches = sent.patches * (sent.items if sight.split else -(-sent.items // engine.ranks.tensor))
    size = DTYPE_BYTES[engine.dtype]
    fused = sight.in_place if engine.eager else 0  # compiled engines normalize by what inductor would fuse
    feed = (sight.widths - fused) * sight.width + sight.inners * sight.inner // split
    mixer = (2 * sight.width + sight.attention * sight.width // split) if sight.attention else 0
    summed = sight.width if split > 1 else 0
    outputs = sight.deeper * model.hidden // sight.merged
    return patches * (size * (max(feed, mixer) + summed + sight.rest + outputs) + sight.pixel_bytes)


def seen_bytes(model: ModelShape, engine: EngineSettings) -> int:
    """What the tower made, which is kept while the text's pass is measured."""
    sight = model.sight
    if sight is None or not sight.items:
        return 0
    sent = look(sight, engine)
    tokens = sent.items * sent.patches // sight.merged
    return tokens * model.hidden * (1 + sight.deeper) * DTYPE_BYTES[engine.dtype]


def deeper_bytes(model: ModelShape, engine: EngineSettings) -> int:
    """Room for what inner layers of the tower add to the text's, for each token of a batch (models/qwen3_vl.py)."""
    deeper = model.sight.deeper if model.sight else 0
    return deeper * engine.max_num_batched_tokens * model.hidden * DTYPE_BYTES[engine.dtype]

"""DeepSeek V4: compressed attention, streams that are mixed between layers, and a KV cache of five kinds of page.

Source: vLLM 0.32, models/deepseek_v4 and v1/attention/backends/mla/sparse_swa.py.
"""

from .config import Config
from .shapes import Cached, Experts, Layer, LayerCache, Linear, Split
from .values import ModelConfigError

ALIGNMENT = 576
"""Bytes that a page is a multiple of."""
TOKEN_BYTES = 584
"""Of a latent vector: fp8 values, bfloat16 positions, scales."""
INDEX_SCALE_BYTES = 4
WINDOW_BLOCK, BLOCK = 64, 256
"""Tokens of a block: of the sliding window, and of what is compressed."""
FINE = 4
"""Tokens to one compressed vector where the layer has an indexer as well, and overlaps its groups."""
HASHED = 3


def layer(config: Config, index: int) -> Layer:
    """One layer."""
    ratio, hidden = _ratio(config, index), config.hidden
    attention = _attention(config)
    linears, experts, float32 = _experts(config, index)
    streams = config.integer("hc_mult", 4)
    mixed = (2 + streams) * streams
    float32 += 2 * (mixed * streams * hidden + mixed + 3)
    elements = config.integer("q_lora_rank") + config.integer("head_dim") + 2 * hidden
    caches = [LayerCache(Cached.SLIDING, 1, 0, config.integer("sliding_window", 128), block=WINDOW_BLOCK,
                    page_bytes=_page(WINDOW_BLOCK * TOKEN_BYTES))]  # fmt: skip
    if ratio:
        more, caches_of, extra = _compressed(config, ratio)
        linears, elements, float32 = linears + more, elements + extra[0], float32 + extra[1]
        caches += caches_of
    return Layer(attention + linears, caches[0], experts, elements, config.heads, float32, 0, tuple(caches[1:]))


def _ratio(config: Config, index: int) -> int:
    """Tokens to one compressed vector; 0 where a layer sees only its window."""
    listed = config.get("compress_ratios")
    if not isinstance(listed, list) or index >= len(listed):
        raise ModelConfigError("the model config's compress_ratios is shorter than its layers")
    return config.element("compress_ratios", index)


def _attention(config: Config) -> tuple[Linear, ...]:
    rank, size, hidden, heads = config.integer("q_lora_rank"), config.integer("head_dim"), config.hidden, config.heads
    groups, inner = config.integer("o_groups", 1), config.integer("o_lora_rank")
    return (
        Linear("attn.fused_wqa_wkv", rank + size, hidden),
        Linear("attn.wq_b", heads * size, rank, Split.ROWS),
        Linear("attn.wo_a", groups * inner, heads * size // max(1, groups), Split.ROWS),
        Linear("attn.wo_b", hidden, groups * inner, Split.COLUMNS),
    )


def _experts(config: Config, index: int) -> tuple[tuple[Linear, ...], Experts, int]:
    """Router, shared expert and routed ones; the first layers choose by a table of tokens."""
    count, width, hidden = (
        config.integer("n_routed_experts", kind="experts"),
        config.integer("moe_intermediate_size"),
        config.hidden,
    )
    per_token = config.integer("num_experts_per_tok", 6, "experts")
    shared = width * config.integer("n_shared_experts", 1, "experts")
    linears = (
        Linear("ffn.gate", count, hidden, quantizable=False),
        Linear("ffn.shared_experts.gate_proj", shared, hidden, Split.ROWS),
        Linear("ffn.shared_experts.up_proj", shared, hidden, Split.ROWS),
        Linear("ffn.shared_experts.down_proj", hidden, shared, Split.COLUMNS),
    )
    hashed = index < config.integer("num_hash_layers", HASHED)
    table = config.integer("vocab_size") * per_token if hashed else count
    return linears, Experts("ffn.experts", count, per_token, hidden, width), table


def _compressed(config: Config, ratio: int) -> tuple[tuple[Linear, ...], list[LayerCache], tuple[int, int]]:
    """What makes compressed vectors, and keeps them and those under way; with its elements, and those in float32."""
    hidden, size, overlap = config.hidden, config.integer("head_dim"), 2 if ratio == FINE else 1
    linears = [Linear("attn.compressor", 2 * overlap * size, hidden, quantizable=False)]
    caches = [
        LayerCache(Cached.LATENT, block=BLOCK, page_bytes=_page(BLOCK // max(1, ratio) * TOKEN_BYTES)),
        _under_way(size, ratio, overlap),
    ]
    elements, float32 = size, ratio * overlap * size
    if ratio == FINE:
        heads, own = config.integer("index_n_heads", 64), config.integer("index_head_dim", 128)
        linears += [
            Linear("attn.indexer.wq_b", heads * own, config.integer("q_lora_rank")),
            Linear("attn.indexer.weights_proj", heads, hidden, quantizable=False),
            Linear("attn.indexer.compressor", 2 * overlap * own, hidden, quantizable=False),
        ]
        caches += [
            LayerCache(Cached.INDEX, block=BLOCK, page_bytes=_page(BLOCK // ratio * (own + INDEX_SCALE_BYTES))),
            _under_way(own, ratio, overlap),
        ]
        elements, float32 = elements + own, float32 + ratio * overlap * own
    return tuple(linears), caches, (elements, float32)


def _under_way(size: int, ratio: int, overlap: int) -> LayerCache:
    """Values and gates in float32 of tokens that are not compressed yet."""
    block = 4 if ratio == FINE else 8
    return LayerCache(
        Cached.SLIDING, 1, 0, ratio * overlap, block=block, page_bytes=_page(block * 2 * overlap * size * 4)
    )


def _page(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT

"""The matrices of one layer's attention, and what it caches: multi-head and latent (MLA), with what single
architectures change in some of their layers.

Source: vLLM 0.32, model_executor/models and models/.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .config import Config
from .families import Attention
from .feeds import biased, first_of
from .kinds import CHUNKED, SLIDING, kind, window
from .shapes import Cached, Layer, LayerCache, Linear, Split

INDEXER_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Heads of one layer and their widths."""

    heads: int
    kv_heads: int
    size: int
    value: int
    kind: str
    window: int = 0
    cached: bool = True
    """Whether keys and values are its own: some layers read those of an earlier one."""
    index: int = 0
    """Width of an index that is kept besides (MiniMax M3)."""
    index_heads: int = 0


def attend(config: Config, row: Attention, index: int) -> Layer:
    """The attention of one layer."""
    if config.latent:
        return _latent(config, row, index)
    shape = _shape(config, row, index)
    into, out = biased(config, row.qkv_bias), biased(config, row.output_bias)
    hidden, prefix = config.hidden, f"{row.name}." if row.name else ""
    queries, keys, values = shape.heads * shape.size, shape.kv_heads * shape.size, shape.kv_heads * shape.value
    wide = queries * (2 if row.gate == "heads" else 1) + shape.index * shape.index_heads
    own = (
        Linear(f"{prefix}k_proj", keys, hidden, Split.ROWS, shape.kv_heads, bias=into),
        Linear(f"{prefix}v_proj", values, hidden, Split.ROWS, shape.kv_heads, bias=into),
    )
    linears = [
        Linear(f"{prefix}q_proj", wide, hidden, Split.ROWS, bias=into),
        *(own if shape.cached else ()),
        Linear(f"{prefix}o_proj", hidden, shape.heads * shape.value, Split.COLUMNS, bias=out),
    ]
    if shape.index:
        linears.append(Linear(f"{prefix}index_k_proj", shape.index, hidden))
    if row.gate in {"wide", "each"}:
        gates = queries if row.gate == "wide" else shape.heads
        linears.append(Linear(f"{prefix}gate_proj", gates, hidden, Split.ROWS))
    elements = 2 * shape.size if biased(config, row.head_norms) else 0
    split = queries + keys if row.wide_norms else 0
    split += shape.heads if row.sinks == "all" or (row.sinks == "sliding" and shape.kind == SLIDING) else 0
    if shape.index:
        elements += 2 * shape.index
    return Layer(tuple(linears), _cache(shape), None, elements, split, more=_index_cache(shape))


def _cache(shape: Shape) -> LayerCache | None:
    if not shape.cached:
        return None
    kinds = {SLIDING: Cached.SLIDING, CHUNKED: Cached.CHUNKED}
    return LayerCache(kinds.get(shape.kind, Cached.FULL), shape.kv_heads, shape.size + shape.value, shape.window)


def _index_cache(shape: Shape) -> tuple[LayerCache, ...]:
    return (LayerCache(Cached.INDEX, 1, shape.index),) if shape.index and shape.cached else ()


def _shape(config: Config, row: Attention, index: int) -> Shape:
    size = config.head_size
    found = kind(config, index)
    span = config.integer("attention_chunk_size", 0, "sliding_window") if found == CHUNKED else window(config)
    shape = Shape(config.heads, config.kv_heads, size, size, found, span if found in {SLIDING, CHUNKED} else 0)
    return _SHAPES[row.shape](config, shape, index) if row.shape else shape


def _gemma4(config: Config, shape: Shape, index: int) -> Shape:
    """Full layers have heads of another size; the last layers read the cache of earlier ones."""
    own = index < config.layers - config.integer("num_kv_shared_layers", 0)
    if shape.kind == SLIDING:
        return replace(shape, cached=own)
    size = config.integer("global_head_dim", 512)
    heads = config.kv_heads
    if config.flag("attention_k_eq_v"):
        heads = config.integer("num_global_key_value_heads", heads, "num_key_value_heads")
    return replace(shape, size=size, value=size, kv_heads=heads, cached=own)


def _gemma3n(config: Config, shape: Shape, index: int) -> Shape:
    return replace(shape, cached=index < config.layers - config.integer("num_kv_shared_layers", 15))


def _mimo_v2(config: Config, shape: Shape, index: int) -> Shape:
    if shape.kind != SLIDING:
        return replace(shape, value=config.integer("v_head_dim", shape.size))
    return replace(
        shape,
        heads=config.integer("swa_num_attention_heads", shape.heads, "num_attention_heads"),
        kv_heads=config.integer("swa_num_key_value_heads", shape.kv_heads, "num_key_value_heads"),
        size=config.integer("swa_head_dim", shape.size, "head_dim"),
        value=config.integer("swa_v_head_dim", config.integer("v_head_dim", shape.size)),
    )


def _minimax_m3(config: Config, shape: Shape, index: int) -> Shape:
    sparse = config.part("sparse_attention_config")
    chosen = sparse.get("sparse_attention_freq")
    if not sparse.get("use_sparse_attention") or (
        isinstance(chosen, list) and not (index < len(chosen) and chosen[index])
    ):
        return shape
    return replace(
        shape, index=sparse.integer("sparse_index_dim", 128), index_heads=sparse.integer("sparse_num_index_heads", 4)
    )


def _multi_query(config: Config, shape: Shape, index: int) -> Shape:
    return replace(shape, kv_heads=1) if config.flag("multi_query", default=True) else shape


def _falcon(config: Config, shape: Shape, index: int) -> Shape:
    """Falcon 7B has one head of keys and values, the newer ones say how many."""
    if config.flag("new_decoder_architecture"):
        return shape
    heads = 1 if config.flag("multi_query", default=True) else config.heads
    return replace(shape, kv_heads=heads)


_SHAPES: dict[str, Callable[[Config, Shape, int], Shape]] = {
    "gemma4": _gemma4, "gemma3n": _gemma3n, "mimo_v2": _mimo_v2, "minimax_m3": _minimax_m3,
    "multi_query": _multi_query, "falcon": _falcon,
}  # fmt: skip


def _latent(config: Config, row: Attention, index: int) -> Layer:
    """DeepSeek's: a compressed vector for all heads, which every rank computes, and its expansions, which are split."""
    latent, rope = config.integer("kv_lora_rank"), config.integer("qk_rope_head_dim")
    rank = config.integer("q_lora_rank", 0)
    cache = LayerCache(Cached.LATENT, 1, latent + rope)
    linears, elements = latent_linears(config), latent + rank
    if config.flag("mla_use_output_gate"):
        linears += (Linear("self_attn.g_proj", config.heads * config.integer("v_head_dim"), config.hidden, Split.ROWS),)
    if not row.indexer or not _indexes(config, index):
        return Layer(linears, cache, None, elements)
    size, heads = config.integer("index_head_dim", 128), config.integer("index_n_heads", 64)
    linears += (
        Linear("self_attn.indexer.wq_b", heads * size, rank),
        Linear("self_attn.indexer.wk_weights_proj", size + heads, config.hidden, quantizable=False),
    )
    keys = LayerCache(Cached.INDEX, 1, 0, token_bytes=size + INDEXER_SCALE_BYTES)
    return Layer(linears, cache, None, elements, float32_elements=2 * size, more=(keys,))


def latent_linears(config: Config) -> tuple[Linear, ...]:
    """The matrices of latent attention."""
    latent, rope, nope = (config.integer(key) for key in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"))
    value, heads, hidden = config.integer("v_head_dim"), config.heads, config.hidden
    query = heads * (nope + rope)
    if rank := config.integer("q_lora_rank", 0):
        queries: tuple[Linear, ...] = (
            Linear("self_attn.q_a_proj", rank, hidden),
            Linear("self_attn.q_b_proj", query, rank, Split.ROWS),
        )
    else:
        queries = (Linear("self_attn.q_proj", query, hidden, Split.ROWS),)
    return (
        *queries,
        Linear("self_attn.kv_a_proj_with_mqa", latent + rope, hidden),
        Linear("self_attn.kv_b_proj", heads * (nope + value), latent, Split.ROWS),
        Linear("self_attn.o_proj", hidden, heads * value, Split.COLUMNS),
    )


def expanded(config: Config, row: Attention, index: int) -> Layer:
    """Latent matrices, whose expansions are cached like those of any other model (MiniCPM 3)."""
    size = config.integer("qk_nope_head_dim") + config.integer("qk_rope_head_dim")
    shape = Shape(config.heads, config.heads, size, size, kind(config, index))
    elements = first_of(config, ("kv_lora_rank",)) + config.integer("q_lora_rank", 0)
    return Layer(latent_linears(config), _cache(shape), None, elements)


def _indexes(config: Config, index: int) -> bool:
    """Whether a layer chooses tokens itself; the others use the choice of an earlier one."""
    kinds = config.get("indexer_types")
    if isinstance(kinds, list) and kinds:
        return index < len(kinds) and kinds[index] == "full"
    step, first = config.integer("index_topk_freq", 1), config.integer("index_skip_topk_offset", 0)
    return step <= 1 or index < first or (index - first + 1) % step == 0

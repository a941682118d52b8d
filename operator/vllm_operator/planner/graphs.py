"""What vLLM keeps back from the KV cache for its CUDA graphs: its own estimate, from a trial capture.

The estimate is what counts here, not what the graphs really take. The first model runner has one
(v1/worker/gpu_model_runner.py), and since 0.32 the second (v1/worker/gpu/cudagraph_utils.py); before, that one kept
nothing back.
"""

from ..api.limits import KIB
from .accelerators import MIB
from .activations import MATRIX_WORKSPACE_BYTES, Pass, fused_tokens, mlp_widths, passing_bytes, state_widths
from .effective import EngineSettings
from .shapes import Cached, Layer, ModelShape
from .torch_memory import SHARED_SEGMENT
from .trial import Order, Widths, taken

SPLITS = 32
"""Parts that flash attention divides a sequence into, at most, in a CUDA graph; each keeps its own float32 output."""
GRAPH_BYTES_PER_LAYER = 0.18 * MIB
"""First runner: both graphs of one batch size, per layer: 0.17 for Qwen3 with 48 layers, 0.2 for gpt-oss with 24."""
LEAST_GRAPH_BYTES = MIB
"""vLLM counts at least so much for each graph that it does not capture."""
FIRST_GRAPH_BYTES = 25 * MIB
"""First runner: between 0 and 50 in nine engines of four architectures."""
WIDE_LAYER_NORMS = 4
"""Norms of a layer that has them before and after attention and MLP."""
ABSORBED = 2
"""Of MLA: queries, and what attention leaves. With compressed queries there is one more, by GLM-4.7-Flash alone: which
one is not known, and without it both the estimate and the graphs would be 640 MiB less than was measured."""
SIDE_STREAM_TOKENS = 256
"""Up to so many, shared experts run beside the routed ones (VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)."""
SIDE_PIECE_BYTES = 96 * KIB
"""What a piece's graph takes more with a second stream in it: 70 to 130 in seven engines of four architectures."""


def most_graph_tokens(engine: EngineSettings, model: ModelShape) -> int:
    """Tokens of the largest batch that a graph is captured for; 0: there are no graphs (config/vllm.py)."""
    if engine.eager or engine.most_graph_tokens == 0:
        return 0
    if engine.most_graph_tokens:
        wanted = engine.most_graph_tokens
    elif model.architecture == "GptOssForCausalLM":  # however few sequences there are (model_executor/models/config.py)
        wanted = 1024
    else:
        highest = 1024 if engine.capability[0] == 10 else 512
        wanted = min(engine.max_num_seqs * 2 * (1 + engine.speculative_tokens), highest)
    return min(wanted, engine.max_num_batched_tokens)


def graph_sizes(engine: EngineSettings, model: ModelShape) -> list[int]:
    """Batch sizes that graphs are captured for (config/vllm.py, `_set_cudagraph_sizes`)."""
    most = most_graph_tokens(engine, model)
    if engine.own_graph_sizes:  # these and no others
        return [size for size in engine.own_graph_sizes if size <= most]
    sizes = {1, 2, 4, *range(8, 256, 8), *range(256, most + 1, 16)}
    if engine.release.free_memory_counts:
        sizes |= {engine.max_num_seqs, engine.max_num_batched_tokens}
    return sorted(size for size in sizes if size <= most)


def graph_bytes(whole: Pass) -> int:
    """The estimate of one rank."""
    if not most_graph_tokens(whole.engine, whole.model):
        return 0
    if not whole.engine.second_runner:
        return _first_runner_bytes(whole)
    return _second_runner_bytes(whole) if whole.engine.release.free_memory_counts else 0


def _second_runner_bytes(whole: Pass) -> int:
    """The trial captures all graphs of pieces, and two whole ones, for the largest batches of one token a sequence.

    A whole one is run before it is captured, and the capture begins with giving back what that run left. So what is
    measured for the second is less than nothing, and the least is taken for all others; and what its run left, parts of
    attention above all, is never taken off: it counts beside the same in the graphs' own pool.
    """
    engine, release = whole.engine, whole.engine.release
    sizes = graph_sizes(engine, whole.model)
    full = [size for size in sizes if size <= engine.max_num_seqs] or sizes[:1]
    cases = 2 if engine.lora else 1
    pieces = cases * len(sizes) * (sum(count * _mixers(layer) for layer, count in whole.layers) + 1)
    fused = fused_tokens(whole) >= sizes[-1]
    renews = any(layer.elements >= WIDE_LAYER_NORMS * whole.model.hidden for layer, _ in whole.layers)
    order = Order(fused, renews, engine.ranks.tensor > 1 and not fused, _is_parallel(whole))
    tensors = taken(_trial(whole), order, sizes[-1], full[-1], full[-2] if len(full) > 1 else full[-1])
    rest = (cases * len(full) - 1) * LEAST_GRAPH_BYTES + MATRIX_WORKSPACE_BYTES
    side = _side_bytes(whole, cases * sum(size <= SIDE_STREAM_TOKENS for size in sizes))
    return tensors + side + rest + pieces * release.piece_bytes


def _mixers(layer: Layer) -> int:
    """How often graphs are cut into pieces in it: at attention, at a state, at each of both; none in experts alone."""
    first = layer.cache is not None or any(linear.name.endswith("q_proj") for linear in layer.linears)
    return first + sum(cache.kind is Cached.STATE for cache in layer.more)


def _is_parallel(whole: Pass) -> bool:
    """Whether attention and MLP take the same input, as Cohere's do: a layer then has one norm."""
    norms = [layer.elements for layer, _ in whole.layers if _mixers(layer)]
    gated = any(_is_gated(layer) for layer, _ in whole.layers)
    return gated and bool(norms) and max(norms) < 2 * whole.model.hidden


def _is_gated(layer: Layer) -> bool:
    return any(linear.name.endswith("gate_proj") for linear in layer.linears)


def _side_bytes(whole: Pass, graphs: int) -> int:
    """Shared experts run beside the routed ones, on a stream of their own: torch keeps a segment for it, and cuBLAS a
    workspace, in the graphs' pool and for the runs before (layers/fused_moe/runner). `graphs`: of each piece."""
    layers = sum(
        count for layer, count in whole.layers if any("shared_expert" in linear.name for linear in layer.linears)
    )
    return 2 * (SHARED_SEGMENT + MATRIX_WORKSPACE_BYTES) + layers * graphs * SIDE_PIECE_BYTES if layers else 0


def _trial(whole: Pass) -> tuple[Widths, ...]:
    """All layers of the stage: which tensor gets which block depends on all that came before."""
    each = {id(layer): _tensors(whole, layer) for layer, _ in whole.layers}
    return tuple(each[id(layer)] for layer in whole.stack)


def _tensors(whole: Pass, layer: Layer) -> Widths:
    """What one layer computes for a token, on one rank."""
    model, size, split = whole.model, whole.size, whole.engine.ranks.tensor
    dense, shared = mlp_widths(layer)
    inner = (dense + shared) // split
    narrow = whole.narrow if whole.scheme.fused_input == "fp8" else size
    rows = {linear.name.rsplit(".", 1)[-1]: linear.rank_rows(split) for linear in layer.linears}
    heads, value = max(1, model.heads // split), head_width(whole)
    latent = layer.cache is not None and layer.cache.kind is Cached.LATENT
    queries, keys = rows.get("q_proj", rows.get("q_b_proj", 0)), rows.get("k_proj", 0)
    projected, compressed = queries + 2 * keys, rows.get("q_a_proj", 0)
    compressed += rows["kv_a_proj_with_mqa"] if compressed else 0  # one matrix, with whose result the queries begin
    mixed = queries
    if latent:
        mixed = next((one.rank_columns(split) for one in layer.linears if one.name.endswith("o_proj")), queries)
    elif layer.cache is not None and layer.cache.kind is Cached.STATE:
        projected, mixed = (width // split for width in state_widths(layer))
        queries, keys = projected - mixed, mixed
    parts = parts_of_token(whole) if layer.cache and layer.cache.kind is not Cached.STATE else 0
    routed = layer.experts is not None
    passing = passing_bytes(whole) // whole.tokens if routed else 0
    return Widths(
        hidden=model.hidden * size, normed=model.hidden * narrow, projected=projected * size,
        normed_heads=_normed_heads(model, layer, queries + keys) * size, queries=queries * size,
        keys=keys * size, mixed=mixed * size, compressed=compressed * size,
        absorbed=heads * value * size if latent else 0, absorptions=(ABSORBED + ("q_a_proj" in rows)) if latent else 0,
        parts=parts, sums=parts // value if value else 0,
        narrowed=mixed * narrow if narrow < size else 0, wide=2 * inner * size if _is_gated(layer) else passing,
        inner=inner * narrow, routed=model.hidden * size if routed else 0,
    )  # fmt: skip


def _normed_heads(model: ModelShape, layer: Layer, heads: int) -> int:
    """Queries and keys where they have a norm, which shows in the layer's elements beside the norms of its input."""
    norms = WIDE_LAYER_NORMS if layer.elements >= WIDE_LAYER_NORMS * model.hidden else 2
    full = layer.cache is not None and layer.cache.kind in {Cached.FULL, Cached.SLIDING}
    return heads if full and layer.elements >= norms * model.hidden + 2 * model.head_size else 0


def head_width(whole: Pass) -> int:
    """Elements that attention computes for one head: with MLA, of the compressed vector less the position."""
    caches = [layer.cache for layer, _ in whole.layers if layer.cache]
    latent = next((cache.elements for cache in caches if cache.kind is Cached.LATENT), 0)
    return latent // 9 * 8 or whole.model.head_size


def parts_of_token(whole: Pass) -> int:
    """Bytes of attention's parts for a batch's token, where each sequence has one."""
    model, engine = whole.model, whole.engine
    kinds = {layer.cache.kind for layer, _ in whole.layers if layer.cache}
    # Only the third flash attention divides so, which is Hopper's, and not where the softmax has sinks.
    if model.pooling or model.architecture == "GptOssForCausalLM" or engine.capability[0] not in {0, 9}:
        return 0
    if kinds >= {Cached.FULL, Cached.SLIDING} and not engine.second_runner:
        return 0
    if model.images_whole and not model.text_only:  # v1/attention/backend.py, `supports_mm_prefix`
        return 0
    if Cached.LATENT in kinds and engine.kv_dtype.startswith("fp8"):  # FlashMLA
        return 0
    return SPLITS * (model.heads // engine.ranks.tensor) * head_width(whole) * 4


def _first_runner_bytes(whole: Pass) -> int:
    """Each kind of graph is captured twice: the first, and so much for each other as for the second."""
    engine, model = whole.engine, whole.model
    sizes = graph_sizes(engine, model)
    each = max(2 * LEAST_GRAPH_BYTES, GRAPH_BYTES_PER_LAYER * sum(count for _, count in whole.layers))
    first = FIRST_GRAPH_BYTES
    if model.experts and whole.scheme.method == "mxfp4":
        experts = model.experts
        first += 4 * sizes[-1] * experts.per_token * (experts.intermediate + experts.hidden) * whole.size
    parts = parts_of_token(whole) * min(sizes[-1], engine.max_num_seqs)
    return int(parts + (len(sizes) - 1) * each + first)

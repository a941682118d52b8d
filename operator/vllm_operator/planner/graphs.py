"""What vLLM keeps back from the KV cache for its CUDA graphs: its own estimate, from a trial capture.

The estimate is what counts here, not what the graphs really take. The first model runner has one
(v1/worker/gpu_model_runner.py), and since 0.32 the second (v1/worker/gpu/cudagraph_utils.py); before, that one kept
nothing back.
"""

from dataclasses import replace

from .accelerators import MIB
from .activations import MATRIX_WORKSPACE_BYTES, Pass, layer_bytes, quantized
from .engine import Engine
from .shapes import Cached, Layer, Model

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


def graph_sizes(engine: Engine, model: Model) -> list[int]:
    """Batch sizes that graphs are captured for (config/vllm.py, `_set_cudagraph_sizes`)."""
    # gpt-oss asks for larger batches (model_executor/models/config.py).
    highest = 1024 if engine.capability[0] == 10 or model.architecture == "GptOssForCausalLM" else 512
    wanted = engine.most_graph_tokens or min(engine.max_num_seqs * 2 * (1 + engine.speculative_tokens), highest)
    most = min(wanted, engine.max_num_batched_tokens)
    sizes = {1, 2, 4, *range(8, 256, 8), *range(256, most + 1, 16)}
    if engine.release.free_memory_counts:
        sizes |= {engine.max_num_seqs, engine.max_num_batched_tokens}
    return sorted(size for size in sizes if size <= most)


def graph_bytes(whole: Pass) -> int:
    """The estimate of one rank."""
    if whole.engine.eager:
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
    pieces = sum(count * _units(whole, layer) for layer, count in whole.layers) + 1
    pool, run = _batch_bytes(whole, sizes[-1]), _batch_bytes(whole, full[-1])
    parts = _parts_bytes(whole, full[-1]) + _parts_bytes(whole, full[-2] if len(full) > 1 else full[-1])
    rest = (cases * len(full) - 1) * LEAST_GRAPH_BYTES + (0 if quantized(whole) else MATRIX_WORKSPACE_BYTES)
    first = release.first_graph_bytes
    return pool + run + parts + rest + first + cases * len(sizes) * pieces * release.piece_bytes


def _batch_bytes(whole: Pass, tokens: int) -> int:
    """The widest layer with a batch of so many tokens."""
    small = replace(whole, engine=replace(whole.engine, max_num_batched_tokens=tokens, eager=True))
    return max(layer_bytes(small, layer, 0) for layer, _ in whole.layers)


def _units(whole: Pass, layer: Layer) -> int:
    """Units of memory that the graph of a layer's piece takes: one for the eight or nine kernels of a dense layer, and
    one more for each thing that adds as many."""
    state = layer.cache is not None and layer.cache.kind is Cached.STATE
    norms = layer.elements >= WIDE_LAYER_NORMS * whole.model.hidden
    narrowed = whole.scheme.fused_input == "fp8" and not whole.model.quantization
    return 1 + sum((layer.experts is not None, state, norms, narrowed))


def _parts_bytes(whole: Pass, sequences: int) -> int:
    """Attention's parts for a batch of one token a sequence."""
    model = whole.model
    caches = [layer.cache for layer, _ in whole.layers if layer.cache]
    kinds = {cache.kind for cache in caches}
    # Flash attention does not divide where the softmax has sinks.
    if model.pooling or model.architecture == "GptOssForCausalLM":
        return 0
    latent = next((cache.elements for cache in caches if cache.kind is Cached.LATENT), 0)
    # The cached vector is a compressed one and, an eighth of it, the position.
    value = latent // 9 * 8 or model.head_size
    splits = 0 if kinds >= {Cached.FULL, Cached.SLIDING} and not whole.engine.second_runner else SPLITS
    return splits * sequences * (model.heads // whole.engine.ranks.tensor) * value * 4


def _first_runner_bytes(whole: Pass) -> int:
    """Each kind of graph is captured twice: the first, and so much for each other as for the second."""
    engine, model = whole.engine, whole.model
    sizes = graph_sizes(engine, model)
    each = max(2 * LEAST_GRAPH_BYTES, GRAPH_BYTES_PER_LAYER * sum(count for _, count in whole.layers))
    first = FIRST_GRAPH_BYTES
    if model.experts and whole.scheme.method == "mxfp4":
        experts = model.experts
        first += 4 * sizes[-1] * experts.per_token * (experts.intermediate + experts.hidden) * whole.size
    parts = _parts_bytes(whole, min(sizes[-1], engine.max_num_seqs))
    return int(parts + (len(sizes) - 1) * each + first)

"""The highest that a pass over a full batch takes of a GPU: the widest layer, the sampler, what a first start compiles.

Each term is what was alive at that peak on real GPUs (tests/planner/calibration.json); the peak of a first start
counts, where kernels are tuned while the model runs.
"""

from collections import Counter
from dataclasses import dataclass

from .accelerators import MIB
from .effective import EngineSettings
from .quantization import DTYPE_BYTES, Scheme
from .shapes import Cached, Layer, Linear, ModelShape
from .weights import VOCABULARY_PADDING

MATRIX_WORKSPACE_BYTES = 32 * MIB
"""cuBLAS's workspace on Hopper."""
TUNING_BUFFER_BYTES = 60 * MIB
"""As large as the L2 cache: emptied between runs while inductor tunes a kernel, with the kernel's arguments alive."""
SAMPLER_REST_BYTES = 3 * MIB // 2
FUSED_BYTES = {
    (9, 0): {2: 64 * MIB, 4: 2 * MIB, 8: MIB // 2},
    (10, 0): {2: 64 * MIB, 4: 32 * MIB, 8: MIB},
    (10, 3): {2: 64 * MIB, 4: 64 * MIB, 8: 4 * MIB},
}
"""Bytes of the largest batch that is summed over ranks and normalized at once, by capability and tensor parallel size
(passes/fusion/allreduce_rms_fusion.py)."""
PROCESSORS = 132
"""Multiprocessors of an H100 or H200: the sampler's top-k kernel has a row of the vocabulary for each."""
STATE_INPUTS = frozenset({"in_proj", "in_proj_qkvz", "in_proj_qkv", "in_proj_z"})
STATE_CHUNK = 64
"""Tokens that the gated delta rule takes at once."""
PREFILL_TOKENS = 64 * 1024
"""Tokens whose expanded keys and values MLA sets aside (layers/attention/mla_attention.py)."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over a full batch on one rank. Sizes are bytes of one tensor over all its tokens."""

    model: ModelShape
    engine: EngineSettings
    scheme: Scheme
    layers: tuple[tuple[Layer, int], ...]
    """The layers of this rank's stage that differ, and how many there are of each."""
    stack: tuple[Layer, ...]
    """All layers of the stage, in their order."""
    first: bool
    """Whether this rank is of the first stage of the pipeline, which has the embedding."""
    last: bool
    """Whether it is of the last stage, which samples."""

    @classmethod
    def of(cls, model: ModelShape, engine: EngineSettings, scheme: Scheme, stage: int) -> "Pass":
        """The pass of a rank of a pipeline stage."""
        own = [model.layers[index] for index in engine.ranks.stages(len(model.layers))[stage]]
        # By identity: equal layers mostly are one object, and comparing them takes long.
        counts = Counter(map(id, own))
        alike = tuple((layer, counts[key]) for key, layer in {id(layer): layer for layer in own}.items())
        return cls(model, engine, scheme, alike, tuple(own), stage == 0, stage == engine.ranks.pipeline - 1)

    @property
    def size(self) -> int:
        return DTYPE_BYTES[self.engine.dtype]

    @property
    def tokens(self) -> int:
        return self.engine.max_num_batched_tokens

    @property
    def sequences(self) -> int:
        return min(self.tokens, self.engine.max_num_seqs)

    @property
    def hidden(self) -> int:
        return self.tokens * self.model.hidden * self.size

    @property
    def vocabulary(self) -> int:
        """Logits of all sequences, gathered on every rank."""
        return self.sequences * self.model.vocabulary

    @property
    def narrow(self) -> int:
        """Bytes of one element of the input of a quantized matrix: fp8 and int8 are fused into the kernel before it."""
        return 1 if self.scheme.fused_input == "fp8" else self.size + (self.scheme.fused_input == "int8")


def activation_bytes(whole: Pass) -> int:
    """The highest of: the widest layer, the sampler, and what a first start compiles with."""
    engine = whole.engine
    workspace = experts_bytes(whole)
    sparse = sum(count for layer, count in whole.layers if layer.experts)
    # In the attention of the first layer with experts, their workspace is not there yet.
    earlier = workspace if sparse > 1 else 0
    forward = max(
        max(
            _layer_bytes(whole, layer, workspace), _mixer_bytes(whole, layer, earlier),
            earlier + _piece_bytes(whole, layer),
        ) for layer, _ in whole.layers
    )  # fmt: skip
    matrices = 0 if quantized(whole) and engine.second_runner else MATRIX_WORKSPACE_BYTES
    peaks = [forward + matrices]
    if whole.last and not whole.model.pooling:
        peaks.append(workspace + _sampler_bytes(whole) + matrices)
    if whole.first and not engine.eager:
        peaks.append(_embedding_bytes(whole))
    return max(peaks)


def quantized(whole: Pass) -> bool:
    """Whether cuBLAS's workspace is taken before the pass: weights are repacked, or the cache has scales."""
    cache = whole.engine.kv_dtype.startswith("fp8") and not whole.engine.release.free_memory_counts
    return bool(whole.scheme.method and not whole.scheme.experts_only) or cache


def _embedding_bytes(whole: Pass) -> int:
    """Inductor tunes the kernel of the embedding on an example of the whole table, its output, and the norm's.

    Where batches of some size reduce and normalize in one kernel, two graphs are compiled, and the output's example is
    of the smaller one.
    """
    model, split = whole.model, whole.engine.ranks.tensor
    rows = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING // split
    fused = fused_tokens(whole)
    if 0 < fused < whole.tokens:
        return rows * model.hidden * whole.size + fused * model.hidden * whole.size
    narrow = whole.tokens * model.hidden if whole.scheme.fused_input == "fp8" else 0
    return rows * model.hidden * whole.size + 2 * whole.hidden + narrow


def _layer_bytes(whole: Pass, layer: Layer, workspace: int) -> int:
    """What is alive where a layer's MLP is widest: its inputs and outputs, and what the attention has left."""
    split, size, tokens = whole.engine.ranks.tensor, whole.size, whole.tokens
    tuning = 0 if whole.engine.eager else TUNING_BUFFER_BYTES
    queries = tokens * whole.model.heads * whole.model.head_size * size // split
    residual = 2 * whole.hidden + max(whole.hidden, queries)
    dense, shared = mlp_widths(layer)
    inner = tokens * dense // split
    if any(linear.name.endswith("gate_proj") for linear in layer.linears) or not dense:
        feed = residual + inner * 2 * size + inner * whole.narrow + (tuning if dense else 0)
    else:
        # An activation in place is tuned on a copy.
        copies = max(whole.hidden + inner * size, 0 if whole.engine.eager else tuning + 2 * inner * size)
        feed = residual + copies
    if layer.experts:
        feed = workspace + passing_bytes(whole) + residual + whole.hidden + tokens * 3 * shared * size // split
        feed += whole.hidden if shared else 0
        engines = whole.engine.ranks.data
        feed += 2 * engines * whole.hidden if engines > 1 else 0  # to and from the experts, all engines' batches
    return feed


def _piece_bytes(whole: Pass, layer: Layer) -> int:
    """The end of a compiled piece, where the next queries are there and what went into the piece still is."""
    rows = {linear.name: linear.rank_rows(whole.engine.ranks.tensor) for linear in layer.linears}
    queries, keys = rows.get("self_attn.q_proj", 0), rows.get("self_attn.k_proj", 0)
    if whole.engine.eager or not keys:
        return 0
    # Residual and attention's output, before and after; the projection; queries and keys with their positions.
    return 2 * whole.hidden + whole.tokens * whole.size * (2 * queries + (queries + 2 * keys) + queries + keys)


def mlp_widths(layer: Layer) -> tuple[int, int]:
    """Width inside the dense MLP and inside the shared experts of a layer; 0 where it has none."""

    def width(linear: Linear) -> int:
        return linear.rows if linear.name.endswith(("up_proj", "fc1", "intermediate.dense")) else 0

    shared = [width(linear) for linear in layer.linears if "shared_expert" in linear.name]
    dense = [width(linear) for linear in layer.linears if "shared_expert" not in linear.name]
    return max(dense, default=0), max(shared, default=0)


def _mixer_bytes(whole: Pass, layer: Layer, workspace: int) -> int:
    """What is alive in a layer's attention where that is more than in its MLP: MLA and states."""
    kind = layer.cache.kind if layer.cache else None
    if kind is Cached.LATENT:
        return workspace + _latent_bytes(whole, layer)
    return workspace + _state_bytes(whole, layer) if kind is Cached.STATE else 0


def _state_bytes(whole: Pass, layer: Layer) -> int:
    """A pass through a state in chunks: the projection, its convolution, three of the output's size, and the states
    between chunks (layers/fla/ops/chunk.py)."""
    assert layer.cache is not None
    split = whole.engine.ranks.tensor
    into, values = state_widths(layer)
    chunks = -(-whole.tokens // STATE_CHUNK)
    inner = whole.tokens * (into + (into - values) + 3 * values) + chunks * layer.cache.state_elements
    return inner * whole.size // split


def state_widths(layer: Layer) -> tuple[int, int]:
    """Width of what goes into a layer's state, and of what comes out."""
    names = [(linear.name.rsplit(".", 1)[-1], linear) for linear in layer.linears]
    values = next((linear.columns for name, linear in names if name in {"out_proj", "o_proj"}), 0)
    into = sum(linear.rows for name, linear in names if name in STATE_INPUTS)
    return into or 3 * values, values


def _latent_bytes(whole: Pass, layer: Layer) -> int:
    """MLA: room for the longest prefix's keys and values, the queries, the output, and the compressed vector."""
    assert layer.cache is not None
    names = [(linear.name.rsplit(".", 1)[-1], linear) for linear in layer.linears]
    rows = {name: linear.rows for name, linear in names}
    columns = {name: linear.columns for name, linear in names}
    split = whole.engine.ranks.tensor
    prefix = PREFILL_TOKENS * rows.get("kv_b_proj", 0) // split * whole.size
    here = rows.get("q_b_proj", rows.get("q_proj", 0)) + columns.get("o_proj", 0)
    return prefix + whole.hidden + whole.tokens * whole.size * (here // split + layer.cache.elements)


def experts_bytes(whole: Pass) -> int:
    """The two workspaces of the fused experts, which are kept (fused_moe/experts/triton_moe.py, marlin_moe.py)."""
    experts = whole.model.experts
    if experts is None or _passes(whole):
        return 0
    ranks = whole.engine.ranks
    width = experts.intermediate // (1 if ranks.experts else ranks.sharing_experts)
    wide = width * (experts.matrices - 1)
    rows = whole.tokens * ranks.data * experts.per_token * whole.size  # of all engines' batches
    return rows * (max(width, experts.hidden) + max(wide, experts.hidden))


def _passes(whole: Pass) -> bool:
    """Whether experts take no workspace: MXFP4's kernels, but for Marlin, which is the one that takes adapters."""
    return whole.scheme.method == "mxfp4" and whole.engine.lora is None


def passing_bytes(whole: Pass) -> int:
    """Without a workspace: what experts compute is freed after each layer."""
    experts = whole.model.experts
    if experts is None or not _passes(whole):
        return 0
    ranks = whole.engine.ranks
    width = experts.intermediate // ranks.sharing_experts
    return whole.tokens * ranks.data * experts.per_token * whole.size * (width + experts.hidden)


def fused_tokens(whole: Pass) -> int:
    """The largest batch whose sum over ranks and norm are one kernel; 0: none."""
    engine = whole.engine
    most = FUSED_BYTES.get(engine.capability, {}).get(engine.ranks.tensor, 0)
    if engine.eager or not engine.fuses_sums or not most:
        return 0
    return min(int(most) // (whole.model.hidden * whole.size), whole.tokens)


def _sampler_bytes(whole: Pass) -> int:
    """Logits and what is made of them: v1/worker/gpu/sample for the second runner, v1/sample for the first."""
    model, size = whole.model, whole.size
    chosen = whole.sequences * model.hidden * size
    if whole.engine.second_runner:
        logits = whole.vocabulary * size * (2 if model.softcap else 1)
        if whole.engine.ranks.tensor > 1:  # a rank's part, all parts one after another, and put beside each other
            logits += whole.vocabulary * size * (whole.engine.ranks.tensor + 1) // whole.engine.ranks.tensor
        return logits + whole.hidden + chosen + SAMPLER_REST_BYTES
    # Logits, probabilities and noise in float32; with a draft to reject, also its own, and each's sorted copy.
    copies = 7 if whole.engine.speculative_tokens else 3
    kernel = PROCESSORS * model.vocabulary * 4
    return whole.vocabulary * (size + 4 * copies) + kernel + whole.hidden + 2 * chosen + SAMPLER_REST_BYTES

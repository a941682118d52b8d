"""What vLLM takes of a GPU besides weights and KV cache: activations at their peak, CUDA graphs, libraries and kernels.

vLLM 0.26 (v1/worker/gpu_worker.py) subtracts the peak of a pass over a full batch, what others than torch have taken,
and, with its first model runner, an estimate of the CUDA graphs. Each term here is what was alive at that peak on real
GPUs (tests/planner/calibration.json); the peak of a first start counts, where kernels are tuned while the model runs.
"""

from dataclasses import dataclass

from .accelerators import MIB
from .engine import Engine
from .quantization import DTYPE_BYTES, Scheme
from .shapes import Cached, Layer, Linear, Model
from .weights import VOCABULARY_PADDING

LIBRARIES_BYTES = 230 * MIB
"""What CUDA's kernels and libraries load beside torch's memory: the same to the byte for 21 engines on an H200, of 0.1
to 32 billion parameters, quantized or not, compiled or not."""
FIRST_RUNNER_LIBRARIES_BYTES = 232 * MIB
MATRIX_WORKSPACE_BYTES = 32 * MIB
"""cuBLAS's workspace on Hopper."""
TUNING_BUFFER_BYTES = 60 * MIB
"""As large as the L2 cache: emptied between runs while inductor tunes a kernel, with the kernel's arguments alive."""
SAMPLER_REST_BYTES = 3 * MIB // 2
PROCESSORS = 132
"""Multiprocessors of an H100 or H200: the sampler's top-k kernel has a row of the vocabulary for each."""
PREFILL_TOKENS = 64 * 1024
"""Tokens whose expanded keys and values MLA sets aside (layers/attention/mla_attention.py)."""
SPLITS = 32
"""Parts that flash attention divides a sequence into, at most, in a CUDA graph; each keeps its own float32 output."""
GRAPH_BYTES_PER_LAYER = 0.18 * MIB
"""Both graphs of one batch size, per layer: 0.17 for Qwen3 with 48 layers, 0.2 for gpt-oss with 24."""
LEAST_GRAPH_BYTES = 2 * MIB
"""vLLM counts at least 1 MiB for each graph, and captures two kinds."""
FIRST_GRAPH_BYTES = 25 * MIB
"""Between 0 and 50 in nine engines of four architectures."""

CPU_PROCESS_BYTES = 565 * MIB
"""Resident memory of vLLM's engine on the CPU without weights: Python, torch and what both import (vLLM 0.32)."""
STARTED_BYTES = 256 * MIB
"""Less than what CUDA's context takes of any GPU before vLLM looks how much is free."""
CPU_STARTED_BYTES = 850 * MIB
"""The same on the CPU: vLLM's processes before they load anything (0.32)."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes on one GPU."""

    activation: int
    graphs: int
    other: int

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return self.activation + self.graphs + self.other


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass over a full batch on one rank. Sizes are bytes of one tensor over all its tokens."""

    model: Model
    engine: Engine
    scheme: Scheme

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


def overhead(model: Model, engine: Engine, scheme: Scheme) -> Overhead:
    """The overhead of one rank."""
    if engine.on_cpu:
        return Overhead(_cpu_activation_bytes(model, engine), 0, CPU_PROCESS_BYTES)
    whole = _Pass(model, engine, scheme)
    other = LIBRARIES_BYTES if engine.second_runner else FIRST_RUNNER_LIBRARIES_BYTES
    if _quantized(whole):
        other += MATRIX_WORKSPACE_BYTES  # taken while the weights are repacked, and kept
    return Overhead(activation_bytes(whole), graph_bytes(whole), other + adapter_bytes(model, engine))


def activation_bytes(whole: _Pass) -> int:
    """The highest of: the widest layer, the sampler, and what a first start compiles with."""
    engine = whole.engine
    workspace = experts_bytes(whole)
    sparse = sum(layer.experts is not None for layer in whole.model.layers)
    # In the attention of the first layer with experts, their workspace is not there yet.
    earlier = workspace if sparse > 1 else 0
    layers = set(whole.model.layers)
    forward = max(max(_layer_bytes(whole, one, workspace), _latent_bytes(whole, one, earlier)) for one in layers)
    matrices = 0 if _quantized(whole) and engine.second_runner else MATRIX_WORKSPACE_BYTES
    peaks = [forward + matrices]
    if not whole.model.pooling:
        peaks.append(workspace + _sampler_bytes(whole) + matrices)
    if not engine.eager:
        peaks.append(_embedding_bytes(whole))
    return max(peaks)


def _quantized(whole: _Pass) -> bool:
    return bool(whole.scheme.method and not whole.scheme.experts_only) or whole.engine.kv_dtype.startswith("fp8")


def _embedding_bytes(whole: _Pass) -> int:
    """Inductor tunes the kernel of the embedding on an example of the whole table, its output, and the norm's."""
    model, split = whole.model, whole.engine.ranks.tensor
    rows = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING // split
    narrow = whole.tokens * model.hidden if whole.scheme.fused_input == "fp8" else 0
    return rows * model.hidden * whole.size + 2 * whole.hidden + narrow


def _layer_bytes(whole: _Pass, layer: Layer, workspace: int) -> int:
    """What is alive where a layer's MLP is widest: its inputs and outputs, and what the attention has left."""
    split, size, tokens = whole.engine.ranks.tensor, whole.size, whole.tokens
    tuning = 0 if whole.engine.eager else TUNING_BUFFER_BYTES
    queries = tokens * whole.model.heads * whole.model.head_size * size // split
    residual = 2 * whole.hidden + max(whole.hidden, queries)
    dense, shared = _widths(layer)
    inner = tokens * dense // split
    if any(linear.name.endswith("gate_proj") for linear in layer.linears) or not dense:
        feed = residual + inner * 2 * size + inner * whole.narrow + (tuning if dense else 0)
    else:
        # An activation in place is tuned on a copy.
        copies = max(whole.hidden + inner * size, 0 if whole.engine.eager else tuning + 2 * inner * size)
        feed = residual + copies
    if layer.experts:
        feed = workspace + _passing_bytes(whole) + residual + whole.hidden + tokens * 3 * shared * size // split
        feed += whole.hidden if shared else 0
    return feed


def _widths(layer: Layer) -> tuple[int, int]:
    """Width inside the dense MLP and inside the shared experts of a layer; 0 where it has none."""

    def width(linear: Linear) -> int:
        return linear.rows if linear.name.endswith(("up_proj", "fc1", "intermediate.dense")) else 0

    shared = [width(linear) for linear in layer.linears if "shared_expert" in linear.name]
    dense = [width(linear) for linear in layer.linears if "shared_expert" not in linear.name]
    return max(dense, default=0), max(shared, default=0)


def _latent_bytes(whole: _Pass, layer: Layer, workspace: int) -> int:
    """MLA: room for the longest prefix's keys and values, the queries, the output, and the compressed vector."""
    if layer.cache is None or layer.cache.kind is not Cached.LATENT:
        return 0
    named = {linear.name.rsplit(".", 1)[-1]: linear for linear in layer.linears}
    query = named.get("q_b_proj") or named["q_proj"]
    split = whole.engine.ranks.tensor
    prefix = PREFILL_TOKENS * named["kv_b_proj"].rows // split * whole.size
    here = query.rows + named["o_proj"].columns
    return workspace + prefix + whole.hidden + whole.tokens * whole.size * (here // split + layer.cache.elements)


def experts_bytes(whole: _Pass) -> int:
    """The two workspaces of the fused experts, which are kept (fused_moe/experts/triton_moe.py, marlin_moe.py)."""
    experts = whole.model.experts
    if experts is None or whole.scheme.method == "mxfp4":
        return 0
    ranks = whole.engine.ranks
    width = experts.intermediate // (1 if ranks.experts else ranks.tensor)
    wide = width * (experts.matrices - 1)
    rows = whole.tokens * experts.per_token * whole.size
    return rows * (max(width, experts.hidden) + max(wide, experts.hidden))


def _passing_bytes(whole: _Pass) -> int:
    """MXFP4 experts take no workspace: what they compute is freed after each layer."""
    experts = whole.model.experts
    if experts is None or whole.scheme.method != "mxfp4":
        return 0
    width = experts.intermediate // whole.engine.ranks.tensor
    return whole.tokens * experts.per_token * whole.size * (width + experts.hidden)


def _sampler_bytes(whole: _Pass) -> int:
    """Logits and what is made of them: v1/worker/gpu/sample for the second runner, v1/sample for the first."""
    model, size = whole.model, whole.size
    chosen = whole.sequences * model.hidden * size
    if whole.engine.second_runner:
        logits = whole.vocabulary * size * (2 if model.softcap else 1)
        return logits + whole.hidden + chosen + SAMPLER_REST_BYTES
    # Logits, probabilities and noise in float32; with a draft to reject, also its own, and each's sorted copy.
    copies = 7 if whole.engine.speculative_tokens else 3
    kernel = PROCESSORS * model.vocabulary * 4
    return whole.vocabulary * (size + 4 * copies) + kernel + whole.hidden + 2 * chosen + SAMPLER_REST_BYTES


def graph_sizes(engine: Engine, highest: int) -> list[int]:
    """Batch sizes that graphs are captured for (config/vllm.py, `_set_cudagraph_sizes`)."""
    most = min(engine.max_num_seqs * 2 * (1 + engine.speculative_tokens), highest, engine.max_num_batched_tokens)
    sizes = [1, 2, 4, *range(8, 256, 8), *range(256, most + 1, 16)]
    return [size for size in sizes if size <= most]


def graph_bytes(whole: _Pass) -> int:
    """The first runner's estimate of its CUDA graphs; the second subtracts none (gpu_model_runner.py)."""
    engine, model = whole.engine, whole.model
    if engine.eager or engine.second_runner:
        return 0
    mixed = {layer.cache.kind for layer in model.layers if layer.cache} >= {Cached.FULL, Cached.SLIDING}
    sizes = graph_sizes(engine, 1024 if model.architecture == "GptOssForCausalLM" else 512)
    each = max(LEAST_GRAPH_BYTES, GRAPH_BYTES_PER_LAYER * len(model.layers) / engine.ranks.pipeline)
    first = FIRST_GRAPH_BYTES
    if model.experts and whole.scheme.method == "mxfp4":
        experts = model.experts
        first += 4 * sizes[-1] * experts.per_token * (experts.intermediate + experts.hidden) * whole.size
    value = next(
        (layer.cache.elements for layer in model.layers if layer.cache and layer.cache.kind is Cached.LATENT), 0
    )
    value = value // 9 * 8 if value else model.head_size
    # Windows of several sizes rule out scheduling ahead, and with it splits in graphs (backends/flash_attn.py).
    splits = 0 if mixed or model.pooling else SPLITS
    parts = splits * min(sizes[-1], engine.max_num_seqs) * (model.heads // engine.ranks.tensor) * value * 4
    return int(parts + (len(sizes) - 1) * each + first)


def adapter_bytes(model: Model, engine: Engine) -> int:
    """LoRA's two narrow matrices beside every matrix of the layers, for each adapter on the GPU."""
    if engine.lora is None:
        return 0
    split = engine.ranks.tensor
    widths = sum(
        linear.rank_rows(split) + linear.rank_columns(split)
        for layer in model.layers
        for linear in layer.linears
        if linear.quantizable
    )
    return engine.lora.slots * engine.lora.rank * widths * DTYPE_BYTES[engine.dtype] // engine.ranks.pipeline


def _cpu_activation_bytes(model: Model, engine: Engine) -> int:
    """Hidden states, residual, and the widest matrix's inputs and outputs; or the logits."""
    size, tokens = DTYPE_BYTES[engine.dtype], engine.max_num_batched_tokens
    width = model.intermediate // engine.ranks.tensor
    forward = tokens * size * (2 * model.hidden + 3 * width)
    logits = engine.max_num_seqs * model.vocabulary * (size + 4) + tokens * model.hidden * size
    return max(forward, logits)

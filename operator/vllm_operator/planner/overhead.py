"""What vLLM takes of a GPU besides weights and KV cache: activations at their peak, CUDA graphs, libraries and kernels.

vLLM 0.26 (v1/worker/gpu_worker.py) subtracts the peak of a pass over a full batch, what others than torch have taken,
and, with its first model runner, an estimate of the CUDA graphs. 0.32 subtracts all that the GPU has less free after
the pass than before vLLM loaded anything, what torch had at the peak beyond that, and an estimate of the graphs.
"""

from dataclasses import dataclass

from . import drafts
from .accelerators import MIB
from .activations import MATRIX_WORKSPACE_BYTES, Pass, activation_bytes, fused_tokens, quantized
from .adapters import adapter_bytes
from .effective import EngineSettings
from .graphs import graph_bytes
from .loading import left_over
from .quantization import DTYPE_BYTES, MXFP4_BLOCK, Scheme
from .shapes import ModelShape
from .tower_pass import deeper_bytes, seen_bytes, tower_bytes
from .weights import LARGE_TENSOR

CPU_PROCESS_BYTES = 565 * MIB
"""Resident memory of vLLM's engine on the CPU without weights: Python, torch and what both import (vLLM 0.32)."""
STARTED_BYTES = 256 * MIB
"""Less than what CUDA's context takes of any GPU before vLLM looks how much is free."""
CPU_STARTED_BYTES = 850 * MIB
"""The same on the CPU: vLLM's processes before they load anything (0.32)."""
REQUEST_BYTES = 18 * 1024
"""What the sampler has ready for each sequence besides counts of tokens: bad words, biases, allowed and stop tokens
(v1/worker/gpu/sample)."""


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


def overhead(model: ModelShape, engine: EngineSettings, scheme: Scheme, stage: int = 0) -> Overhead:
    """The overhead of one rank of a pipeline stage."""
    if engine.on_cpu:
        adapters = adapter_bytes(Pass.of(model, engine, scheme, stage))
        return Overhead(_cpu_activation_bytes(model, engine), 0, CPU_PROCESS_BYTES + adapters)
    whole = Pass.of(model, engine, scheme, stage)
    other = _libraries(engine) + adapter_bytes(whole) + drafts.weight_bytes(model, engine)
    other += left_over(model, scheme, engine.ranks, engine.ranks.stages(len(model.layers))[stage])
    if quantized(whole):
        other += MATRIX_WORKSPACE_BYTES  # taken while the weights are repacked, and kept
    if engine.release.free_memory_counts:
        other += _sampler_state(whole) + _stage_input(whole) + _reduction_bytes(whole) + _places_bytes(whole)
        other += whole.hidden if model.multimodal else 0  # the batch's embeddings, text's and images' beside each other
        other += deeper_bytes(model, engine)
    activation, graphs = activation_bytes(whole) + drafts.activation_bytes(whole), graph_bytes(whole)
    if whole.first:
        activation = max(activation + seen_bytes(model, engine), tower_bytes(model, engine))
    return Overhead(activation, graphs + drafts.graph_bytes(whole, graphs), other)


def _libraries(engine: EngineSettings) -> int:
    release = engine.release
    if engine.ranks.engine_gpus > 1 or (engine.ranks.data > 1 and engine.ranks.experts):
        return release.joined_libraries + (release.expert_libraries if engine.ranks.experts else 0)
    return release.libraries if engine.second_runner else release.first_runner_libraries


def _sampler_state(whole: Pass) -> int:
    """What the second runner's sampler keeps for each sequence: how often each token came, as a number, whether it was
    in the prompt, and whether a grammar allows it, as a bit (v1/worker/gpu/sample/penalties.py, structured_outputs.py).
    """
    engine, model = whole.engine, whole.model
    if model.pooling or not whole.last or not engine.second_runner:
        return 0
    words = -(-model.vocabulary // 32)
    each = 4 * (model.vocabulary + words * (2 + engine.speculative_tokens)) + REQUEST_BYTES
    # Looking up n-grams needs all tokens of all sequences on the GPU (v1/worker/gpu/states.py).
    each += 4 * engine.max_model_len if engine.speculative_method == "ngram" else 0
    return engine.max_num_seqs * (each + _draft_logits(whole))


def _draft_logits(whole: Pass) -> int:
    """Bytes for each sequence of what a probabilistic draft model said of each token that it guessed
    (v1/worker/gpu/spec_decode/speculator.py); dflash has them as 32-bit numbers."""
    engine = whole.engine
    size = 4 if engine.speculative_method == "dflash" else whole.size
    return engine.speculative_tokens * whole.model.vocabulary * size if engine.draft_logits else 0


def _stage_input(whole: Pass) -> int:
    """Later stages of a pipeline have room for what the stage before sends: hidden states and residual."""
    return 0 if whole.first else 2 * whole.hidden


def _reduction_bytes(whole: Pass) -> int:
    """FlashInfer's buffers for sums over ranks, of parts of all ranks: one, and three for small batches
    (flashinfer/comm/trtllm_ar.py). Where the switch multicasts, it takes three quarters of that."""
    return 4 * whole.engine.ranks.tensor * fused_tokens(whole) * whole.model.hidden * whole.size


def _places_bytes(whole: Pass) -> int:
    """Small scales of MXFP4 experts are put in another order, and the places that they leave stay with torch."""
    if whole.scheme.method != "mxfp4":
        return 0
    total = 0
    for layer, count in whole.layers:
        if experts := layer.experts:
            weights = experts.count * experts.hidden * experts.intermediate // whole.engine.ranks.sharing_experts
            scales = weights // MXFP4_BLOCK
            total += count * scales if scales < LARGE_TENSOR else 0
    return total


def _cpu_activation_bytes(model: ModelShape, engine: EngineSettings) -> int:
    """Hidden states, residual, and the widest matrix's inputs and outputs; or the logits."""
    size, tokens = DTYPE_BYTES[engine.dtype], engine.max_num_batched_tokens
    width = model.intermediate // engine.ranks.tensor
    forward = tokens * size * (2 * model.hidden + 3 * width)
    logits = engine.max_num_seqs * model.vocabulary * (size + 4) + tokens * model.hidden * size
    return max(forward, logits)

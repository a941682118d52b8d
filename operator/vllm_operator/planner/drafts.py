"""What an EAGLE head takes, which follows from the model that it guesses for: a layer like the model's, and a matrix
before it. Other drafts are models of their own, of which only the repository is known here.

vLLM 0.32: model_executor/models/llama_eagle.py and llama_eagle3.py, v1/worker/gpu/spec_decode.
"""

from dataclasses import replace

from .activations import Pass
from .effective import EngineSettings
from .graphs import most_graph_tokens, parts_of_token
from .quantization import DTYPE_BYTES
from .shapes import Cached, Layer, Linear, ModelShape

_INPUTS = {"eagle": 2, "eagle3": 3}
"""Hidden states that its first matrix makes one of: of the embedding and the last layer, or of three layers."""
_STATES = {"eagle": 3.5, "eagle3": 9.5}
"""Hidden states of a batch beyond the model's own peak: of Llama 3.1 8B on an H200."""
_QKV = ("q_proj", "k_proj", "v_proj")


def with_draft(model: ModelShape, engine: EngineSettings) -> ModelShape:
    """The model and its head, which keeps keys and values as one layer more."""
    layer = _layer(model, engine)
    return replace(model, layers=(*model.layers, layer)) if layer else model


def weight_bytes(model: ModelShape, engine: EngineSettings) -> int:
    """Of a rank. Embedding and output are the model's own; nothing is quantized."""
    layer = _layer(model, engine)
    if layer is None:
        return 0
    ranks = engine.draft_ranks or engine.ranks.tensor
    elements = sum(linear.rank_rows(ranks) * linear.rank_columns(ranks) for linear in layer.linears)
    elements += _INPUTS[engine.speculative_method or ""] * model.hidden**2 + layer.elements
    return elements * DTYPE_BYTES[engine.dtype]


def activation_bytes(whole: Pass) -> int:
    """What a pass takes more."""
    if _layer(whole.model, whole.engine) is None:
        return 0
    return int(_STATES[whole.engine.speculative_method or ""] * whole.hidden)


def graph_bytes(whole: Pass, graphs: int) -> int:
    """Its graphs are as many as the model's, of one layer: three quarters of theirs, by two heads of Llama 3.1 8B.

    The hidden states that an EAGLE3 head is given stay to the end of a pass, and keep attention's parts apart.
    """
    if _layer(whole.model, whole.engine) is None:
        return 0
    given = whole.engine.speculative_method == "eagle3"
    return graphs * 3 // 4 + (parts_of_token(whole) * most_graph_tokens(whole.engine, whole.model) if given else 0)


def _layer(model: ModelShape, engine: EngineSettings) -> Layer | None:
    """The head's layer; None where there is none, or no layer of the model to know it by."""
    method = engine.speculative_method or ""
    if method not in _INPUTS or engine.ranks.pipeline > 1:
        return None
    kinds = (Cached.FULL, Cached.LATENT)
    own = next((layer for layer in reversed(model.layers) if layer.cache and layer.cache.kind in kinds), None)
    if own is None:
        return None
    wide = method == "eagle3"  # its attention sees the embedding beside the hidden state
    linears = tuple(_widened(linear) if wide and linear.name.endswith(_QKV) else linear for linear in own.linears)
    return replace(own, linears=linears, experts=None, more=())


def _widened(linear: Linear) -> Linear:
    return replace(linear, columns=2 * linear.columns)

"""What a model is made of: its matrices, how each is split over ranks, and what each layer keeps per token.

Facts only. How many bytes they take is decided in `weights.py`, `quantization.py` and `kv_cache.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Split(StrEnum):
    """How tensor parallelism divides a matrix of `rows` outputs by `columns` inputs."""

    ROWS = "rows"
    """Each rank computes a part of the outputs (vLLM: ColumnParallelLinear)."""
    COLUMNS = "columns"
    """Each rank takes a part of the inputs, and the results are summed (vLLM: RowParallelLinear)."""
    NONE = "none"
    """Every rank holds the whole matrix."""


@dataclass(frozen=True, slots=True)
class Linear:
    """One weight matrix, as the checkpoint names it below its layer."""

    name: str
    rows: int
    columns: int
    split: Split = Split.NONE
    heads: int = 0
    """Heads that the rows consist of, where a rank always has at least one (keys and values); 0: rows are just rows."""
    bias: bool = False
    quantizable: bool = True

    def rank_rows(self, ranks: int) -> int:
        """Outputs on one of `ranks` ranks. Keys and values are repeated where there are more ranks than heads."""
        if self.split is not Split.ROWS:
            return self.rows
        if self.heads:
            return self.rows // self.heads * max(1, self.heads // ranks)
        return -(-self.rows // ranks)

    def rank_columns(self, ranks: int) -> int:
        """Inputs on one of `ranks` ranks."""
        return -(-self.columns // ranks) if self.split is Split.COLUMNS else self.columns


@dataclass(frozen=True, slots=True)
class Experts:
    """The routed experts of one layer; the router is a Linear of the layer."""

    name: str
    count: int
    per_token: int
    hidden: int
    intermediate: int
    gated: bool = True
    bias: bool = False
    common_routing: bool = True
    """Whether they are chosen in a way that kernels know (layers/fused_moe/config.py, `get_routing_method_type`)."""

    @property
    def matrices(self) -> int:
        """Matrices of hidden by intermediate in one expert."""
        return 3 if self.gated else 2


class Cached(StrEnum):
    """What a layer keeps of earlier tokens."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    """Of the chunk of tokens at hand."""
    CROSS = "cross"
    """Of what an encoder has read."""
    INDEX = "index"
    """Keys by which a few tokens are chosen, the same on every rank."""
    LATENT = "latent"
    """One compressed vector for all heads (MLA), the same on every rank."""
    STATE = "state"
    """A state of fixed size for each sequence (linear attention, Mamba)."""


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer keeps. Elements are of the KV cache's type, per token; for STATE, per sequence."""

    kind: Cached
    heads: int = 1
    elements: int = 0
    """Elements of keys and values together, of one head and token."""
    window: int = 0
    conv_elements: int = 0
    """Elements of the last inputs of a convolution, which ranks share out; in the model's type."""
    conv_whole: int = 0
    """The same that every rank has."""
    state_elements: int = 0
    state_dtype: str = ""
    """Type of the state; "" for the model's."""
    checkpoints: int = 0
    """States that vLLM keeps of a sequence beyond two, where it caches prefixes."""
    block: int = 0
    """Tokens of a block, where the layer says it itself; 0: it does not."""
    page_bytes: int = 0
    """Bytes of such a block."""
    token_bytes: int = 0
    """Bytes of a token where they do not depend on any type; 0: they do."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer."""

    linears: tuple[Linear, ...]
    cache: LayerCache | None
    experts: Experts | None = None
    elements: int = 0
    """Elements that every rank has: norms, and biases without a matrix."""
    split_elements: int = 0
    """Elements that ranks share out between them: sinks, convolutions."""
    float32_elements: int = 0
    """Elements that every rank has, kept in float32."""
    split_float32_elements: int = 0
    """Elements that ranks share out, kept in float32."""
    more: tuple[LayerCache, ...] = ()
    """What the layer keeps besides `cache`: an indexer's keys, the state of a mixer beside the attention."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest image or video that a model's processor makes."""

    kind: str
    tokens: int
    patches: int
    steps: int = 1
    """Of a video: up to so many of these sizes, as a sequence holds them."""
    most: int | None = None
    """How many of them a request may have; None: as many as a sequence holds."""
    sent: int | None = None
    """Of a video, the steps that vLLM measures with where the user bounds its frames."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a vision tower sees, and how much of a patch is alive while it is seen."""

    items: tuple[Seen, ...]
    width: int
    inner: int
    widths: int
    """Vectors of the width that are alive in an MLP."""
    inners: int
    """And vectors of its inner width."""
    attention: int = 0
    """In attention, vectors of the width beside its input and the norm's; 0: it takes less than the MLP."""
    in_place: int = 0
    """Of `widths`, those that a norm by vLLM's own kernel leaves out."""
    rest: int = 0
    """Other elements of a patch: its positions."""
    pixel_bytes: int = 0
    deeper: int = 0
    """Inner layers whose output goes to the text's layers, too."""
    patch: int = 14
    """Pixels along a side of a patch."""
    split: bool = True
    """Whether ranks have parts of each patch, and not some patches each."""
    measured: bool = False
    """Whether the model's own processor has said how large an image may be, or its config does."""

    @property
    def merged(self) -> int:
        """Patches of a token."""
        return max((item.patches // max(1, item.tokens) for item in self.items), default=1) or 1


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model as the planner sees it: derived from config.json, without its weights."""

    architecture: str
    layers: tuple[Layer, ...]
    hidden: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    """Width of a dense layer's MLP; 0 where there is none."""
    dtype: str
    tied: bool
    longest: int
    """Longest sequence that the config allows, in tokens, with vLLM's reading of rope scaling."""
    default_length: int
    """Sequence that vLLM makes room for where the user names none, in tokens: `longest`, or less of it (longrope)."""
    raw_longest: int
    """max_position_embeddings, or whichever key says it; 0 where none does."""
    longest_key: str
    """Which key says it, and in which file."""
    yarn_length: int = 0
    """`longest` for vLLM before 0.32, which scales YaRN's positions itself; 0: the same."""
    asked_longest: int = 0
    """Tokens that vLLM takes where they are asked for, also above `longest` (model_max_length); 0: none."""
    noted: bool = False
    """Whether `longest` is what sentence-transformers notes, which goes before YaRN's scale and windows."""
    edge_linears: tuple[Linear, ...] = ()
    """Matrices outside the layers (projections of embeddings)."""
    edge_elements: int = 0
    """Elements outside the layers that every rank of the last stage has: final norms, a bias of the head."""
    position_elements: int = 0
    """Of a table of learned positions, which each rank has that has the embedding."""
    towers: tuple[tuple[Layer, int], ...] = ()
    """Layers outside the decoder, and how many of each: of towers for images and sound, of an encoder."""
    seeing: int = 0
    """How many of `towers`, the first of them, turn inputs into tokens, and are left out where there are none."""
    inputs: tuple[str, ...] = ()
    """What those take: images, sound, as --limit-mm-per-prompt names them."""
    text_only: bool = False
    """Whether there are no such inputs."""
    rope_bytes: int = 0
    quantization: Mapping[str, Any] | None = None
    header_bytes: int | None = None
    """Bytes of all tensors, from the safetensors headers; None: not known."""
    approximate: str = ""
    """Why the matrices are not known for sure, as a clause; "" where they are."""
    known: bool = True
    """Whether the architecture is one that the planner knows."""
    stored_dtype: str = ""
    """Type of the checkpoint's own values, where config.json says it; "" where not."""
    pooling: bool = False
    """Whether it embeds or classifies instead of generating."""
    causal: bool = True
    """Whether tokens see only earlier ones where it does."""
    encodes: bool = False
    """Whether nothing is kept of tokens where it does."""
    multimodal: bool = False
    sight: Sight | None = None
    """What its tower sees; None: nothing, or it is not known."""
    images_whole: bool = False
    """Whether the tokens of an image see each other, as its decoder reads them."""
    items: tuple[tuple[str, int], ...] = ()
    """Then, the tokens of the largest image, video and sound; none where they are not known."""
    embedded: int = 0
    """Width of the embedding where it is not `hidden`; 0: it is."""
    softcap: bool = False
    """Whether logits are bounded, which takes a second copy of them."""
    head: bool = True
    """Whether there is an output head."""
    embedding_on_all: bool = False
    """Whether each pipeline stage has the embedding, and not the first alone."""
    head_on_all: bool = False
    """Whether each stage has the output head where it is another matrix, and not the last alone."""

    @property
    def loaded_towers(self) -> tuple[tuple[Layer, int], ...]:
        """The towers of which vLLM has the weights."""
        return self.towers[self.seeing :] if self.text_only else self.towers

    @property
    def experts(self) -> Experts | None:
        """The widest experts of any layer."""
        return max((layer.experts for layer in self.layers if layer.experts), key=lambda e: e.count, default=None)

"""What a rank does for a token: bytes that it reads, operations that it computes. Pure.

Counted from the same matrices as the weights are. How fast a GPU is at it is for `speed.py` to say.
"""

from dataclasses import dataclass

from .effective import EngineSettings
from .kv_cache import state_bytes, token_bytes
from .schemes import DTYPE_BYTES, Scheme
from .shapes import Cached, Experts, LayerCache, ModelShape
from .weights import Ranks, Storage, end_bytes, expert_bytes, kinds


@dataclass(frozen=True, slots=True)
class Routed:
    """The routed experts of equal layers, on one rank."""

    layers: int
    count: int
    """Experts that the rank has of each layer."""
    chosen: float
    """Of them, those that one token goes to, on average."""
    expert_bytes: float
    """Of one expert."""
    operations: float
    """Of one token in one expert."""
    narrow: bool
    """Whether its products are of 8 bits."""

    def read(self, tokens: float) -> float:
        """Bytes of all experts that so many tokens go to, if each token's choice is an even draw."""
        missed: float = (1 - self.chosen / self.count) ** tokens
        return self.layers * self.expert_bytes * self.count * (1 - missed)

    def computed(self, tokens: float) -> float:
        """Operations for so many tokens."""
        return self.layers * self.operations * self.chosen * tokens


@dataclass(frozen=True, slots=True)
class Kept:
    """What equal layers read of a sequence's past, on one rank."""

    layers: int
    token_bytes: float
    """Of one token and layer."""
    window: int
    """Tokens that are read at most; 0: all."""
    decoding: int
    """Operations of one new token with each token that is read."""
    prefilling: int
    """The same of a prompt's tokens: latent vectors are then taken apart into keys and values."""
    latent: bool = False

    def tokens(self, context: float) -> float:
        """Tokens that are read of a context."""
        return min(context, self.window) if self.window else context


@dataclass(frozen=True, slots=True)
class Work:
    """One rank's work, over all stages of a pipeline."""

    matrix_bytes: float
    """Of what every step reads, however many tokens it has: all matrices but the experts'."""
    packed_bytes: float
    """The same of matrices with fewer than 8 bits a weight, which are unpacked on the way."""
    wide: float
    """Operations of one token in products of 16 bits, without experts and output head."""
    narrow: float
    """The same in products of 8 bits."""
    head: float
    """Operations of the output head, of each token that is sampled."""
    routed: tuple[Routed, ...]
    kept: tuple[Kept, ...]
    state_bytes: float
    """Of a sequence's states, which each step reads and writes."""
    layers: int
    hidden_bytes: int
    """Of one token between two layers."""

    @property
    def expert_layers(self) -> int:
        """Layers that have routed experts."""
        return sum(one.layers for one in self.routed)

    @property
    def latent_layers(self) -> int:
        """Layers with latent attention."""
        return sum(one.layers for one in self.kept if one.latent)


def work_of(model: ModelShape, engine: EngineSettings, storage: Storage) -> Work:
    """The work of one rank for the model as it is stored."""
    size, ranks = DTYPE_BYTES[model.dtype], engine.ranks
    matrix_bytes, packed_bytes, wide, narrow, states = 0.0, 0.0, 0.0, 0.0, 0.0
    routed: list[Routed] = []
    kept: list[Kept] = []
    for kind in kinds(model, storage.scheme, range(len(model.layers))):
        layer, schemes, count = model.layers[kind.index], kind.schemes, kind.count
        for linear, scheme in zip(layer.linears, schemes, strict=False):
            rows, columns = linear.rank_rows(ranks.tensor), linear.rank_columns(ranks.tensor)
            held = count * scheme.matrix_bytes(rows, columns)
            matrix_bytes, packed_bytes = (
                (matrix_bytes, packed_bytes + held) if scheme.bits < 8 else (matrix_bytes + held, packed_bytes)
            )
            operations = count * 2.0 * rows * columns
            wide, narrow = (wide, narrow + operations) if _is_narrow(scheme) else (wide + operations, narrow)
        if layer.experts:
            routed.append(_routed(layer.experts, schemes[-1], storage, engine, count))
        for cache in (layer.cache, *layer.more):
            if cache is not None and cache.kind is Cached.STATE:
                states += count * state_bytes(cache, model.dtype, engine)
            elif cache is not None:
                kept.append(_kept(cache, model, engine, count))
    # Of the embedding a step reads a few rows; the output head it reads all.
    matrix_bytes += end_bytes(model, storage.scheme, Ranks(ranks.tensor))
    head = 2.0 * model.vocabulary * (model.embedded or model.hidden) / ranks.tensor
    return Work(
        matrix_bytes,
        packed_bytes,
        wide,
        narrow,
        head,
        tuple(routed),
        tuple(kept),
        states,
        len(model.layers),
        model.hidden * size,
    )


def _is_narrow(scheme: Scheme) -> bool:
    """Whether both sides of a product have 8 bits: inputs are quantized too, by the matrix or by its blocks."""
    return bool(scheme.fused_input) or (scheme.bits == 8 and scheme.block is not None)


def _routed(experts: Experts, scheme: Scheme, storage: Storage, engine: EngineSettings, layers: int) -> Routed:
    ranks = engine.ranks
    whole = ranks.sharing_experts if ranks.experts else 1
    held = sum(expert_bytes(experts, scheme, storage.tiles, ranks, DTYPE_BYTES[engine.dtype]))
    count = -(-experts.count // whole)
    width = experts.intermediate / (1 if ranks.experts else ranks.sharing_experts)
    operations = 2.0 * experts.matrices * width * experts.hidden
    chosen = min(float(count), experts.per_token / whole)
    return Routed(layers, count, chosen, held / count, operations, _is_narrow(scheme))


def _kept(cache: LayerCache, model: ModelShape, engine: EngineSettings, layers: int) -> Kept:
    each = cache.page_bytes / cache.block if cache.block else token_bytes(cache, model.dtype, engine)
    heads = -(-model.heads // engine.ranks.tensor)
    expanded = 4 * heads * model.head_size
    match cache.kind:
        case Cached.INDEX:
            return Kept(layers, each, cache.window, 0, 0)
        case Cached.LATENT:
            return Kept(layers, each, cache.window, 4 * heads * cache.elements, expanded, latent=True)
        case _:
            return Kept(layers, each, cache.window, expanded, expanded)

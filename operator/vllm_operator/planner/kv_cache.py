"""How vLLM lays out the KV cache: groups of layers that share memory, blocks, and how many tokens a budget holds.

Source: vLLM 0.32, v1/core/kv_cache_utils.py, v1/kv_cache_interface.py; held against what vLLM printed
(tests/planner/golden.json, tests/planner/calibration.json).
"""

from collections.abc import Callable
from dataclasses import dataclass

from .effective import EngineSettings
from .schemes import DTYPE_BYTES
from .shapes import Cached, LayerCache, ModelShape

# Bytes of one element, and further bytes of each head and token (scales of keys and values).
_ELEMENT: dict[str, tuple[float, int]] = {
    "fp8": (1, 0), "fp8_e4m3": (1, 0), "fp8_e5m2": (1, 0), "fp8_inc": (1, 0), "fp8_per_token_head": (1, 8),
    "int8_per_token_head": (1, 8), "int4_per_token_head": (0.5, 8), "nvfp4": (0.5 + 1 / 16, 0),
    "nvfp4_4over6": (0.5 + 1 / 16, 0),
}  # fmt: skip
# Bytes of a token and layer, whatever the model.
_LATENT_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
LATENT_ALIGNMENT = 128
"""Tokens of a block of latent vectors beside states, at least (platforms/interface.py)."""
KNOWN_KV_DTYPES = frozenset({*_ELEMENT, *_LATENT_BYTES, "auto", "bfloat16", "float16"})


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share block tables, and so the memory of a block with the other groups."""

    cache: LayerCache
    block_size: int
    """Tokens of a block; for a state, the sequence's."""
    page_bytes: int
    """Bytes of a block in one layer."""
    layers: tuple[int, ...]

    def blocks(self, length: int, engine: EngineSettings) -> int:
        """Blocks that one sequence of `length` tokens may take."""
        match self.cache.kind:
            case Cached.STATE:
                kept = 2 + self.cache.checkpoints if engine.prefix_caching else 1
                return kept + engine.speculative_tokens
            case Cached.SLIDING:
                held = min(self.cache.window - 1 + engine.in_flight_tokens, length)
                return _ceil(held, self.block_size) + 1
            case Cached.CHUNKED:
                return _ceil(min(self.cache.window + engine.in_flight_tokens, length), self.block_size)
            case Cached.CROSS:
                return _ceil(max(self.cache.window, engine.max_num_batched_tokens), self.block_size)
            case _:
                return _ceil(length, self.block_size)


@dataclass(frozen=True, slots=True)
class Layout:
    """The KV cache of one rank."""

    groups: tuple[Group, ...]
    block_bytes: int
    """Bytes of one block over all layers of the rank."""
    together: bool = False
    """Whether all groups have one block table: a block is then one of each."""

    def blocks_per_sequence(self, length: int, engine: EngineSettings) -> int:
        """Blocks that one sequence takes in all groups."""
        each = [group.blocks(length, engine) for group in self.groups]
        return max(each, default=0) if self.together else sum(each)

    def needed_bytes(self, length: int, engine: EngineSettings) -> int:
        """Least budget with which vLLM starts: one sequence, and the block that stands for nothing."""
        return self.block_bytes * (self.blocks_per_sequence(length, engine) + 1)

    def tokens(self, budget: int, length: int, engine: EngineSettings) -> tuple[int, float]:
        """Tokens and sequences of full length that a budget holds, as vLLM prints them."""
        if not self.groups or budget <= 0:
            return 0, 0.0
        concurrency = budget // self.block_bytes / self.blocks_per_sequence(length, engine)
        return int(concurrency * length), concurrency

    def longest(self, budget: int, limit: int, engine: EngineSettings) -> int:
        """The longest sequence up to `limit` that a budget holds; 0 where not even one token does."""
        if not self.groups:
            return limit
        return _largest(limit, lambda length: self.needed_bytes(length, engine) <= budget)


def _largest(limit: int, fits: Callable[[int], bool]) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def token_bytes(cache: LayerCache, dtype: str, engine: EngineSettings) -> int:
    """Bytes of one token in one layer on one rank, without a state."""
    if cache.token_bytes:
        return cache.token_bytes
    if cache.kind is Cached.INDEX:  # kept in the model's type
        return cache.elements * DTYPE_BYTES[dtype]
    if cache.kind is Cached.LATENT:
        if engine.kv_dtype in _LATENT_BYTES:
            return _LATENT_BYTES[engine.kv_dtype]
        heads = 1
    else:
        heads = max(1, cache.heads // engine.ranks.tensor)
    element, extra = _ELEMENT.get(engine.kv_dtype, (DTYPE_BYTES[dtype], 0))
    return int(heads * (cache.elements * element + extra))


def layout(model: ModelShape, engine: EngineSettings, stage: int) -> Layout:
    """The KV cache of the ranks of a pipeline stage. Groups are formed over all layers, then cut to the stage's."""
    kinds: dict[LayerCache, list[int]] = {}
    for index, layer in enumerate(model.layers):
        for cache in (layer.cache, *layer.more):
            if cache is not None:
                kinds.setdefault(cache, []).append(index)
    if not kinds:
        return Layout((), 0)
    here = engine.ranks.stages(len(model.layers))[stage]
    if any(cache.block for cache in kinds):
        return _packed(kinds, here)
    together = _alike(list(kinds))
    pages = _pages(list(kinds), engine, together=together)
    sizes = [len(indices) for indices in kinds.values()]
    groups = [
        Group(cache, *pages[cache], part)
        for cache, indices in kinds.items()
        for part in ([tuple(indices)] if together else _parts(sizes, indices))
    ]
    own = [group.page_bytes * sum(index in here for index in group.layers) for group in groups]
    return Layout(tuple(groups), sum(own) if together else max(own), together)


def _packed(kinds: dict[LayerCache, list[int]], here: range) -> Layout:
    """Layers with blocks of their own: kinds with the same blocks are packed side by side, and where only a window is
    kept, as many layers as fit into the widest of the others (kv_cache_utils.py, `_get_packed_kv_cache_groups`)."""
    buckets: dict[tuple[bool, int, int], list[LayerCache]] = {}
    for cache in kinds:
        windowed = cache.kind is Cached.SLIDING
        buckets.setdefault((windowed, cache.block, cache.window), []).append(cache)
    widths = {key: sum(cache.page_bytes * len(kinds[cache]) for cache in found) for key, found in buckets.items()}
    widest = max([width for (windowed, *_), width in widths.items() if not windowed] or [max(widths.values())])
    groups, block_bytes = [], 0
    for (windowed, block, _), found in buckets.items():
        layers = [index for cache in found for index in kinds[cache]]
        pages = [cache.page_bytes for cache in found for index in kinds[cache] if index in here]
        least = min(cache.page_bytes for cache in found)
        count = _ceil(len(layers), max(1, widest // least)) if windowed else 1
        groups += [Group(found[0], block, found[0].page_bytes, tuple(layers[start::count])) for start in range(count)]
        block_bytes = max(block_bytes, sum(sorted(pages, reverse=True)[: _ceil(len(pages), count)]))
    return Layout(tuple(groups), block_bytes)


def _alike(kinds: list[LayerCache]) -> bool:
    """Whether all layers need the same number of blocks, so that they share block tables whatever their pages."""
    if len(kinds) == 1:
        return True
    everything = {Cached.FULL, Cached.LATENT, Cached.INDEX}
    names = {kind.kind for kind in kinds}
    return names <= everything or (names == {Cached.SLIDING} and len({kind.window for kind in kinds}) == 1)


def _parts(sizes: list[int], indices: list[int]) -> list[tuple[int, ...]]:
    """One kind of layer split into groups of equal size, so that all groups of all kinds share memory."""
    smallest, largest = min(sizes), max(sizes)
    size = largest if largest < 1.5 * smallest else smallest
    count = _ceil(len(indices), size)
    return [tuple(indices[start::count]) for start in range(count)]


def _pages(kinds: list[LayerCache], engine: EngineSettings, *, together: bool) -> dict[LayerCache, tuple[int, int]]:
    """Tokens and bytes of a block in one layer, for each kind: all kinds get pages of the same size, or keep theirs."""
    dtype = engine.dtype
    states = [kind for kind in kinds if kind.kind is Cached.STATE]
    others = [kind for kind in kinds if kind.kind is not Cached.STATE]
    block = engine.block_size
    if states and others:
        if any(kind.kind is Cached.LATENT for kind in others):
            block = max(block, LATENT_ALIGNMENT)
        state = max(state_bytes(kind, dtype, engine) for kind in states)
        block *= _ceil(state, block * min(token_bytes(kind, dtype, engine) for kind in others))
    pages = {kind: (block, block * token_bytes(kind, dtype, engine)) for kind in others}
    if together:
        return {**pages, **{kind: (block, state_bytes(kind, dtype, engine)) for kind in states}}
    largest = max([page for _, page in pages.values()] + [state_bytes(kind, dtype, engine) for kind in states])
    for kind, (_, page) in list(pages.items()):
        if page < largest:  # more tokens to a block, or a block with a rest that nobody uses
            pages[kind] = (block * (largest // page), largest) if largest % page == 0 else (block, largest)
    return {**pages, **dict.fromkeys(states, (block, largest))}


def state_bytes(cache: LayerCache, dtype: str, engine: EngineSettings) -> int:
    """Bytes of one sequence's state in one layer on one rank."""
    split, size = engine.ranks.tensor, DTYPE_BYTES[dtype]
    spec_rows = 1 + engine.speculative_tokens / 3 if engine.speculative_tokens else 1
    inputs = int((cache.conv_elements // split + cache.conv_whole) * size * spec_rows)
    return inputs + cache.state_elements // split * DTYPE_BYTES.get(cache.state_dtype, size)


def _ceil(value: int, by: int) -> int:
    return -(-value // by)

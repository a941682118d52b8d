"""How vLLM lays out the KV cache: groups of layers that share memory, blocks, and how many tokens a budget holds.

Source: vLLM 0.32, v1/core/kv_cache_utils.py, v1/kv_cache_interface.py; held against what vLLM printed
(tests/planner/golden.json, tests/planner/calibration.json).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

from .engine import Engine
from .quantization import DTYPE_BYTES
from .shapes import Cache, Cached, Model

# Bytes of one element, and further bytes of each head and token (scales of keys and values).
_ELEMENT: dict[str, tuple[float, int]] = {
    "fp8": (1, 0), "fp8_e4m3": (1, 0), "fp8_e5m2": (1, 0), "fp8_inc": (1, 0), "fp8_per_token_head": (1, 8),
    "int8_per_token_head": (1, 8), "int4_per_token_head": (0.5, 8), "nvfp4": (0.5 + 1 / 16, 0),
    "nvfp4_4over6": (0.5 + 1 / 16, 0),
}  # fmt: skip
# Bytes of a token and layer, whatever the model.
_LATENT_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
KNOWN_KV_DTYPES = frozenset({*_ELEMENT, *_LATENT_BYTES, "auto", "bfloat16", "float16"})


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share block tables, and so the memory of a block with the other groups."""

    cache: Cache
    block_size: int
    """Tokens of a block; for a state, the sequence's."""
    page_bytes: int
    """Bytes of a block in one layer."""
    layers: tuple[int, ...]

    def blocks(self, length: int, engine: Engine) -> int:
        """Blocks that one sequence of `length` tokens may take."""
        match self.cache.kind:
            case Cached.STATE:
                return (2 if engine.prefix_caching else 1) + engine.speculative_tokens
            case Cached.SLIDING:
                held = min(self.cache.window - 1 + engine.in_flight_tokens, length)
                return _ceil(held, self.block_size) + 1
            case _:
                return _ceil(length, self.block_size)


@dataclass(frozen=True, slots=True)
class Layout:
    """The KV cache of one rank."""

    groups: tuple[Group, ...]
    block_bytes: int
    """Bytes of one block over all layers of the rank."""

    def blocks_per_sequence(self, length: int, engine: Engine) -> int:
        """Blocks that one sequence takes in all groups."""
        return sum(group.blocks(length, engine) for group in self.groups)

    def needed_bytes(self, length: int, engine: Engine) -> int:
        """Least budget with which vLLM starts: one sequence, and the block that stands for nothing."""
        return self.block_bytes * (self.blocks_per_sequence(length, engine) + 1)

    def tokens(self, budget: int, length: int, engine: Engine) -> tuple[int, float]:
        """Tokens and sequences of full length that a budget holds, as vLLM prints them."""
        if not self.groups or budget <= 0:
            return 0, 0.0
        concurrency = budget // self.block_bytes / self.blocks_per_sequence(length, engine)
        return int(concurrency * length), concurrency

    def longest(self, budget: int, limit: int, engine: Engine) -> int:
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


def token_bytes(cache: Cache, dtype: str, engine: Engine) -> int:
    """Bytes of one token in one layer on one rank, without a state."""
    if cache.kind is Cached.LATENT:
        if engine.kv_dtype in _LATENT_BYTES:
            return _LATENT_BYTES[engine.kv_dtype]
        heads = 1
    else:
        heads = max(1, cache.heads // engine.ranks.tensor)
    element, extra = _ELEMENT.get(engine.kv_dtype, (DTYPE_BYTES[dtype], 0))
    return int(heads * (cache.elements * element + extra))


def layout(model: Model, engine: Engine, stage: int) -> Layout:
    """The KV cache of the ranks of a pipeline stage. Groups are formed over all layers, then cut to the stage's."""
    dtype = engine.dtype
    kinds: dict[Cache, list[int]] = {}
    for index, layer in enumerate(model.layers):
        if layer.cache is not None:
            kinds.setdefault(layer.cache, []).append(index)
    if not kinds:
        return Layout((), 0)
    pages = _pages(list(kinds), dtype, engine)
    groups = [
        Group(cache, *pages[cache], part)
        for cache, indices in kinds.items()
        for part in _parts(kinds.values(), indices)
    ]
    here = engine.ranks.stages(len(model.layers))[stage]
    own = [replace(group, layers=tuple(index for index in group.layers if index in here)) for group in groups]
    return Layout(tuple(groups), max(group.page_bytes * len(group.layers) for group in own))


def _parts(kinds: object, indices: list[int]) -> list[tuple[int, ...]]:
    """One kind of layer split into groups of equal size, so that all groups of all kinds share memory."""
    sizes = [len(kind) for kind in kinds]  # type: ignore[attr-defined]
    smallest, largest = min(sizes), max(sizes)
    size = largest if largest < 1.5 * smallest else smallest
    count = _ceil(len(indices), size)
    return [tuple(indices[start::count]) for start in range(count)]


def _pages(kinds: list[Cache], dtype: str, engine: Engine) -> dict[Cache, tuple[int, int]]:
    """Tokens and bytes of a block in one layer, for each kind: all kinds get pages of the same size."""
    states = [kind for kind in kinds if kind.kind is Cached.STATE]
    others = [kind for kind in kinds if kind.kind is not Cached.STATE]
    block = engine.block_size
    if states and others:
        state = max(_state_bytes(kind, dtype, engine) for kind in states)
        least = min(token_bytes(kind, dtype, engine) for kind in others)
        block = engine.block_size * _ceil(state, engine.block_size * least)
    pages = {kind: (block, block * token_bytes(kind, dtype, engine)) for kind in others}
    largest = max([page for _, page in pages.values()] + [_state_bytes(kind, dtype, engine) for kind in states])
    for kind, (_, page) in list(pages.items()):
        if page < largest and largest % page == 0:
            pages[kind] = (block * (largest // page), largest)
    return {**pages, **dict.fromkeys(states, (block, largest))}


def _state_bytes(cache: Cache, dtype: str, engine: Engine) -> int:
    split = engine.ranks.tensor
    size = DTYPE_BYTES[dtype]
    spec_rows = 1 + engine.speculative_tokens / 3 if engine.speculative_tokens else 1
    return int(cache.conv_elements // split * size * spec_rows) + cache.state_elements // split * size


def runs_of(layout_: Layout) -> list[tuple[Cache, int]]:
    """Kinds of cache and how many groups each has, for the text form."""
    return [(cache, len(list(run))) for cache, run in groupby(layout_.groups, key=lambda group: group.cache)]


def _ceil(value: int, by: int) -> int:
    return -(-value // by)

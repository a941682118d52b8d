"""What torch has taken after the trial capture of CUDA graphs (vLLM 0.32, v1/worker/gpu/cudagraph_utils.py).

The order in which a compiled model takes and frees its tensors, for the layers of one rank. Which memory that leaves is
decided by torch (`torch_memory.py`).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from .torch_memory import Block, TorchMemory


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes for each token of a batch of what one layer computes. 0: it is not there."""

    hidden: int
    normed: int
    """The hidden state as the next matrix takes it."""
    projected: int
    """Queries, keys and values in one; or what goes into a state."""
    normed_heads: int
    """Queries and keys after a norm of their own."""
    queries: int
    """Queries with their position."""
    keys: int
    mixed: int
    """What attention makes of the values."""
    compressed: int
    """What queries, keys and values are made of, where they are compressed (MLA)."""
    absorbed: int
    """Each of what MLA's attention computes at the compressed vector's width, outside of the pieces."""
    absorptions: int
    """How many of these there are."""
    parts: int
    """Attention's parts, where it divides a sequence, and their sums."""
    sums: int
    narrowed: int
    """`mixed` made narrower for a quantized matrix."""
    wide: int
    """Inside the MLP: gate and up."""
    inner: int
    routed: int
    """What routed experts return."""


@dataclass(frozen=True, slots=True)
class Order:
    """Where the compiler puts what a layer adds to; over the MLP's output, where nothing here holds."""

    in_place: bool
    """A kernel that sums over ranks and normalizes keeps the residual where it is."""
    renews: bool
    """The MLP's output is normed before it is added, so that the sum has a tensor of its own."""
    sums: bool
    """A sum over ranks has a tensor of its own."""
    parallel: bool = False
    """Attention and MLP take the same input."""


@lru_cache(maxsize=1024)
def taken(layers: tuple[Widths, ...], order: Order, largest: int, first: int, second: int) -> int:
    """Bytes that torch has taken for graphs of pieces up to `largest` tokens, two whole graphs, and their runs before.

    The graphs share a pool. Before each whole one, what runs left free goes back to CUDA; the last run's stays counted.
    """
    pool = TorchMemory()
    bare = tuple(_without_parts(layer) for layer in layers)
    _run(pool, bare, order, largest)
    _run(pool, layers, order, first)
    runs = TorchMemory()
    _run(runs, layers, order, first, keep=True)
    runs.return_free()
    _run(runs, layers, order, second)
    return pool.reserved + runs.reserved


class _Rounds:
    """Layers one after the other. Once memory is as it was some layers before, what lies between comes round again and
    again, and whole rounds are left out."""

    def __init__(self, layers: tuple[Widths, ...]) -> None:
        self._layers, self._next = layers, 0
        self._seen: dict[object, int] = {}

    def layer(self) -> Widths | None:
        """The next one; None after the last."""
        return self._layers[self._next] if self._next < len(self._layers) else None

    def ended(self, memory: TorchMemory, live: tuple[Block | None, ...]) -> None:
        """A layer has ended, and left `live` for the next one."""
        self._next += 1
        state = (memory.free_blocks(), *(block.address if block else None for block in live))
        before = self._seen.setdefault(state, self._next)
        rest, length = len(self._layers) - self._next, self._next - before
        if length and self._layers[before : before + rest] == self._layers[self._next :]:
            self._next += rest // length * length


def _without_parts(layer: Widths) -> Widths:
    """Pieces end before attention, which then takes its memory elsewhere."""
    return replace(layer, absorbed=0, parts=0, sums=0)


def _run(memory: TorchMemory, layers: tuple[Widths, ...], order: Order, tokens: int, *, keep: bool = False) -> None:
    """One pass. `keep`: its output is copied to a tensor that stays."""
    residual, normed = (memory.take(width * tokens) for width in (layers[0].hidden, layers[0].normed))
    held: tuple[Block | None, ...] = ()
    rounds = _Rounds(layers)
    while (layer := rounds.layer()) is not None:
        mixed = _mix(memory, layer, tokens, None if order.parallel else normed, held)
        after, following = _feed(memory, layer, order, tokens, residual)
        # What goes into a piece is held until it ends, behind the next projection.
        held = (mixed,) if after is residual else (residual, mixed)
        held = (*held, normed) if order.parallel else held
        residual, normed = after, following
        rounds.ended(memory, (*held, residual, normed))
    memory.give(*held, residual)
    if keep:
        memory.take(layers[-1].hidden * tokens)
    memory.give(normed)


def _mix(
    memory: TorchMemory, layer: Widths, tokens: int, normed: Block | None, held: tuple[Block | None, ...]
) -> Block | None:
    """The projection at a piece's end, and attention. Returns what attention leaves."""
    first, compressed = not held, memory.take(layer.compressed * tokens)
    if layer.compressed and not first:
        memory.give(normed)
    projected = memory.take(layer.projected * tokens)
    if not layer.compressed and not first:  # the first norm is done beside the embedding, and outlives the projection
        memory.give(normed)
    heads = memory.take(layer.normed_heads * tokens)
    queries, keys = memory.take(layer.queries * tokens), memory.take(layer.keys * tokens)
    memory.give(heads)
    if layer.absorptions:  # the values are not a part of it
        memory.give(projected)
        projected = None
    mixed = memory.take(layer.mixed * tokens)
    memory.give(*((normed,) if first else held))
    absorbed = [memory.take(layer.absorbed * tokens) for _ in range(layer.absorptions)]
    memory.give(*[memory.take(width * tokens) for width in (layer.parts, layer.sums)])
    memory.give(*absorbed, compressed, projected, queries, keys)
    return mixed


def _feed(
    memory: TorchMemory, layer: Widths, order: Order, tokens: int, residual: Block | None
) -> tuple[Block | None, Block | None]:
    """The output matrix and the MLP. Returns the next residual and what is normed for the next projection."""
    narrowed = memory.take(layer.narrowed * tokens)
    added = _summed(memory, memory.take(layer.hidden * tokens), order, layer.hidden * tokens)
    memory.give(narrowed)
    normed = None if order.parallel else memory.take(layer.normed * tokens)
    if order.in_place:
        memory.give(added)
    wide = memory.take(layer.wide * tokens)
    routed = memory.take(layer.routed * tokens)
    memory.give(normed)
    inner = memory.take(layer.inner * tokens)
    memory.give(wide)
    down = memory.take(layer.hidden * tokens) if layer.inner else routed
    down = _summed(memory, down, order, layer.hidden * tokens)
    memory.give(inner)
    if order.in_place:
        normed = memory.take(layer.normed * tokens)
        memory.give(down, routed if layer.inner else None)
        return residual, normed
    after = memory.take(layer.hidden * tokens) if order.renews else down
    memory.give(down if order.renews else None, routed if layer.inner else None)
    if layer.normed == layer.hidden and not order.parallel:
        return after, added  # the next norm is written over what attention added
    following = memory.take(layer.normed * tokens)
    memory.give(added)
    return after, following


def _summed(memory: TorchMemory, part: Block | None, order: Order, size: int) -> Block | None:
    if not order.sums:
        return part
    whole = memory.take(size)
    memory.give(part)
    return whole

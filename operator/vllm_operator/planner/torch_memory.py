"""How torch hands out a GPU's memory: its caching allocator, for tensors of more than 1 MiB.

Which sizes it takes from CUDA, which block a tensor gets, and when one is divided follow c10/cuda/CUDACachingAllocator.
What is allocated in which order is decided by those who use it.
"""

from .accelerators import MIB

SMALL = MIB
"""Up to this size tensors share small segments, which do not count here."""
SHARED_SEGMENT, SHARED_UP_TO = 20 * MIB, 10 * MIB
"""What is taken from CUDA for a tensor below SHARED_UP_TO; larger ones get what they need, in steps."""
STEP = 2 * MIB
ALIGNMENT = 512


class Block:
    """A part of a segment, taken or free; its neighbours are those of the same segment."""

    __slots__ = ("address", "after", "before", "size", "taken")

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self.before: Block | None = None
        self.after: Block | None = None
        self.taken = False


class TorchMemory:
    """One pool. `undivided`: blocks from this size on are never divided (`max_split_size_mb`), in bytes."""

    def __init__(self, undivided: int | None = None) -> None:
        self.reserved = 0
        """Bytes taken from CUDA."""
        self._undivided = undivided
        self._end = 0
        self._free: list[Block] = []

    def take(self, size: int) -> Block | None:
        """A block for a tensor: the smallest free one that is large enough, or a new one; None for a small tensor."""
        if size <= SMALL:
            return None
        size = -(-size // ALIGNMENT) * ALIGNMENT
        block = min((block for block in self._free if self._suits(block, size)), key=_order, default=None)
        if block is None:
            block = self._segment(SHARED_SEGMENT if size < SHARED_UP_TO else -(-size // STEP) * STEP)
        else:
            self._free.remove(block)
        block.taken = True
        if block.size - size > SMALL and (self._undivided is None or size < self._undivided):
            self._divide(block, size)
        return block

    def give(self, *blocks: Block | None) -> None:
        """Free tensors, and join what is free beside each other."""
        for block in blocks:
            if block is not None:
                block.taken = False
                self._free.append(self._joined(block))

    def free_blocks(self) -> frozenset[tuple[int, int]]:
        """Address and size of each."""
        return frozenset((block.address, block.size) for block in self._free)

    def return_free(self) -> None:
        """Give back to CUDA the segments that no tensor is in (`empty_cache`)."""
        whole = [block for block in self._free if block.before is None and block.after is None]
        self.reserved -= sum(block.size for block in whole)
        self._free = [block for block in self._free if block not in whole]

    def _suits(self, block: Block, size: int) -> bool:
        if block.size < size:
            return False
        if self._undivided is None:
            return True
        if size < self._undivided:
            return block.size < self._undivided
        return block.size < size + SHARED_SEGMENT

    def _segment(self, size: int) -> Block:
        block = Block(self._end, size)
        self._end += size
        self.reserved += size
        return block

    def _divide(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size)
        rest.before, rest.after = block, block.after
        if rest.after:
            rest.after.before = rest
        block.after, block.size = rest, size
        self._free.append(rest)

    def _joined(self, block: Block) -> Block:
        if (before := block.before) and not before.taken:
            self._free.remove(before)
            before.size, before.after = before.size + block.size, block.after
            if block.after:
                block.after.before = before
            block = before
        if (after := block.after) and not after.taken:
            self._free.remove(after)
            block.size, block.after = block.size + after.size, after.after
            if after.after:
                after.after.before = block
        return block


def _order(block: Block) -> tuple[int, int]:
    return block.size, block.address

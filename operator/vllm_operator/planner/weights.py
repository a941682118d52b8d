"""Bytes of parameters on one rank, as vLLM's own classes allocate them.

Held against bytes that vLLM 0.32 allocates (tests/planner/golden.json).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .schemes import DTYPE_BYTES, Scheme, plain, schemes_of_all
from .shapes import Cached, Experts, Layer, Linear, ModelShape
from .tiles import UNPADDED, Tiles, round_up

LARGE_TENSOR = 10 << 20
"""From this size on torch's allocator takes memory for a tensor alone, in steps of LARGE_STEP."""
LARGE_STEP = 2 << 20
VOCABULARY_PADDING = 64
"""vLLM pads the vocabulary to a multiple of this (layers/vocab_parallel_embedding.py)."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How the model is spread over GPUs."""

    tensor: int = 1
    pipeline: int = 1
    experts: bool = False
    """Whether whole experts go to each rank, instead of slices of each."""
    data: int = 1
    """Engines of one replica. Each has all weights but experts, which all share out, and a KV cache of its own."""

    @property
    def engine_gpus(self) -> int:
        """GPUs of one engine."""
        return self.tensor * self.pipeline

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.engine_gpus * self.data

    @property
    def sharing_experts(self) -> int:
        """GPUs that share out the experts of a layer (layers/fused_moe/config.py, FusedMoEParallelConfig)."""
        return self.tensor * self.data

    def stages(self, layers: int) -> list[range]:
        """The layers of each pipeline stage: what is left over goes to the stages before the last, from the back."""
        sizes = [layers // self.pipeline] * self.pipeline
        for back in range(2, layers % self.pipeline + 2):
            sizes[-back] += 1
        starts = [sum(sizes[:stage]) for stage in range(self.pipeline)]
        return [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes on one rank."""

    parameters: int
    """What vLLM's modules hold."""
    tables: int
    """Cached cosines and sines."""
    copies: int
    """What is made of the parameters after loading and kept beside them."""
    rounding: int = 0
    """What torch's allocator takes beyond that: it rounds large tensors up."""
    offloaded: int = 0
    """Of the parameters, what stays in the host's memory."""

    @property
    def total(self) -> int:
        """Bytes of all parts on the GPU."""
        return self.parameters + self.tables + self.copies + self.rounding - self.offloaded


@dataclass(frozen=True, slots=True)
class Storage:
    """How matrices are stored on a given GPU."""

    scheme: Scheme
    tiles: Tiles = UNPADDED
    """What experts are padded to."""
    wide_zeros: bool = False
    """Whether the kernel keeps zero points as 16-bit numbers: Machete, on Hopper (kernels/mixed_precision)."""


def rank_weights(model: ModelShape, storage: Storage, ranks: Ranks, stage: int) -> Weights:
    """Weights of one rank of a pipeline stage."""
    layers = ranks.stages(len(model.layers))[stage]
    size = DTYPE_BYTES[model.dtype]
    parameters = edge_bytes(model, storage.scheme, ranks, (stage == 0, stage == ranks.pipeline - 1))
    rounding = copies = 0
    for kind in kinds(model, storage.scheme, layers):
        own = _layer_bytes(model.layers[kind.index], kind.schemes, storage, ranks, size)
        parameters += kind.count * own.parameters
        rounding += kind.count * own.rounding
        copies += kind.count * _latent_copy(model.layers[kind.index], kind.schemes, ranks, size)
    return Weights(parameters, model.rope_bytes, copies, rounding)


def offloadable_bytes(model: ModelShape, storage: Storage, ranks: Ranks, stage: int, parameters: int) -> int:
    """Of a rank's parameters, what may stay in the host's memory: the layers' (model_executor/offloader/uva.py)."""
    ends = (stage == 0, stage == ranks.pipeline - 1)
    return max(0, parameters - edge_bytes(model, storage.scheme, ranks, ends))


@dataclass(slots=True)
class Kind:
    """Equal layers that are stored in the same way: the first of them, and how many they are."""

    index: int
    schemes: tuple[Scheme, ...]
    count: int = 0


def kinds(model: ModelShape, scheme: Scheme, layers: range) -> Iterable[Kind]:
    """The kinds that some layers of a model are of."""
    schemes = schemes_of_all(model.layers, scheme, DTYPE_BYTES[model.dtype])
    found: dict[tuple[int, ...], Kind] = {}
    for index in layers:
        key = (id(model.layers[index]), *map(id, schemes[index]))
        found.setdefault(key, Kind(index, schemes[index])).count += 1
    return found.values()


def edge_bytes(model: ModelShape, scheme: Scheme, ranks: Ranks, ends: tuple[bool, bool]) -> int:
    """Embedding, output head and what else is outside the layers, on a stage that is the first, the last, or neither.

    vLLM gives towers for images and sound to each stage, and of many models embedding and head too.
    """
    size, (first, last) = DTYPE_BYTES[model.dtype], ends
    total = _tower_bytes(model, ranks, size)
    if first or model.embedding_on_all or (last and model.tied and model.head):
        total += _table_bytes(model, ranks, size) + model.position_elements * size
    if not model.tied and (last or model.head_on_all):
        total += _head_bytes(model, scheme, ranks)
    return total + (_rest_bytes(model, size) if last else 0)


def end_bytes(model: ModelShape, scheme: Scheme, ranks: Ranks) -> int:
    """What the last stage reads of it at each step: the output head, and what is before it."""
    return _head_bytes(model, scheme, ranks) + _rest_bytes(model, DTYPE_BYTES[model.dtype])


def _head_bytes(model: ModelShape, scheme: Scheme, ranks: Ranks) -> int:
    """The output head, or the embedding in its place; nothing where there is no head."""
    if not model.head:
        return 0
    if model.tied or not scheme.head:
        return _table_bytes(model, ranks, DTYPE_BYTES[model.dtype])
    return scheme.of_head.matrix_bytes(_rows(model, ranks), model.hidden)


def _rows(model: ModelShape, ranks: Ranks) -> int:
    return -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING // ranks.tensor


def _table_bytes(model: ModelShape, ranks: Ranks, size: int) -> int:
    return _rows(model, ranks) * (model.embedded or model.hidden) * size


def _rest_bytes(model: ModelShape, size: int) -> int:
    none = plain(size)
    linears = sum(sum(_linear_bytes(linear, none, 1, size)) for linear in model.edge_linears)
    return model.edge_elements * size + linears


def _tower_bytes(model: ModelShape, ranks: Ranks, size: int) -> int:
    none, storage = plain(size), Storage(plain(size))
    return sum(
        count * _layer_bytes(layer, (none,) * (len(layer.linears) + 1), storage, ranks, size).parameters
        for layer, count in model.loaded_towers
    )


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes of one layer, or of a few tensors: what they hold, and what the allocator rounds them up by."""

    parameters: int
    rounding: int

    @classmethod
    def of(cls, tensors: Iterable[int]) -> "_Bytes":
        """From the bytes of each tensor."""
        sizes = list(tensors)
        large = (size for size in sizes if size >= LARGE_TENSOR)
        return cls(sum(sizes), sum(round_up(size, LARGE_STEP) - size for size in large))


def _layer_bytes(layer: Layer, schemes: tuple[Scheme, ...], storage: Storage, ranks: Ranks, size: int) -> _Bytes:
    tensors: dict[str, int] = {}
    rest = 0
    for linear, used in zip(layer.linears, schemes, strict=False):
        values, others = _linear_bytes(linear, used, ranks.tensor, size)
        fused = _fused(linear.name)
        tensors[fused] = tensors.get(fused, 0) + values
        rest += others + (_zero_bytes(linear, used, ranks.tensor) if storage.wide_zeros else 0)
    parts = list(tensors.values())
    if layer.experts:
        parts += expert_bytes(layer.experts, schemes[-1], storage.tiles, ranks, size)
    held = _Bytes.of(parts)
    rest += size * (layer.elements + layer.split_elements // ranks.tensor)
    rest += 4 * (layer.float32_elements + layer.split_float32_elements // ranks.tensor)
    return _Bytes(held.parameters + rest, held.rounding)


def _fused(name: str) -> str:
    """The tensor that vLLM keeps a matrix in: queries, keys and values are one, gate and up are one."""
    stem, _, last = name.rpartition(".")
    if last in {"q_proj", "k_proj", "v_proj"}:
        return f"{stem}.qkv_proj"
    return name.replace("gate_proj", "gate_up_proj").replace(".up_proj", ".gate_up_proj")


def _zero_bytes(linear: Linear, scheme: Scheme, tensor: int) -> int:
    """What 16-bit zero points take beyond packed ones. Machete takes matrices of whole tiles; Marlin the others."""
    rows, columns = linear.rank_rows(tensor), linear.rank_columns(tensor)
    if not scheme.zero_bits or rows % 128 or columns % 64:
        return 0
    groups = -(-columns // scheme.group) if scheme.group > 0 else 1
    return int(rows * groups * (16 - scheme.zero_bits) / 8)


def _linear_bytes(linear: Linear, scheme: Scheme, tensor: int, size: int) -> tuple[int, int]:
    """Bytes of the matrix's values, and of its scales, zero points and bias."""
    rows, columns = linear.rank_rows(tensor), linear.rank_columns(tensor)
    values = int(rows * columns * scheme.bits / 8)
    return values, scheme.matrix_bytes(rows, columns) - values + (rows * size if linear.bias else 0)


def rank_experts(experts: Experts, scheme: Scheme, ranks: Ranks, tiles: Tiles) -> tuple[int, int, int]:
    """Experts on one rank, and their hidden and inner size there, padded."""
    count = -(-experts.count // (ranks.sharing_experts if ranks.experts else 1))
    inner = -(-experts.intermediate // (1 if ranks.experts else ranks.sharing_experts))
    return count, *tiles.padded(experts, scheme, inner)


def expert_bytes(experts: Experts, scheme: Scheme, tiles: Tiles, ranks: Ranks, size: int) -> list[int]:
    """Bytes of each tensor: the values of both matrices, their scales, and the biases."""
    count, hidden, width = rank_experts(experts, scheme, ranks, tiles)
    shapes = (((experts.matrices - 1) * width, hidden), (hidden, width))
    tensors = []
    for rows, columns in shapes:
        values = int(rows * columns * scheme.bits / 8)
        scales = scheme.matrix_bytes(rows, columns) - values
        tensors += [count * values, count * scales, count * rows * size if experts.bias else 0]
    return tensors


def _latent_copy(layer: Layer, schemes: tuple[Scheme, ...], ranks: Ranks, size: int) -> int:
    """MLA keeps a quantized expansion of keys and values once more, unquantized (layers/attention/mla_attention.py).

    One that is not quantized is kept as views, by the source; what five engines took is that of keys once more.
    """
    if layer.cache is None or layer.cache.kind is not Cached.LATENT:
        return 0
    values = sum(one.rank_columns(ranks.tensor) for one in layer.linears if one.name.endswith("o_proj"))
    total = 0
    for linear, used in zip(layer.linears, schemes, strict=False):
        if linear.name.endswith("kv_b_proj"):
            rows = linear.rank_rows(ranks.tensor)
            total += (rows if used.method else max(0, rows - values)) * linear.columns * size
    return total

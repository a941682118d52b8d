"""Bytes of parameters on one rank, as vLLM's own classes allocate them.

Held against bytes that vLLM 0.32 allocates (tests/planner/golden.json).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from .quantization import DTYPE_BYTES, MXFP4_BLOCK, Scheme, Selection, is_quantized
from .shapes import Cached, Experts, Layer, Linear, Model

VOCABULARY_PADDING = 64
"""vLLM pads the vocabulary to a multiple of this (layers/vocab_parallel_embedding.py)."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How the model is spread over GPUs."""

    tensor: int = 1
    pipeline: int = 1
    experts: bool = False
    """Whether whole experts go to each rank, instead of slices of each."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline

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

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.tables + self.copies


@dataclass(frozen=True, slots=True)
class Storage:
    """How matrices are stored on a given GPU."""

    scheme: Scheme
    padding: tuple[int, int] = (1, 1)
    """What MXFP4 experts' hidden and intermediate sizes are padded to (layers/fused_moe/oracle/mxfp4.py)."""


def rank_weights(model: Model, storage: Storage, ranks: Ranks, stage: int) -> Weights:
    """Weights of one rank of a pipeline stage."""
    layers = ranks.stages(len(model.layers))[stage]
    first, last = stage == 0, stage == ranks.pipeline - 1
    size = DTYPE_BYTES[model.dtype]
    parameters = _edge_bytes(model, storage.scheme, ranks, (first, last))
    selection = Selection.of(storage.scheme.ignored)
    if storage.scheme.ignored:
        parameters += sum(
            _layer_bytes(
                model.layers[index], storage, ranks, _left_alone(model, storage.scheme, selection, index), size
            )
            for index in layers
        )
    else:
        parameters += sum(
            _layer_bytes(layer, storage, ranks, frozenset(), size) * len(list(run))
            for layer, run in groupby(model.layers[index] for index in layers)
        )
    copies = sum(_latent_copy(model.layers[index], ranks, size) for index in layers)
    return Weights(parameters, model.rope_bytes, copies)


def _edge_bytes(model: Model, scheme: Scheme, ranks: Ranks, ends: tuple[bool, bool]) -> int:
    """Embedding, output head and what else is outside the layers, on the first and the last stage."""
    size, (first, last) = DTYPE_BYTES[model.dtype], ends
    rows = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING // ranks.tensor
    table = rows * model.hidden * size
    total = 0
    if first or (model.tied and last):
        total += table
    if last and not model.tied:
        total += scheme.matrix_bytes(rows, model.hidden) if scheme.head else table
    if last or first:
        total += model.edge_elements * size if last else 0
    plain = Scheme("", 8 * size)
    if last:
        total += sum(_linear_bytes(linear, plain, 1, size) for linear in model.edge_linears)
    return total


def _left_alone(model: Model, scheme: Scheme, selection: Selection, index: int) -> frozenset[str]:
    """Names of the matrices in a layer that are not quantized."""
    layer, prefix = model.layers[index], f"model.layers.{index}"
    names = {linear.name for linear in layer.linears if not is_quantized(scheme, selection, linear, prefix)}
    if layer.experts and selection.has(f"{prefix}.{layer.experts.name}"):
        names.add(layer.experts.name)
    return frozenset(names)


@lru_cache(maxsize=4096)
def _layer_bytes(layer: Layer, storage: Storage, ranks: Ranks, alone: frozenset[str], size: int) -> int:
    plain = Scheme("", 8 * size)
    scheme = storage.scheme
    quantized = scheme if scheme.method and not scheme.experts_only else plain
    total = sum(
        _linear_bytes(
            linear, quantized if linear.quantizable and linear.name not in alone else plain, ranks.tensor, size
        )
        for linear in layer.linears
    )
    if layer.experts:
        used = plain if layer.experts.name in alone or scheme.linears_only else scheme
        total += _expert_bytes(layer.experts, used, storage.padding, ranks, size)
    return total + size * (layer.elements + layer.split_elements // ranks.tensor) + 4 * _float32(layer, ranks)


def _float32(layer: Layer, ranks: Ranks) -> int:
    """The router's correction is whole on every rank; a state's decay is split."""
    split = layer.cache is not None and layer.cache.kind is Cached.STATE
    return layer.float32_elements // (ranks.tensor if split else 1)


def _linear_bytes(linear: Linear, scheme: Scheme, tensor: int, size: int) -> int:
    rows, columns = linear.rank_rows(tensor), linear.rank_columns(tensor)
    return scheme.matrix_bytes(rows, columns) + (rows * size if linear.bias else 0)


def _expert_bytes(experts: Experts, scheme: Scheme, padding: tuple[int, int], ranks: Ranks, size: int) -> int:
    spread = ranks.tensor if ranks.experts else 1
    count = -(-experts.count // spread)
    width = -(-experts.intermediate // (1 if ranks.experts else ranks.tensor))
    hidden = experts.hidden
    if scheme.group == MXFP4_BLOCK and scheme.bits == 4:
        hidden, width = _round_up(hidden, padding[0]), _round_up(width, padding[1])
    into = scheme.matrix_bytes((experts.matrices - 1) * width, hidden)
    out = scheme.matrix_bytes(hidden, width)
    bias = size * ((experts.matrices - 1) * width + hidden) if experts.bias else 0
    return count * (into + out + bias)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _latent_copy(layer: Layer, ranks: Ranks, size: int) -> int:
    """MLA keeps the expansion of keys and values a second time, unquantized (layers/attention/mla_attention.py)."""
    if layer.cache is None or layer.cache.kind is not Cached.LATENT:
        return 0
    return sum(
        linear.rank_rows(ranks.tensor) * linear.columns * size
        for linear in layer.linears
        if linear.name.endswith("kv_b_proj")
    )


def total_parameters(layers: Iterable[Layer]) -> int:
    """Weights in the layers' matrices, for an estimate from the bytes of the headers."""
    return sum(
        sum(linear.rows * linear.columns for linear in layer.linears)
        + (layer.experts.count * layer.experts.matrices * layer.experts.hidden * layer.experts.intermediate
           if layer.experts else 0)
        for layer in layers
    )  # fmt: skip

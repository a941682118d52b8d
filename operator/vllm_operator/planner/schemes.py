"""How one matrix is stored: bytes of its values, scales and zero points, and which scheme each matrix of a layer has.

Formulas: vLLM 0.32, model_executor/layers/quantization. Reading a checkpoint's words is `checkpoints.py`.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from .identity import Same
from .selection import NAMES_OF_EXPERTS, Selection
from .shapes import Layer, Linear

MOST_STEPS = 1 << 21
"""Of RE2 for each character, for the names of all matrices of a model: about a second. Real models take 100,000."""
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4}
MXFP4_BLOCK = 32


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Which matrices a checkpoint's schemes are for. Compares by identity."""

    ignored: Selection
    """What is not quantized."""
    groups: tuple[tuple[Selection, "Scheme | None"], ...] = ()
    """Schemes of parts of the model, the first that matches; None: not quantized."""
    head: "Scheme | None" = None
    """The output head's scheme, where it is another one."""
    rest: bool = True
    """Whether what no group matches has the scheme that the rules belong to; otherwise it is not quantized."""

    @property
    def undecided(self) -> bool:
        """Whether a pattern among them cannot be run."""
        return self.ignored.undecided or any(selection.undecided for selection, _ in self.groups)

    @property
    def instructions(self) -> int:
        """What trying all their patterns on one name takes."""
        return sum(one.instructions for one in (self.ignored, *(selection for selection, _ in self.groups)))


NO_RULES = Rules(Selection(frozenset(), (), {}, None))
_UNDECIDED = Rules(Selection(frozenset(), (), {}, None, undecided=True))


@dataclass(frozen=True, slots=True)
class Scheme:
    """How matrices are stored: `bits` per weight, and what each group or block of weights carries besides."""

    method: str
    """vLLM's name of the quantization; "" for none."""
    bits: float
    group: int = 0
    """Inputs that share a scale; 0: a whole column of them."""
    scale_bytes: float = 0
    """Bytes of scales, for each output and group (or for each block)."""
    zero_bits: float = 0
    """Bits of zero points, for each output and group."""
    block: tuple[int, int] | None = None
    """Outputs and inputs of a block that shares one scale."""
    block_bytes: int = 4
    """Bytes of a block's scale."""
    index_bytes: int = 0
    """Bytes for each input (GPTQ's order of activations)."""
    tensor_bytes: int = 0
    """Bytes for each matrix."""
    experts_only: bool = False
    linears_only: bool = False
    symmetric: bool = True
    """Whether its zero points are all the same (AutoRound's sym); other quantizations do not say it here."""
    head: bool = False
    """Whether the output head is quantized as well."""
    rules: Rules = NO_RULES
    fused_input: str = ""
    """fp8 or int8 where inputs are quantized too, in one kernel with what comes before; "" where they are not."""

    @property
    def of_head(self) -> "Scheme":
        """The scheme of the output head, where it is quantized."""
        return self.rules.head or self

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a matrix of `rows` outputs and `columns` inputs on one rank."""
        weights = rows * columns * self.bits / 8
        if self.block:
            scales = float(self.block_bytes) * -(-rows // self.block[0]) * -(-columns // self.block[1])
        else:
            groups = -(-columns // self.group) if self.group > 0 else 1
            scales = rows * groups * (self.scale_bytes + self.zero_bits / 8)
        return int(weights + scales + self.index_bytes * columns + self.tensor_bytes)


def plain(size: int) -> Scheme:
    """No quantization: `size` bytes a weight."""
    return Scheme("", 8 * size)


def affordable(scheme: Scheme, layers: tuple[Layer, ...]) -> Scheme:
    """The scheme; undecided where its patterns take so long that others would wait for the plan."""
    names = sum(len(layer.linears) + NAMES_OF_EXPERTS * (layer.experts is not None) for layer in layers)
    return scheme if scheme.rules.instructions * names <= MOST_STEPS else replace(scheme, rules=_UNDECIDED)


def schemes_of_all(layers: tuple[Layer, ...], scheme: Scheme, size: int) -> tuple[tuple[Scheme, ...], ...]:
    """The schemes of each layer, as `schemes_of` gives them. `size`: bytes of a value that is not quantized."""
    return _schemes_of_all(Same(layers), Same(scheme), size)


@lru_cache(maxsize=8)
def _schemes_of_all(layers: Same[tuple[Layer, ...]], scheme: Same[Scheme], size: int) -> tuple[tuple[Scheme, ...], ...]:
    none, rules = plain(size), scheme.value.rules
    if rules.ignored or rules.groups:
        return tuple(schemes_of(scheme.value, layer, index, none) for index, layer in enumerate(layers.value))
    known: dict[int, tuple[Scheme, ...]] = {}
    for index, layer in enumerate(layers.value):
        if id(layer) not in known:
            known[id(layer)] = schemes_of(scheme.value, layer, index, none)
    return tuple(known[id(layer)] for layer in layers.value)


def schemes_of(scheme: Scheme, layer: Layer, index: int, none: Scheme) -> tuple[Scheme, ...]:
    """The scheme of each matrix of a layer, and last that of its experts. `none`: what is not quantized."""
    name = f"layers.{index}"
    own = [_of_linear(scheme, linear, name, none) for linear in layer.linears]
    return (*own, _of_experts(scheme, layer, name, none))


def _of_linear(scheme: Scheme, linear: Linear, layer: str, none: Scheme) -> Scheme:
    if (
        not scheme.method
        or not linear.quantizable
        or scheme.experts_only
        or scheme.rules.ignored.has(layer, linear.name)
    ):
        return none
    for selection, one in scheme.rules.groups:
        if selection.has(layer, linear.name):
            return one or none
    return scheme if scheme.rules.rest else none


def _of_experts(scheme: Scheme, layer: Layer, name: str, none: Scheme) -> Scheme:
    experts = layer.experts
    if (
        experts is None
        or not scheme.method
        or scheme.linears_only
        or scheme.rules.ignored.has_experts(name, experts.name)
    ):
        return none
    for selection, one in scheme.rules.groups:
        if selection.has_experts(name, experts.name):
            return one or none
    return scheme if scheme.rules.rest else none

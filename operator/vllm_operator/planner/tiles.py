"""What kernels make the experts of a rank wider by: their tiles, and zeros up to whole ones.

Source: vLLM 0.32, layers/fused_moe/oracle and layers/quantization/utils.
"""

from dataclasses import dataclass
from enum import StrEnum

from .schemes import MXFP4_BLOCK, Scheme
from .shapes import Experts

MARLIN_TILES = (256, 128)
"""What hidden and inner size of MXFP4 experts are padded to for Marlin, which is the kernel that takes adapters
(layers/fused_moe/oracle/mxfp4.py)."""
FLASHINFER_TILE = 128
"""What FlashInfer's kernel pads the inner size of unquantized experts to (layers/fused_moe/oracle/unquantized.py)."""
_NVFP4_BLOCK = 16


class Fp4(StrEnum):
    """Kernels of NVFP4 experts that pad them."""

    NONE = ""
    MARLIN = "marlin"
    """quantization/utils/marlin_utils_fp4.py, prepare_nvfp4_moe_layer_for_marlin."""
    FLASHINFER = "flashinfer"
    """quantization/utils/flashinfer_fp4_moe.py."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of a GPU's kernels, by how experts are stored."""

    mxfp4: tuple[int, int] = (1, 1)
    """Multiples that hidden and inner size are padded to."""
    nvfp4: Fp4 = Fp4.NONE
    plain: int = 1
    """Multiple that the inner size of experts is padded to that are not quantized."""

    def padded(self, experts: Experts, scheme: Scheme, inner: int) -> tuple[int, int]:
        """Hidden and inner size of experts of which a rank has `inner`."""
        hidden, tile = self._of(experts, scheme)
        return round_up(experts.hidden, hidden), round_up(inner, tile)

    def _of(self, experts: Experts, scheme: Scheme) -> tuple[int, int]:
        if not scheme.method:
            return 1, self.plain if experts.common_routing and not experts.bias else 1
        if scheme.bits != 4 or scheme.scale_bytes != 1:
            return 1, 1
        if scheme.group == MXFP4_BLOCK:
            return self.mxfp4
        if scheme.group == _NVFP4_BLOCK and self.nvfp4 is Fp4.FLASHINFER:
            return 256, 64 if experts.gated else 128
        if scheme.group == _NVFP4_BLOCK and self.nvfp4 is Fp4.MARLIN:
            return 1, 128 if experts.hidden % 128 else 64
        return 1, 1


UNPADDED = Tiles()


def round_up(value: int, multiple: int) -> int:
    """The next whole multiple."""
    return -(-value // multiple) * multiple

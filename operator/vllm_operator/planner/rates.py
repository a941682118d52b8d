"""What the GPUs of the catalogue can do in a second at most: memory, products of matrices, what GPUs exchange.

From the vendors' data sheets: dense products (without sparsity) that add up in 32 bits, one direction of the links.
What of it engines get is measured (`roofline.py`), on the products that say so here.
"""

from dataclasses import dataclass
from typing import NamedTuple

from .accelerators import Gpu


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one GPU, at most."""

    bandwidth: float
    """Bytes of memory per second."""
    wide: float
    """Operations per second of products in 16 bits."""
    narrow: float
    """The same in fp8; where the GPU has none, those in 16 bits: vLLM then widens the weights."""
    link: float
    """Bytes per second to the other GPUs of its node."""
    measured: bool
    """Whether engines were measured on it."""


class _Sheet(NamedTuple):
    """As data sheets have it: TB/s, TFLOPS in 16 and in 8 bits, GB/s."""

    bandwidth: float
    wide: float
    narrow: float
    link: float


MEASURED = frozenset({"H100-80GB", "H200"})
PCIE3, PCIE4, PCIE5 = 16, 32, 64

_SHEETS: dict[str, _Sheet] = {
    "H100-80GB": _Sheet(3.35, 989, 1979, 450),
    "H200": _Sheet(4.8, 989, 1979, 450),
    "T4": _Sheet(0.32, 65, 65, PCIE3),
    "L4": _Sheet(0.3, 121, 242, PCIE4),
    "A10": _Sheet(0.6, 125, 125, PCIE4),
    "A10G": _Sheet(0.6, 70, 70, PCIE4),
    "A30": _Sheet(0.933, 165, 165, PCIE4),
    "RTX-3090": _Sheet(0.936, 71, 71, PCIE4),
    "RTX-4090": _Sheet(1.008, 165, 330, PCIE4),
    "RTX-5090": _Sheet(1.792, 209, 419, PCIE5),
    "A40": _Sheet(0.696, 150, 150, PCIE4),
    "RTX-A6000": _Sheet(0.768, 155, 155, PCIE4),
    "RTX-6000-Ada": _Sheet(0.96, 364, 728, PCIE4),
    "L40": _Sheet(0.864, 181, 362, PCIE4),
    "L40S": _Sheet(0.864, 362, 733, PCIE4),
    "RTX-PRO-6000": _Sheet(1.597, 500, 1000, PCIE5),
    "A100-40GB": _Sheet(1.555, 312, 312, 300),
    "RTX-A5000": _Sheet(0.768, 111, 111, PCIE4),
    "A100-80GB": _Sheet(2.039, 312, 312, 300),
    "A800-80GB": _Sheet(2.039, 312, 312, 200),
    "H100-NVL": _Sheet(3.938, 835, 1671, 300),
    "H20": _Sheet(4.0, 148, 296, 450),
    "GH200-96GB": _Sheet(4.0, 989, 1979, 450),
    "B200": _Sheet(8.0, 2250, 4500, 900),
    "MI300X": _Sheet(5.3, 1307, 2615, 448),
    "MI325X": _Sheet(6.0, 1307, 2615, 448),
}


def rates_of(gpu: Gpu) -> Rates | None:
    """What a GPU of the catalogue can do; None for others, and for a part of one, of which no data sheet tells."""
    sheet = None if gpu.is_partial else _SHEETS.get(gpu.name)
    if sheet is None:
        return None
    tera, giga = 1e12, 1e9
    return Rates(
        sheet.bandwidth * tera, sheet.wide * tera, sheet.narrow * tera, sheet.link * giga, gpu.name in MEASURED
    )

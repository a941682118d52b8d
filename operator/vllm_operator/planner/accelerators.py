"""The catalogue of GPUs: memory as CUDA reports it, and what each can compute.

The label of GPU feature discovery (nvidia.com/gpu.memory) is nvidia-smi's total, more than a program gets: 81,559
against 81,079 MiB on an H100. vLLM plans with the latter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of device."""

    name: str
    """Products of one name are devices of one name to vLLM, which looks for "a100" in it (engine/arg_utils.py)."""
    total_bytes: int
    """What cudaMemGetInfo reports as the total."""
    capability: tuple[int, int]
    """CUDA's compute capability; (0, 0) for AMD, and for the CPU."""
    margin: float = 0.0
    """Part of the total that may be wrong, where it was not measured."""
    products: tuple[str, ...] = ()
    """Values of the nodes' product label."""
    cost: float = inf
    """What one costs against others, in no unit: the price rank of a shape is this times its GPUs. inf: not known."""
    vendor: str = "nvidia"
    doubt: str = ""
    """What is not known of the total, as a clause; "" where it is known."""
    share: float = 1.0
    """What a pod's devices are of the GPU: less than 1 where pods share it; 0: nothing tells by how many."""
    is_slice: bool = False
    """Whether it is a slice with memory of its own (MIG)."""

    @property
    def is_partial(self) -> bool:
        """Whether a device is less than a GPU."""
        return self.is_slice or self.share < 1

    @property
    def own_bytes(self) -> int:
        """What of the total is for one pod."""
        return int(self.total_bytes * min(1.0, self.share))

    @property
    def of_servers(self) -> bool:
        """Whether it is made for servers; others are for consumers and workstations, and few clusters have them."""
        return not self.name.startswith("RTX-") or any("Server" in product for product in self.products)


def _measured(name: str, total: int, capability: tuple[int, int], cost: float, *products: str) -> Gpu:
    """A total that was read off a device. Other drivers keep up to 0.1 % more for themselves."""
    return Gpu(name, total, capability, 0.001, products, cost)


def _published(name: str, gib: float, capability: tuple[int, int], cost: float, *products: str) -> Gpu:
    """A total that torch prints with two decimals of a GiB in its messages."""
    return Gpu(name, int(gib * GIB), capability, 0.004, products, cost)


def _with_or_without_ecc(name: str, gib: float, capability: tuple[int, int], cost: float, *products: str) -> Gpu:
    """The mean of both totals: error correction can be switched on, and takes a sixteenth."""
    doubt = f"the memory of {name} depends on whether error correction is on"
    return Gpu(name, int(gib * (1 - 1 / 32) * GIB), capability, 0.036, products, cost, doubt=doubt)


# Costs are about what clouds ask for an hour of one, the T4 as 4: enough for an order, and the platform team's own win.
# The first two: cudaMemGetInfo on the devices. The others: totals in messages of torch (driver 535 to 580).
CATALOGUE: tuple[Gpu, ...] = (
    _measured("H100-80GB", 85_017_493_504, (9, 0), 60, "NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe"),
    _measured("H200", 150_109_880_320, (9, 0), 75, "NVIDIA-H200"),
    _published("T4", 14.56, (7, 5), 4, "Tesla-T4", "NVIDIA-T4"),
    _published("L4", 22.03, (8, 9), 8, "NVIDIA-L4"),
    _published("A10", 21.98, (8, 6), 9, "NVIDIA-A10"),
    _published("A10G", 21.98, (8, 6), 10, "NVIDIA-A10G"),
    _published("A30", 23.50, (8, 0), 11, "NVIDIA-A30"),
    _published("RTX-3090", 23.56, (8, 6), 5, "NVIDIA-GeForce-RTX-3090"),
    _published("RTX-4090", 23.52, (8, 9), 7, "NVIDIA-GeForce-RTX-4090"),
    _published("RTX-5090", 31.36, (12, 0), 12, "NVIDIA-GeForce-RTX-5090"),
    _published("A40", 44.35, (8, 6), 13, "NVIDIA-A40"),
    _with_or_without_ecc("RTX-A6000", 47.40, (8, 6), 14, "NVIDIA-RTX-A6000"),
    _with_or_without_ecc("RTX-6000-Ada", 47.38, (8, 9), 19, "NVIDIA-RTX-6000-Ada-Generation"),
    _published("L40", 44.32, (8, 9), 16, "NVIDIA-L40"),
    _published("L40S", 44.39, (8, 9), 18, "NVIDIA-L40S"),
    _published("RTX-PRO-6000", 94.97, (12, 0), 28, "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"),
    _published("A100-40GB", 39.38, (8, 0), 29, "NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-PCIE-40GB"),
    _published("RTX-A5000", 23.68, (8, 6), 6, "NVIDIA-RTX-A5000"),
    _published("A100-80GB", 79.14, (8, 0), 36, "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"),
    _published("A800-80GB", 79.14, (8, 0), 37, "NVIDIA-A800-SXM4-80GB", "NVIDIA-A800-80GB-PCIe"),
    _published("H100-NVL", 93.00, (9, 0), 62, "NVIDIA-H100-NVL"),
    _published("H20", 95.00, (9, 0), 38, "NVIDIA-H20"),
    _published("GH200-96GB", 94.50, (9, 0), 63, "NVIDIA-GH200-480GB"),
    _published("B200", 178.35, (10, 0), 120, "NVIDIA-B200"),
    Gpu("MI300X", int(191.98 * GIB), (0, 0), 0.004, ("AMD_Instinct_MI300X_OAM", "AMD-Instinct-MI300X-OAM"), 65, "amd"),
    Gpu("MI325X", int(255.98 * GIB), (0, 0), 0.004, ("AMD_Instinct_MI325X_OAM", "AMD-Instinct-MI325X-OAM"), 80, "amd"),
)

_LABEL_LOSS = 0.03
_LABEL_LOSS_BYTES = GIB


def find(name: str) -> Gpu | None:
    """The GPU of this name or product label, in any case, with or without NVIDIA in front; None: not known."""
    wanted = _plain(name)
    for gpu in CATALOGUE:
        if wanted in {_plain(known) for known in (gpu.name, *gpu.products)}:
            return gpu
    return next((gpu for gpu in CATALOGUE if wanted == _plain(gpu.name).removesuffix("80gb")), None)


def names() -> list[str]:
    """Names of all GPUs of the catalogue, cheapest first."""
    return [gpu.name for gpu in sorted(CATALOGUE, key=lambda gpu: gpu.cost)]


def priced(gpu: Gpu, prices: Mapping[str, float]) -> Gpu:
    """The GPU with the platform's own price, where `prices` has one by its name or by a product label."""
    known = (price for name, price in prices.items() if name == gpu.name or name in gpu.products or find(name) is gpu)
    own = next(known, None)
    return gpu if own is None else replace(gpu, cost=own)


def by_price(vendor: str, prices: Mapping[str, float]) -> list[Gpu]:
    """The catalogue's GPUs of a vendor, cheapest first."""
    return sorted((priced(gpu, prices) for gpu in CATALOGUE if gpu.vendor == vendor), key=lambda gpu: gpu.cost)


def cpu(memory_bytes: int) -> Gpu:
    """A pod on the CPU, with this much memory (its limit)."""
    return Gpu("CPU", memory_bytes, (0, 0), vendor="cpu")


def of_label(product: str, label_mib: int, capability: tuple[int, int], *, is_slice: bool = False) -> Gpu:
    """A GPU, or a slice of one, that the catalogue lacks, from its nodes' labels.

    These have nvidia-smi's total; the plan takes off what a program may not get of it.
    """
    label = label_mib * MIB
    total = label - min(int(label * _LABEL_LOSS), _LABEL_LOSS_BYTES)
    doubt = f"the memory of {product} is taken from what its nodes tell"
    return Gpu(product, total, capability, 0.01, (product,), doubt=doubt, is_slice=is_slice)


def _plain(name: str) -> str:
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    return letters.removeprefix("nvidia").removeprefix("geforce").removeprefix("tesla")

"""What a plan needs to know of the devices in a ResourceSlice. Pure: a slice's body in, devices out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..api.limits import WORD_CHARACTERS, mapping, text_of
from ..api.quantities import exact
from ..api.resource import Body

Value = str | int | bool
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Device:
    """One device, as its driver tells of it."""

    driver: str
    node: str
    """Empty for one that any node can have."""
    attributes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """By domain and name: a name without a domain is the driver's."""
    capacity: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)

    @property
    def memory_mib(self) -> int | None:
        """Its memory; None where the driver does not tell."""
        size = self.capacity.get(self.driver, {}).get("memory")
        return int(size) // _MIB if size else None

    @property
    def product(self) -> str:
        """As nodes are labelled: NVIDIA-H100-80GB-HBM3, with -MIG-1g.10gb for a slice; empty where it is not told."""
        own = self.attributes.get(self.driver, {})
        name = str(own.get("productName") or "").replace(" ", "-")
        return f"{name}-MIG-{own['profile']}" if name and own.get("profile") else name

    @property
    def capability(self) -> str | None:
        """CUDA's compute capability: 9.0."""
        version = str(self.attributes.get(self.driver, {}).get("cudaComputeCapability") or "")
        return ".".join(version.split(".")[:2]) or None


def devices_in(body: Body) -> Iterator[Device]:
    """The devices of a slice. What is odd in one is left out."""
    spec = mapping(body.get("spec"))
    driver, node = text_of(spec.get("driver"), WORD_CHARACTERS), text_of(spec.get("nodeName"), WORD_CHARACTERS)
    for one in spec.get("devices") or ():
        attributes: dict[str, dict[str, Value]] = {driver: {}}
        capacity: dict[str, dict[str, Fraction]] = {driver: {}}
        for name, value in mapping(one.get("attributes")).items():
            _put(attributes, driver, name, next(iter(mapping(value).values()), ""))
        for name, value in mapping(one.get("capacity")).items():
            _put(capacity, driver, name, _amount(mapping(value).get("value")))
        yield Device(driver, node, attributes, capacity)


def _put(found: dict[str, dict[str, Any]], driver: str, name: str, value: Any) -> None:
    domain, _, own = name.rpartition("/")
    found.setdefault(domain or driver, {})[own] = value


def _amount(text: Any) -> Fraction:
    try:
        return exact(str(text))
    except ValueError:
        return Fraction()

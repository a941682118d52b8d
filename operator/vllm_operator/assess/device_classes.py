"""Which devices a DeviceClass has, by product: from its selectors and what drivers tell of devices. Pure.

Only the class's own selectors are evaluated, which administrators write. `accelerator.deviceSelector` is a tenant's,
may take any time, and is the scheduler's business: a plan is for whatever the class has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..api.limits import mapping
from ..snapshots.device import Device
from .nodes import Devices


@dataclass(frozen=True, slots=True)
class Claimed:
    """The devices of a class by product; where there are none of which anything is known, why."""

    devices: tuple[Devices, ...] = ()
    why: str = ""


class _Kind(NamedTuple):
    product: str
    memory_mib: int | None
    capability: str | None


def claimed(name: str, device_class: Mapping[str, Any] | None, devices: Iterable[Device]) -> Claimed:
    """What pods get of a class. `device_class`: its body; None: there is none."""
    if device_class is None:
        return Claimed(why=f"there is no DeviceClass {name}")
    selectors = mapping(device_class.get("spec")).get("selectors") or ()
    rules = [str(mapping(mapping(one).get("cel")).get("expression") or "") for one in selectors]
    text = " ".join(rules)
    counts, known = Counter[tuple[_Kind, str]](), dict[object, bool]()
    for device in devices:
        told = _told(device, text)
        if told not in known:
            known[told] = _selected(device, rules)
        if known[told]:
            counts[_kind(device), device.node] += 1
    if not counts:
        return Claimed(why=f"no ResourceSlice has a device of DeviceClass {name}")
    if any(kind.memory_mib is None for kind, _ in counts):
        return Claimed(why=f"the driver does not tell the memory of devices of class {name}: set accelerator.memory")
    most = Counter[_Kind]()
    for (kind, _), count in counts.items():
        most[kind] = max(most[kind], count)
    found = (Devices(kind.product, count, kind.memory_mib, kind.capability) for kind, count in most.items())
    return Claimed(tuple(sorted(found, key=lambda one: (one.product, one.memory_mib))))


def _kind(device: Device) -> _Kind:
    return _Kind(device.product or f"the device of {device.driver}", device.memory_mib, device.capability)


def _told(device: Device, rules: str) -> object:
    """What of a device the rules' text can see: thousands of devices are of a few kinds."""
    seen = [
        (domain, name, value)
        for shown in (device.attributes, device.capacity)
        for domain, values in shown.items()
        for name, value in values.items()
        if name in rules
    ]
    return device.driver, tuple(sorted(seen, key=str))


def _selected(device: Device, rules: Sequence[str]) -> bool:
    """Whether a device meets all rules; one about which a rule fails is none that a pod gets."""
    # Seven MiB that only clusters with DeviceClasses need.
    from ..api.expressions import evaluate  # noqa: PLC0415

    # As `quantity` of an expression has it.
    capacity = {domain: {name: str(one) for name, one in values.items()} for domain, values in device.capacity.items()}
    shown = {"driver": device.driver, "attributes": device.attributes, "capacity": capacity}
    try:
        return all(evaluate(rule, shown, "device") is True for rule in rules)
    except ValueError:
        return False

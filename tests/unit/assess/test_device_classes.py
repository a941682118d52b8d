"""Which devices a DeviceClass has, from its selectors and the slices of drivers."""

from typing import Any

import pytest

from vllm_operator.assess.device_classes import Claimed, claimed
from vllm_operator.assess.nodes import Devices
from vllm_operator.snapshots.device import Device, devices_in

NVIDIA = "gpu.nvidia.com"
H100, MIG = "NVIDIA H100 80GB HBM3", "1g.10gb"
GPUS = f"device.driver == '{NVIDIA}' && device.attributes['{NVIDIA}'].type == 'gpu'"


def device(number: int, memory: str = "81559Mi", kind: str = "gpu", **more: Any) -> dict[str, Any]:
    """As NVIDIA's driver writes one."""
    attributes: dict[str, Any] = {
        "type": {"string": kind},
        "uuid": {"string": f"GPU-{number}"},
        "index": {"int": number},
        "productName": {"string": H100},
        "cudaComputeCapability": {"version": "9.0.0"},
        "resource.kubernetes.io/pcieRoot": {"string": "pci0000:01"},
        **more,
    }
    return {"name": f"gpu-{number}", "attributes": attributes, "capacity": {"memory": {"value": memory}}}


def in_slices(*slices: tuple[str, str, list[dict[str, Any]]]) -> list[Device]:
    """Devices by driver and node."""
    bodies = [{"spec": {"driver": driver, "nodeName": node, "devices": found}} for driver, node, found in slices]
    return [one for body in bodies for one in devices_in(body)]


def class_of(*rules: str) -> dict[str, Any]:
    return {"spec": {"selectors": [{"cel": {"expression": rule}} for rule in rules]}}


FLEET = in_slices(
    (NVIDIA, "a", [device(0), device(1), device(2, "9984Mi", "mig", profile={"string": MIG})]),
    (NVIDIA, "b", [device(0)]),
    ("nic.example.com", "a", [{"name": "nic-0"}]),
)


def test_a_class_has_what_its_selectors_take() -> None:
    whole = Devices("NVIDIA-H100-80GB-HBM3", 2, 81559, "9.0")
    assert claimed("gpus", class_of(GPUS), FLEET) == Claimed((whole,))
    slices = class_of(GPUS.replace("'gpu'", "'mig'"))
    assert claimed("mig", slices, FLEET) == Claimed((Devices(f"NVIDIA-H100-80GB-HBM3-MIG-{MIG}", 1, 9984, "9.0"),))
    both = claimed("any", class_of(f"device.driver == '{NVIDIA}'"), FLEET)
    assert [one.memory_mib for one in both.devices] == [81559, 9984]


def test_all_selectors_hold_and_quantities_are_compared() -> None:
    large = f"device.capacity['{NVIDIA}'].memory.compareTo(quantity('40Gi')) >= 0"
    found = claimed("large", class_of(f"device.driver == '{NVIDIA}'", large), FLEET)
    assert [one.memory_mib for one in found.devices] == [81559]


@pytest.mark.parametrize(
    ("device_class", "why"),
    [
        (None, "there is no DeviceClass gpus"),
        (class_of("device.driver == 'gpu.amd.com'"), "no ResourceSlice has a device of DeviceClass gpus"),
        (class_of("device.attributes['other.com'].kind == 'x'"), "no ResourceSlice has a device of DeviceClass gpus"),
        (class_of("this is no CEL"), "no ResourceSlice has a device of DeviceClass gpus"),
        (
            class_of("device.driver == 'nic.example.com'"),
            "the driver does not tell the memory of devices of class gpus",
        ),
    ],
)
def test_where_nothing_is_known_it_says_why(device_class: dict[str, Any] | None, why: str) -> None:
    found = claimed("gpus", device_class, FLEET)
    assert found.devices == ()
    assert found.why.startswith(why)


def test_odd_slices_cost_nothing_but_themselves() -> None:
    odd: list[Any] = [{"name": "x", "attributes": 7, "capacity": {"memory": {"value": "much"}}}, device(1)]
    (strange, usual) = in_slices((NVIDIA, "a", odd))
    assert strange.memory_mib is None
    assert usual.product == "NVIDIA-H100-80GB-HBM3"
    assert list(devices_in({"metadata": {"name": "empty"}})) == []


def test_a_rule_is_evaluated_once_for_devices_that_it_cannot_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Any]()

    def evaluate(*told: Any) -> bool:
        asked.append(told)
        return True

    monkeypatch.setattr("vllm_operator.api.expressions.evaluate", evaluate)
    many = in_slices(*((NVIDIA, f"node-{node}", [device(number) for number in range(8)]) for node in range(100)))
    (found,) = claimed("gpus", class_of(GPUS), many).devices
    assert (found.most, len(asked)) == (8, 1)

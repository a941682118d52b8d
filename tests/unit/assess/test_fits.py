"""Which GPUs a plan is for, and what several kinds of them come to together."""

import re
from dataclasses import replace

import pytest

from support.model_reports import LLAMA_8B, LLAMA_70B, inspected, packed
from support.nodes import H100
from support.snapshots import service
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.assess import fits
from vllm_operator.assess.device_classes import Claimed
from vllm_operator.assess.fits import Assessment, Inspection, Outlook, assess, keeps_from_running
from vllm_operator.assess.nodes import Devices
from vllm_operator.inspection.report import Facts
from vllm_operator.snapshots.node import Node

IMAGE = f"vllm/vllm-openai:v{VLLM_VERSION}"


def assessed(wanted: InferenceService, found: Inspection, nodes: list[Node], vllm: str = VLLM_VERSION) -> Assessment:
    return assess(wanted, found, nodes, f"vllm/vllm-openai:v{vllm}")


def node(name: str, product: str, count: int = 8, memory: int | None = None) -> Node:
    labels = {"nvidia.com/gpu.product": product, **({"nvidia.com/gpu.memory": str(memory)} if memory else {})}
    return Node(name, tuple(sorted(labels.items())), (("nvidia.com/gpu", count),), ())


def test_the_product_of_the_spec_is_planned_for_without_any_node() -> None:
    found = assessed(service(accelerator={"product": H100}), inspected(LLAMA_8B), [])
    assert found.fits is True
    assert found.product == H100


def test_nodes_tell_the_product_where_the_spec_does_not() -> None:
    found = assessed(service(), inspected(LLAMA_8B), [node("a", "NVIDIA-L40S")])
    assert found.product == "NVIDIA-L40S"
    assert found.products == ()


def test_pods_are_pinned_where_only_some_products_fit() -> None:
    found = assessed(
        service(), inspected(LLAMA_8B), [node("a", H100), node("b", "NVIDIA-L4"), node("c", "NVIDIA-H200")]
    )
    assert found.fits is True
    assert found.products == (H100, "NVIDIA-H200")
    assert found.product == H100  # the one that holds less


def test_what_fits_nowhere_tells_the_best_and_a_way_out() -> None:
    found = assessed(service(), inspected(LLAMA_70B), [node("a", "NVIDIA-L4"), node("b", H100)])
    assert found.fits is False
    assert "H100" in found.message
    assert "tensorParallelSize" in found.message


def test_only_gpus_of_the_cluster_are_offered() -> None:
    wanted = service(accelerator={"product": "NVIDIA-L4"})
    small = node("a", "NVIDIA-L4", count=1)
    near = assessed(wanted, inspected(LLAMA_8B), [small, node("b", "NVIDIA-H200")])
    assert near.fits is False
    assert "accelerator.product: NVIDIA-H200" in near.message
    alone = assessed(wanted, inspected(LLAMA_8B), [small])
    assert alone.fits is False
    assert "accelerator.product" not in alone.message


def test_several_gpus_of_another_product_of_the_cluster_are_offered() -> None:
    wanted = service(accelerator={"product": "NVIDIA-L4"})
    nodes = [node("a", "NVIDIA-L4", count=1), node("b", "NVIDIA-H200", count=2)]
    found = assessed(wanted, inspected(LLAMA_70B), nodes)
    assert "it fits with accelerator.product: NVIDIA-H200, tensorParallelSize: 2" in found.message
    small = assessed(wanted, inspected(LLAMA_70B), [nodes[0], node("b", "NVIDIA-H200", count=1)])
    assert "none of 1 other GPUs fits either; the roomiest, H200" in small.message


def test_the_platforms_prices_decide_which_is_offered_first() -> None:
    wanted = service(accelerator={"product": "NVIDIA-L4"})
    nodes = [node("a", "NVIDIA-L4", count=1), node("b", "NVIDIA-H200"), node("c", "NVIDIA-B200")]
    cheap: list[tuple[dict[str, float], str]] = [({}, "NVIDIA-H200"), ({"NVIDIA-B200": 1.0}, "NVIDIA-B200")]
    for prices, first in cheap:
        found = assess(wanted, inspected(LLAMA_8B), nodes, IMAGE, Outlook(prices))
        assert re.findall(r"accelerator[.]product: (\S+?)[,;]", found.message) == [first]


def test_gpus_that_the_pods_may_not_go_to_are_not_offered() -> None:
    wanted = service(accelerator={"product": "NVIDIA-L4"}, pod={"nodeSelector": {"pool": "small"}})
    small = replace(node("a", "NVIDIA-L4", 1), labels=(("nvidia.com/gpu.product", "NVIDIA-L4"), ("pool", "small")))
    found = assessed(wanted, inspected(LLAMA_8B), [small, node("b", "NVIDIA-H200")])
    assert "NVIDIA-H200" not in found.message


def test_more_ranks_than_a_node_has_gpus() -> None:
    found = assessed(service(tensorParallelSize=8), inspected(LLAMA_70B), [node("a", H100, count=4)])
    assert found.fits is False
    assert "no node has more than 4" in found.message


@pytest.mark.parametrize(("vllm", "cautious"), [(f"{VLLM_VERSION}.post1", False), ("0.33.0", True)])
def test_a_vllm_that_the_constants_are_not_of_widens_the_margin(vllm: str, *, cautious: bool) -> None:
    wanted = service(accelerator={"product": H100})
    margins = [
        found.plan.capacity.margin_bytes
        for version in (VLLM_VERSION, vllm)
        if (found := assessed(wanted, inspected(LLAMA_8B), [], version)).plan and found.plan.capacity
    ]
    assert (margins[1] > margins[0] + 256 * 2**20) is cautious


def test_a_product_that_the_catalogue_lacks_is_planned_by_its_label_less_a_margin() -> None:
    found = assessed(service(), inspected(LLAMA_8B), [node("a", "NVIDIA-X900", memory=98304)])
    assert found.fits is True
    assert found.plan
    assert found.plan.capacity
    assert 94 * 2**30 < found.plan.capacity.memory.total < 96 * 2**30


@pytest.mark.parametrize(
    ("accelerator", "nodes", "words"),
    [
        ({}, [], "set accelerator.product"),
        ({"product": "NVIDIA-X900"}, [], "set accelerator.memory"),
        ({"resource": "cpu"}, [], "set resources.limits.memory"),
    ],
)
def test_nothing_known_is_unknown_and_deployed(accelerator: dict[str, str], nodes: list[Node], words: str) -> None:
    found = assessed(service(accelerator=accelerator), inspected(LLAMA_8B), nodes)
    assert found.fits is None
    assert found.reason == Reason.GPU_UNKNOWN
    assert words in found.message
    assert not keeps_from_running(service().spec, found)


def test_the_spec_tells_the_memory_where_neither_product_nor_nodes_do() -> None:
    found = assessed(service(accelerator={"memory": "40Gi"}), inspected(LLAMA_8B), [])
    assert found.plan
    assert found.plan.capacity
    assert found.plan.capacity.memory.total == 40 * 2**30


def test_a_config_that_no_planner_can_read() -> None:
    bare = Inspection("key", packed(Facts({"architectures": ["LlamaForCausalLM"]})))
    found = assessed(service(accelerator={"product": H100}), bare, [])
    assert found.fits is None
    assert found.reason == Reason.MODEL_NOT_PLANNED


@pytest.mark.parametrize(
    "error", [TypeError, KeyError, ZeroDivisionError, OverflowError, re.error, RecursionError, MemoryError]
)
def test_whatever_the_planner_meets_is_told_and_the_traceback_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise error("odd")

    monkeypatch.setattr(fits, "plan", fails)
    fits._log_once.cache_clear()
    for _ in range(2):
        found = assessed(service(accelerator={"product": H100}), inspected(LLAMA_8B), [])
        assert (found.fits, found.reason) == (None, Reason.MODEL_NOT_PLANNED)
        assert f"({error.__name__}; " in found.message
        assert not keeps_from_running(service().spec, found)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_what_the_plan_does_not_know_is_said_in_the_condition() -> None:
    wanted = service(accelerator={"product": H100})
    exact = assessed(wanted, inspected(LLAMA_8B), [])
    assert exact.plan
    assert (exact.plan.approximate, "approximate" in exact.message) == ((), False)
    for version, words in (("0.33.0", "vLLM 0.33.0 was not measured, and 0.32.0 is the nearest"),
                           ("latest", "the image's tag names no version of vLLM")):  # fmt: skip
        found = assess(wanted, inspected(LLAMA_8B), [], f"vllm/vllm-openai:{'v' * version[0].isdigit()}{version}")
        assert f"the numbers are approximate: {words}" in found.message
    old = assessed(service(accelerator={"product": "NVIDIA-L4"}, maxModelLen=8192), inspected(LLAMA_8B), [])
    assert "what vLLM itself takes was not measured on L4" in old.message
    labelled = assessed(service(), inspected(LLAMA_8B), [node("a", "NVIDIA-X900", memory=98304)])
    assert "the memory of NVIDIA-X900 is taken from what its nodes tell" in labelled.message
    assert "rules on what the GPU can compute were not checked" in labelled.message


def claiming(*found: Devices, why: str = "", **more: object) -> Assessment:
    """The verdict on a service that claims devices of a class with these."""
    wanted = service(accelerator={"deviceClass": "gpus", **more})
    return assess(wanted, inspected(LLAMA_8B), [], IMAGE, Outlook(claimed=Claimed(found, why)))


def test_devices_of_a_class_are_planned_for_as_their_driver_tells_them() -> None:
    found = claiming(Devices(H100, 8, 81559, "9.0"))
    assert found.fits is True
    assert found.plan is not None
    assert found.plan.gpu.name == "H100-80GB"
    told = claiming(Devices("the device of gpu.example.com", 8, 80 * 1024, None))
    assert told.fits is not False
    assert "the memory of the device of gpu.example.com is taken from what its nodes tell" in told.message


def test_a_class_whose_devices_do_not_all_do_is_not_known_to_fit() -> None:
    slices, whole = Devices(f"{H100}-MIG-1g.10gb", 7, 9984, "9.0"), Devices(H100, 8, 81559, "9.0")
    found = claiming(slices, whole)
    assert (found.fits, found.reason) == (None, Reason.GPU_UNKNOWN)
    assert "narrow it with accelerator.deviceSelector" in found.message
    assert claiming(slices, whole, product=H100).fits is True
    assert claiming(slices).fits is False


def test_a_class_of_which_nothing_is_known_says_why() -> None:
    found = claiming(why="there is no DeviceClass gpus")
    assert (found.fits, found.message) == (None, "there is no DeviceClass gpus")
    assert claiming(why="there is no DeviceClass gpus", memory="80Gi").fits is not False

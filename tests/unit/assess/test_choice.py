"""Which GPUs a service gets that leaves them to the plan: the cheapest of the cluster that fit and are allowed."""

from dataclasses import replace

import pytest

from support.model_reports import LLAMA_8B, LLAMA_70B, inspected
from support.nodes import H100, L4, node
from support.snapshots import service
from vllm_operator.api.reasons import Reason
from vllm_operator.api.serving_class import ServingClass, ServingClassSpec
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.assess.choice import Terrain, choose
from vllm_operator.assess.fits import NOT_ASSESSED, Assessment, Inspection, assess, keeps_from_running
from vllm_operator.assess.limits import Bounds
from vllm_operator.assess.resolution import effective
from vllm_operator.inspection.report import InspectionError
from vllm_operator.snapshots.node import Node

IMAGE = f"vllm/vllm-openai:v{VLLM_VERSION}"
A100 = "NVIDIA-A100-SXM4-80GB"


def chosen(
    model: str, *nodes: Node, prices: dict[str, float] | None = None, bounds: Bounds | None = None, **spec: object
) -> Assessment:
    wanted = service(tensorParallelSize="auto", **spec)
    return choose(wanted, inspected(model), Terrain(nodes, prices or {}, bounds or Bounds(), IMAGE))


def shape(found: Assessment) -> tuple[object, object]:
    """Tensor parallel size and product."""
    values = {one.field: one.value for one in found.chosen}
    return values.get("tensorParallelSize"), values.get("accelerator.product")


def limited(**limits: object) -> ServingClass:
    return ServingClass("h100", "", 1, "", ServingClassSpec.model_validate({"limits": limits}))


def test_the_cheapest_of_the_cluster_is_taken_and_it_is_said_why() -> None:
    found = chosen(LLAMA_70B, node("a"), node("b", product=A100), node("c", product=L4))
    assert shape(found) == (4, A100)
    (why,) = {one.why for one in found.chosen}
    assert why == f"4 x {A100}: the cheapest of 2 kinds that fit (price rank 144; then 4 x {H100}, 240)"
    assert (found.fits, found.product) == (True, A100)
    alone = chosen(LLAMA_8B, node("c", product=H100))
    assert shape(alone) == (1, H100)
    assert alone.chosen[0].why == f"1 x {H100}: the only kind of GPU of this cluster that fits"


def test_the_platforms_prices_decide() -> None:
    nodes = (node("a"), node("b", product=A100))
    assert shape(chosen(LLAMA_70B, *nodes, prices={A100: 1000})) == (4, H100)


def test_the_size_of_a_node_and_what_its_pods_may_go_to_count() -> None:
    assert shape(chosen(LLAMA_70B, node("a"), node("b", 2, product=A100))) == (4, H100)
    assert shape(chosen(LLAMA_70B, node("a"), node("b", product=A100, taint="team=x:NoSchedule"))) == (4, H100)
    own = chosen(LLAMA_70B, node("a"), node("b", product=A100), accelerator={"product": H100})
    assert shape(own) == (4, None)
    assert [one.field for one in own.chosen] == ["tensorParallelSize"]


def test_with_what_is_chosen_the_service_is_one_like_any_other() -> None:
    nodes = [node("a"), node("b", product=A100)]
    found = chosen(LLAMA_70B, *nodes)
    wanted = service(tensorParallelSize="auto")
    spec = effective(wanted.spec, found.chosen)
    assert (spec.tensor_parallel_size, spec.accelerator.product) == (4, A100)
    by_hand = service(tensorParallelSize=4, accelerator={"product": A100})
    again = assess(by_hand, inspected(LLAMA_70B), nodes, IMAGE)
    assert (again.fits, again.plan, again.product) == (True, found.plan, A100)
    assert keeps_from_running(wanted.spec, found)  # until the choice is in the spec
    assert not keeps_from_running(spec, found)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(limited(gpusPerService=4)), (4, A100)),
        (Bounds(limited(gpusPerService=8), room=4), (4, A100)),
        (Bounds(limited(allowed={"accelerator.product": [H100]})), (4, H100)),
        (Bounds(limited(allowed={"tensorParallelSize": [8]})), (8, A100)),
    ],
)
def test_what_the_class_allows_bounds_the_choice(bounds: Bounds, expected: tuple[int, str]) -> None:
    assert shape(chosen(LLAMA_70B, node("a"), node("b", product=A100), bounds=bounds)) == expected


def test_what_nothing_is_allowed_for_is_told() -> None:
    found = chosen(LLAMA_70B, node("a"), bounds=Bounds(limited(gpusPerService=2)))
    assert (found.fits, found.reason, found.chosen) == (False, Reason.NOTHING_FITS, ())
    assert f"2 x {H100}: " in found.message
    assert "more than 2 may not be: ServingClass h100 allows 2 GPUs for a service" in found.message
    full = chosen(LLAMA_70B, node("a"), bounds=Bounds(limited(gpusPerNamespace=8), room=0))
    assert "its ServingClass has 0 GPUs left in the namespace (limits.gpusPerNamespace)" in full.message


def test_what_fits_nowhere_says_what_each_kind_comes_to() -> None:
    found = chosen(LLAMA_70B, node("a", 1), node("b", product=L4))
    assert (found.fits, found.reason, found.chosen) == (False, Reason.NOTHING_FITS, ())
    assert f"1 x {H100}: weights of" in found.message or f"{H100}: weights of" in found.message
    assert f"8 x {L4}: " in found.message
    warned = service(tensorParallelSize="auto", planPolicy="Warn")
    assert keeps_from_running(warned.spec, found)  # nobody knows how many GPUs to take


def test_without_nodes_there_is_nothing_to_choose_from() -> None:
    found = chosen(LLAMA_8B)
    assert (found.fits, found.reason) == (False, Reason.NOTHING_FITS)
    assert "finds no node that the pods could be on" in found.message


def test_what_is_not_known_of_the_model_is_no_ground_for_a_choice() -> None:
    wanted, terrain = service(tensorParallelSize="auto"), Terrain([node("a")], {}, Bounds(), IMAGE)
    assert choose(wanted, Inspection("key", pending=True), terrain) is NOT_ASSESSED
    gone = Inspection("key", error=InspectionError(Reason.MODEL_NOT_FOUND, "there is no such model"))
    found = choose(wanted, gone, terrain)
    assert (found.fits, found.reason, found.chosen) == (None, Reason.MODEL_NOT_FOUND, ())
    assert found.message.endswith("cannot choose without a plan: set a number")


def test_equal_prices_are_decided_the_same_in_every_order_of_nodes() -> None:
    first = "NVIDIA-A100-80GB-PCIe"  # by its name
    like_it = replace(node("c"), labels=(("nvidia.com/gpu.product", first),))
    nodes = [node("a"), node("b", product=A100), like_it]
    found = {shape(chosen(LLAMA_70B, *order)) for order in (nodes, nodes[::-1])}
    assert found == {(4, first)}


def test_what_other_engines_got_moves_the_plans_that_are_compared() -> None:
    wanted = service(tensorParallelSize="auto")
    lessons = {H100: 64 << 20, A100: -(64 << 20)}
    found = choose(wanted, inspected(LLAMA_8B), Terrain([node("a")], {}, Bounds(), IMAGE, lessons))
    assert found.plan is not None
    assert found.plan.capacity is not None
    assert found.plan.capacity.learned_bytes == 64 << 20

"""Over how many nodes a replica lies that no node has the GPUs for."""

from typing import Any

import pytest

from support.model_reports import LLAMA_8B, LLAMA_70B, inspected
from support.nodes import H100
from support.snapshots import service
from vllm_operator.api.reasons import Reason
from vllm_operator.api.serving_class import ServingClass, ServingClassSpec
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.fits import Assessment, Inspection, assess
from vllm_operator.assess.limits import Bounds
from vllm_operator.assess.spread import spread
from vllm_operator.inspection.report import InspectionError
from vllm_operator.snapshots.node import Node

L40S = "NVIDIA-L40S"


def node(gpus: int, product: str = H100) -> Node:
    return Node(f"{product}-{gpus}", (("nvidia.com/gpu.product", product),), (("nvidia.com/gpu", gpus),), ())


def spreads(*nodes: Node, model: str | None = LLAMA_70B, bounds: Bounds | None = None, **fields: Any) -> Assessment:
    """The verdict on a service that says nothing of nodes. `model`: None where it could not be inspected."""
    owner = service(**fields)

    def verdict(spec: InferenceServiceSpec) -> Assessment:
        asked = service(**{**fields, **({"nodesPerReplica": spec.nodes} if spec.nodes_per_replica else {})})
        known = inspected(model) if model else Inspection("", error=InspectionError(Reason.MODEL_GATED, "no token"))
        return assess(asked, known, nodes, "vllm/vllm-openai:v0.32.0")

    return spread(owner.spec, nodes, verdict, bounds or Bounds())


@pytest.mark.parametrize(
    ("gpus", "tensor", "pipeline", "over"),
    [
        (8, 8, 2, 2),  # a part of the layers on each node
        (4, 4, 4, 4),
        (8, 4, 4, 2),  # two parts on each
        (8, 8, 4, 4),
        (16, 8, 3, 3),  # two nodes would have twelve each, and a part of the layers would lie on both
    ],
)
def test_the_fewest_nodes_are_chosen_that_keep_layers_together(
    gpus: int, tensor: int, pipeline: int, over: int
) -> None:
    found = spreads(node(gpus), tensorParallelSize=tensor, pipelineParallelSize=pipeline)
    (chosen,) = found.chosen
    assert (chosen.field, chosen.value, chosen.source) == ("nodesPerReplica", over, "plan")
    total = tensor * pipeline
    assert chosen.why == f"no node has the {total} GPUs of a replica: each of {over} nodes has {total // over}"
    assert (found.fits, found.message.endswith(chosen.why)) == (True, True)


@pytest.mark.parametrize(("gpus", "over"), [(8, 2), (4, None), (16, None)])
def test_without_a_plan_the_gpus_of_the_nodes_tell(gpus: int, over: int | None) -> None:
    found = spreads(node(gpus), model=None, tensorParallelSize=8, pipelineParallelSize=2)
    assert (found.fits, found.reason) == (None, Reason.MODEL_GATED)
    assert [one.value for one in found.chosen] == ([over] if over else [])


def test_what_one_node_has_stays_there() -> None:
    found = spreads(node(8), tensorParallelSize=4, pipelineParallelSize=2)
    assert (found.fits, found.chosen) == (True, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"tensorParallelSize": 16},  # layers would be split over nodes
        {"tensorParallelSize": 8, "pipelineParallelSize": 2, "nodesPerReplica": 1},
        {"tensorParallelSize": 8, "pipelineParallelSize": 2, "planPolicy": "Warn"},
        {"tensorParallelSize": 8, "dataParallelSize": 2},
        {
            "tensorParallelSize": 8,
            "pipelineParallelSize": 2,
            "cache": {"claim": {"storage": "1Ti", "accessMode": "ReadWriteOnce"}},
        },
    ],
)
def test_what_groups_cannot_have_or_the_user_says_otherwise_is_refused_as_before(fields: dict[str, Any]) -> None:
    found = spreads(node(8), **fields)
    assert (found.fits, found.reason, found.chosen) == (False, Reason.GPUS_PER_NODE, ())
    assert "no node has more than 8" in found.message


def test_what_does_not_fit_so_either_is_told_of_the_nodes_it_would_take() -> None:
    found = spreads(node(1, L40S), model=LLAMA_70B, tensorParallelSize=1, pipelineParallelSize=2)
    assert (found.fits, found.chosen) == (False, ())
    assert found.reason is not Reason.GPUS_PER_NODE


def test_pods_are_kept_to_the_nodes_that_do() -> None:
    found = spreads(node(8), node(2, L40S), tensorParallelSize=8, pipelineParallelSize=2)
    assert [one.value for one in found.chosen] == [2]
    assert found.products == (H100,)


def test_nobody_knows_where_nobody_sees_nodes() -> None:
    found = spreads(tensorParallelSize=8, pipelineParallelSize=2, accelerator={"product": H100}, model=LLAMA_8B)
    assert (found.fits, found.chosen) == (True, ())


def test_a_class_that_allows_no_groups_has_the_last_word() -> None:
    limits = {"allowed": {"nodesPerReplica": ["1"]}}
    own = ServingClass("h100", "uid", 1, "2026-11-24", ServingClassSpec.model_validate({"limits": limits}))
    found = spreads(node(8), bounds=Bounds(own), tensorParallelSize=8, pipelineParallelSize=2)
    assert (found.fits, found.chosen) == (False, ())
    assert "over 2 nodes it may not be: ServingClass h100 allows nodesPerReplica 1 (limits.allowed)" in found.message

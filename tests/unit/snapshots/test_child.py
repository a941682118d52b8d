"""What is kept of a child: above all, whether a field of ours was taken over."""

from typing import Any

import pytest

from support.model_reports import content_of, packed
from support.nesting import nested
from support.snapshots import service
from vllm_operator.inspection.kept import facts_of, pack
from vllm_operator.inspection.report import Facts
from vllm_operator.manifests import kept_model
from vllm_operator.manifests.names import REVISION_LABEL
from vllm_operator.snapshots.child import child, kept_models, odd_revisions, revisions


def test_a_revision_keeps_a_template_or_what_is_known_of_a_model() -> None:
    facts = Facts({"architectures": ["LlamaForCausalLM"], "sliding_window": None}, weights_bytes=1, commit="c")
    owner = service()
    body = kept_model(owner, packed(facts))
    body["metadata"]["resourceVersion"] = "5"
    model = child(body)
    assert model.packed_model
    assert facts_of(model.packed_model) == facts
    with pytest.raises(ValueError, match="keeps no pod template"):
        _ = model.template
    body["data"] = {"template": TEMPLATE}
    assert (child(body).template, child(body).packed_model) == (TEMPLATE, None)


def test_services_of_one_model_share_what_is_kept_of_it() -> None:
    first, second = (child(kept({"model": dict(MODEL)})).packed_model for _ in range(2))
    assert first == pack(MODEL)
    assert first is second


MODEL = content_of(Facts({}))
TEMPLATE = {"metadata": {"labels": {REVISION_LABEL: "r1"}}, "spec": {"containers": [{"image": "vllm:1"}]}}


def kept(data: Any) -> dict[str, Any]:
    owner = {"uid": "u", "controller": True}
    meta = {"name": "llama-r1", "resourceVersion": "1", "ownerReferences": [owner]}
    return {"kind": "ControllerRevision", "metadata": meta, "data": data, "revision": 1}


def test_a_kept_template_is_read_back() -> None:
    found = child(kept({"template": TEMPLATE}))
    assert (found.template, found.odd) == (TEMPLATE, "")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        {"template": None},
        {"template": 7},
        {"template": {**TEMPLATE, "spec": {"containers": []}}},
        {"template": {**TEMPLATE, "metadata": {}}},
        {"template": TEMPLATE, "resolved": "x"},
        {"template": TEMPLATE, "resolved": [{"field": "image"}]},
        {"template": TEMPLATE, "resolved": [{"field": "image", "from": "operator", "value": "x" * 70_000}]},
        {"template": TEMPLATE, "resolved": 7},
        {"model": None},
        {"model": {"config": {}}},
        {"model": {**MODEL, "config": []}},
        {"model": {**MODEL, "weightsBytes": 10**100}},
        {"model": {**MODEL, "commit": "c" * 300}},
        {"model": {**MODEL, "config": {"x": {"$folded": [["x", 2_000_000_000, []]]}}}},
        {"model": {**MODEL, "config": {"x": nested(5000)}}},
        {"model": {**MODEL, "config": {"x": [[]] * 200_000}}},
        {"template": {**TEMPLATE, "metadata": {"labels": {REVISION_LABEL: ["r1"]}}}},
        {"template": {**TEMPLATE, "spec": {"containers": [{"image": "vllm:1", "args": ["x" * 600_000]}]}}},
        {"template": {**TEMPLATE, "spec": {"containers": [{"image": "vllm:1", "env": nested(5000)}]}}},
    ],
)
def test_a_revision_that_keeps_no_template_of_ours_is_as_if_it_were_not_there(data: Any) -> None:
    found = child(kept(data))
    assert found.odd
    live = {("ControllerRevision", "llama-r1"): found}
    assert revisions(live, "u") == kept_models(live, "u") == []
    assert odd_revisions(live, "u") == [found]

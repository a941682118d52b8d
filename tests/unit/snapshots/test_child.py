"""What is kept of a child: above all, whether a field of ours was taken over."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.inspection.kept import content_of, facts_of, pack
from vllm_operator.inspection.report import Facts
from vllm_operator.manifests import kept_model
from vllm_operator.snapshots.child import child, owned_fields


def managed(fields: dict[str, Any], manager: str = "vllm-operator") -> dict[str, Any]:
    return {"managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]}


def test_losing_a_field_to_somebody_else_changes_the_digest_and_other_edits_do_not() -> None:
    ours: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    digest = owned_fields(managed(ours))
    with_others = managed(ours)
    with_others["managedFields"].append({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {}}})
    assert digest
    assert owned_fields(with_others) == digest
    assert owned_fields(managed({"f:spec": {}})) != digest
    assert owned_fields(managed(ours, manager="kubectl")) == ""


def test_a_revision_keeps_a_template_or_what_is_known_of_a_model() -> None:
    facts = Facts({"architectures": ["LlamaForCausalLM"], "sliding_window": None}, weights_bytes=1, commit="c")
    owner = service()
    body = kept_model(owner, pack(content_of(facts)))
    body["metadata"]["resourceVersion"] = "5"
    model = child(body)
    assert model.packed_model
    assert facts_of(model.packed_model) == facts
    with pytest.raises(ValueError, match="keeps no pod template"):
        _ = model.template
    body["data"] = {"template": {"spec": {}}}
    assert (child(body).template, child(body).packed_model) == ({"spec": {}}, None)

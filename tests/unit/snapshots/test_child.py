"""What is kept of a child: above all, whether a field of ours was taken over."""

from typing import Any

from vllm_operator.snapshots.child import owned_fields


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

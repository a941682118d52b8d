"""What the documents say of conditions, reasons and flags is what the registries say."""

import re

import pytest

from cluster.host import REPOSITORY
from documents import flags, ray
from documents.conditions import README, REFERENCE, readme, reference
from support.places import PLACES
from vllm_operator.api.conditions import ConditionType
from vllm_operator.api.fields import fields
from vllm_operator.api.ray import REFUSED, SEEN_TO
from vllm_operator.api.reasons import Reason
from vllm_operator.api.spec import InferenceServiceSpec

THE_SAME_ON_RAY = {
    "model.tokenSecretRef", "allowedMediaDomains", "toolCallParser", "cache.claim.storage",
    "cache.claim.storageClassName", "cache.claim.accessMode", "cache.claim.retain",
}  # fmt: skip


def test_the_reference_is_fresh() -> None:
    assert REFERENCE.read_text() == reference(), "docs/reasons.md is stale: run `make docs`"


def test_the_page_on_flags_is_fresh() -> None:
    assert flags.REFERENCE.read_text() == flags.reference(), "docs/flags.md is stale: run `make docs`"


def test_the_tables_of_the_page_on_ray_are_fresh() -> None:
    text = ray.PAGE.read_text()
    assert text == ray.page(text), "docs/ray.md is stale: run `make docs`"


def test_of_every_field_it_is_known_what_becomes_of_it_on_ray() -> None:
    """Flags of the engine are held by tests/vllm_parser, and what is in the pod is in a worker as well."""
    named = {name.partition(" ")[0] for name in (*REFUSED, *SEEN_TO)}
    known = list(fields(InferenceServiceSpec))
    assert named <= {field.path for field in known}
    children = {name for name, place in PLACES.items() if place.kind == "child"}
    by_another_way = {field.path for field in known if any(flag.passed == "otherwise" for flag in field.flags)}
    told = {path for path in (*children, *by_another_way) if any(f"{path}.".startswith(f"{one}.") for one in named)}
    assert children | by_another_way == told | THE_SAME_ON_RAY, "say in api/ray.py what becomes of it"


def test_the_table_in_the_readme_is_fresh() -> None:
    text = README.read_text()
    assert text == readme(text), "README.md's table of conditions is stale: run `make docs`"


def test_a_readme_without_its_marks_is_told() -> None:
    with pytest.raises(ValueError, match=r"README\.md has no <!-- conditions"):
        readme("# vllm-operator\n")


def test_every_reason_and_type_has_one_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", REFERENCE.read_text(), re.MULTILINE)
    assert rows == [*ConditionType, *sorted(Reason)]


def test_the_page_on_autoscaling_has_all_reasons_that_only_its_condition_has() -> None:
    _, _, said = (REPOSITORY / "docs" / "autoscaling.md").read_text().partition("## What the condition ScalingActive")
    first_cells = re.findall(r"^\| (`.*?) \|", said, re.MULTILINE)
    named = {name for cell in [*first_cells, said.splitlines()[1]] for name in re.findall(r"`([A-Z]\w+)`", cell)}
    named.discard(ConditionType.READY)
    assert named >= {reason for reason in Reason if reason.types == {ConditionType.SCALING_ACTIVE}}
    assert all(ConditionType.SCALING_ACTIVE in Reason.named(name).types for name in named)

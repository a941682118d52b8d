"""What the documents say of conditions, reasons and flags is what the registries say."""

import re

import pytest

from cluster.host import REPOSITORY
from documents import flags
from documents.conditions import README, REFERENCE, readme, reference
from vllm_operator.api.conditions import ConditionType
from vllm_operator.api.reasons import Reason


def test_the_reference_is_fresh() -> None:
    assert REFERENCE.read_text() == reference(), "docs/reasons.md is stale: run `make docs`"


def test_the_page_on_flags_is_fresh() -> None:
    assert flags.REFERENCE.read_text() == flags.reference(), "docs/flags.md is stale: run `make docs`"


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

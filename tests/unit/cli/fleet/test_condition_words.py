"""`kubectl vllm logs` has words for every condition."""

import pytest

from vllm_operator.api.conditions import ConditionType
from vllm_operator.cli.fleet.explanation import explanation


def explained(kind: str) -> str:
    """What is said of a service with one condition."""
    return explanation(
        {
            "metadata": {"namespace": "team-a", "name": "llama", "generation": 1},
            "spec": {"model": {"uri": "hf://org/model"}},
            "status": {"conditions": [{"type": kind, "status": "False", "reason": "Some", "message": "so"}]},
        },
        [],
        None,
    )


@pytest.mark.parametrize("kind", ConditionType)
def test_a_condition_is_told_in_words(kind: ConditionType) -> None:
    assert f"  {kind.holds}: no (Some)" in explained(kind)
    assert len(kind.holds) < 60


def test_a_condition_of_another_version_is_told_by_its_type() -> None:
    assert "  Haunted: no (Some)" in explained("Haunted")

"""For how long an edit of a RayService may not have come to Serve yet."""

from dataclasses import replace

import pytest

from vllm_operator.snapshots.ray import TAKEN_SECONDS, Taking
from vllm_operator.snapshots.workload import APPLICATION, ConditionSnapshot, DeploymentSnapshot

RUNS, BEGINS, FAILED = (ConditionSnapshot(APPLICATION, status, "", "") for status in ("True", "Unknown", "False"))
SERVING = DeploymentSnapshot(1, 1, 1, 1, (RUNS,), kind="RayService")
EDITED = replace(SERVING, generation=2)
SEEN = replace(EDITED, observed_generation=2)


def test_what_was_there_before_the_operator_is_taken_for_what_it_is() -> None:
    assert Taking().seconds(SERVING, 100.0) == 0
    assert Taking().seconds(None, 100.0) == 0


@pytest.mark.parametrize("shown", [[EDITED], []], ids=["seen apart", "with what KubeRay says of it"])
def test_time_counts_from_when_kuberay_knows_an_edit(shown: list[DeploymentSnapshot]) -> None:
    taking = Taking()
    taking.seconds(SERVING, 0.0)
    assert [taking.seconds(one, 50.0) for one in shown] == [0.0 for _ in shown]
    assert taking.seconds(SEEN, 100.0) == TAKEN_SECONDS
    assert taking.seconds(replace(SEEN, conditions=(FAILED,)), 104.0) == TAKEN_SECONDS - 4
    assert taking.seconds(SEEN, 200.0) == 0


def test_it_is_over_once_serve_begins() -> None:
    taking = Taking()
    for one in (SERVING, SEEN):
        taking.seconds(one, 0.0)
    assert taking.seconds(replace(SEEN, conditions=(BEGINS,)), 2.0) == 0
    assert taking.seconds(SEEN, 3.0) == 0
    assert taking.seconds(replace(SEEN, conditions=(FAILED,)), 3.0) == 0


def test_other_workloads_take_no_edit_in_place() -> None:
    taking = Taking()
    for one in (SERVING, SEEN):
        assert taking.seconds(replace(one, kind="Deployment"), 0.0) == 0

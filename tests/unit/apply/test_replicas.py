"""What is remembered of one service for its autoscaler."""

from typing import Any

import pytest

from support.autoscalers import CRON, scaled
from support.snapshots import deployment, loading, pod
from vllm_operator.apply.replicas import Replicas
from vllm_operator.snapshots.pod import PodSnapshot


def started(name: str, seconds: int) -> PodSnapshot:
    return pod(name, startup_seconds=seconds)


def figures(*starts: int) -> list[int | None]:
    """The figure after each of several pods, one after the other."""
    memory, made = Replicas(), []
    for index, seconds in enumerate(starts):
        memory.note(None, [started(f"pod-{index}", seconds)], {})
        made.append(memory.startup_seconds)
    return made


def test_a_start_is_rounded_up_and_the_longest_is_the_apis() -> None:
    assert figures(3) == [15]
    assert figures(15) == [15]
    assert figures(16) == [30]
    assert figures(7200) == [1800]


def test_noise_around_a_step_changes_nothing() -> None:
    assert figures(125, 118, 122, 119) == [300, 300, 300, 300]
    assert figures(118, 125) == [120, 300]
    assert figures(125, 90) == [300, 120]


def test_a_gap_in_readiness_and_a_restarted_container_are_no_start() -> None:
    memory = Replicas()
    memory.note(None, [started("a", 40)], {})
    memory.note(None, [loading("a")], {})
    memory.note(None, [started("a", 4000)], {})
    memory.note(None, [started("a", 4000), started("b", 0)], {})
    assert memory.startup_seconds == 60


def test_a_new_operator_trusts_the_status_rather_than_pods_that_serve_already() -> None:
    memory = Replicas()
    memory.note(None, [started("a", 4000)], {"startupSeconds": 60})
    assert memory.startup_seconds == 60
    memory.note(None, [started("a", 4000), started("b", 100)], {"startupSeconds": 60})
    assert memory.startup_seconds == 120


@pytest.mark.parametrize(
    ("bounds", "last", "expected"),
    [
        ({}, None, 1),
        ({"minReplicas": 3}, None, 3),
        ({"minReplicas": 3}, 5, 5),
        ({"minReplicas": 3}, 0, 3),
        ({}, 20, 8),
        ({"minReplicas": 0, "provider": "KEDA", "triggers": [CRON]}, None, 1),
        ({"minReplicas": 0, "provider": "KEDA", "triggers": [CRON]}, 0, 0),
    ],
)
def test_a_deployment_starts_with_the_last_count(bounds: dict[str, Any], last: int | None, expected: int) -> None:
    memory = Replicas()
    memory.note(None, [], {"wantedReplicas": last} if last is not None else {})
    assert memory.at_start(scaled(**bounds)) == expected


def test_the_live_count_counts_more_than_the_status() -> None:
    memory = Replicas()
    memory.note(deployment(6), [], {"wantedReplicas": 2})
    memory.note(None, [], {"wantedReplicas": 2})
    assert memory.at_start(scaled()) == 6

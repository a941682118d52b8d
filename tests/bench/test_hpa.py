"""The simulated HorizontalPodAutoscaler, held against cases of Kubernetes' own tests (replica_calculator_test.go and
horizontal_test.go in pkg/controller/podautoscaler)."""

from typing import Any

import pytest

from bench.hpa import Hpa, calculate, quantity


def named(*values: float) -> dict[str, float]:
    return {f"pod-{index}": value for index, value in enumerate(values)}


@pytest.mark.parametrize(
    ("values", "missing", "current", "target", "expected"),
    [
        ((20, 10, 30), 0, 3, 15, 4),  # TestReplicaCalcScaleUpCM
        ((50, 10, 30), 1, 4, 15, 6),  # on the way up, what is missing counts as nothing
        ((12, 12, 12, 12, 12), 0, 5, 20, 3),  # TestReplicaCalcScaleDownCM
        ((20, 21, 21), 0, 3, 20, 3),  # within the tolerance
        ((10, 10), 1, 3, 20, 2),  # on the way down, what is missing counts as the target
        ((22, 22), 2, 4, 20, 4),  # would change direction
        ((), 2, 2, 20, 2),  # no metrics: nothing is done
    ],
)
def test_the_count_of_one_metric(
    values: tuple[float, ...], missing: int, current: int, target: float, expected: int
) -> None:
    assert calculate(named(*values), [f"new-{index}" for index in range(missing)], current, target) == expected


def spec(**behavior: Any) -> dict[str, Any]:
    pods = {"metric": {"name": "m"}, "target": {"averageValue": "10"}}
    made: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 20, "metrics": [{"pods": pods}]}
    return {**made, "behavior": behavior} if behavior else made


def policy(kind: str, value: int, seconds: int, window: int = 0) -> dict[str, Any]:
    rules = [{"type": kind, "value": value, "periodSeconds": seconds}]
    return {"stabilizationWindowSeconds": window, "policies": rules}


def counts(hpa: Hpa, loads: list[float], seconds: int = 15) -> list[int]:
    """What an HPA makes of a total load, over time; all pods serve at once and share it."""
    current, made = 1, []
    for index, load in enumerate(loads):
        pods = {f"pod-{number}": {"m": load / current} for number in range(current)}
        current = hpa.sync(index * seconds, current, pods, [])
        made.append(current)
    return made


def test_by_default_it_doubles_or_adds_up_to_four_and_waits_five_minutes_to_scale_down() -> None:
    assert counts(Hpa(spec()), [200.0] * 4) == [4, 8, 16, 20]
    made = counts(Hpa(spec()), [80.0] * 4 + [10.0] * 22)
    assert made[3] == 8
    assert made.index(1, 4) == 4 + 300 // 15 - 1


def test_policies_limit_the_change_in_their_period() -> None:
    behavior = {"scaleUp": policy("Pods", 2, 60), "scaleDown": policy("Pods", 1, 60, window=60)}
    made = counts(Hpa(spec(**behavior)), [200.0] * 9)
    assert made == [3, 3, 3, 3, 5, 5, 5, 5, 7]
    down = counts(Hpa(spec(**behavior)), [50.0] * 9 + [10.0] * 14)
    assert down[8] == 5
    assert down[9:] == [5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2]


def test_quantities() -> None:
    assert (quantity("800m"), quantity("5")) == (0.8, 5.0)

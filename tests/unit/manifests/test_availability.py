"""When a service has a PodDisruptionBudget."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.manifests.availability import disruption_budget


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 2},
        {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}},
        {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}},
        {"autoscaling": {"minReplicas": 0, "maxReplicas": 2, "provider": "KEDA", "triggers": []}},
    ],
)
def test_where_there_can_be_two_pods_one_may_go_at_a_time(spec: dict[str, Any]) -> None:
    found = disruption_budget(service(**spec))
    assert found
    assert found["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    "spec", [{}, {"replicas": 0}, {"replicas": 1}, {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}}]
)
def test_where_there_is_never_more_than_one_pod_there_is_none(spec: dict[str, Any]) -> None:
    assert disruption_budget(service(**spec)) is None

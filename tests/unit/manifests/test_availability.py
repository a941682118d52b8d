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


@pytest.mark.parametrize(
    ("spec", "scaled_to", "stay"),
    [
        ({"replicas": 2}, None, 1),
        ({"replicas": 4}, 2, 3),
        ({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}, None, 1),
        ({"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}, 3, 2),
        ({"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}, 1, 0),
    ],
)
def test_of_a_ray_cluster_all_workers_but_one_stay_by_a_number(
    spec: dict[str, Any], scaled_to: int | None, stay: int
) -> None:
    found = disruption_budget(service(**spec), on_ray=True, scaled_to=scaled_to)
    assert found
    assert found["spec"]["minAvailable"] == stay
    assert "maxUnavailable" not in found["spec"], "Kubernetes asks RayClusters in vain how many pods there should be"
    assert found["spec"]["selector"]["matchLabels"]["ray.io/node-type"] == "worker", "there is one head"


def test_a_ray_cluster_of_one_worker_has_none() -> None:
    assert disruption_budget(service(replicas=1), on_ray=True, scaled_to=3) is None

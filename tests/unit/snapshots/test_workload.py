"""What the status of a RayService says of a service's workload."""

from typing import Any

import pytest

from vllm_operator.snapshots.workload import APPLICATION, workload

ROLLED = [{"type": "Ready", "status": "True", "reason": "NonZeroServeEndpoints"}]


def ray_service(status: dict[str, Any], **group: Any) -> dict[str, Any]:
    """A RayService with this status."""
    return {
        "kind": "RayService",
        "metadata": {"generation": 2},
        "spec": {"rayClusterConfig": {"workerGroupSpecs": [group]}},
        "status": status,
    }


ONE = {"minReplicas": 1, "maxReplicas": 1}


def active(**fields: Any) -> dict[str, Any]:
    return {"observedGeneration": 2, "activeServiceStatus": fields}


def test_workers_are_the_replicas() -> None:
    assert workload(ray_service({}, minReplicas=3, maxReplicas=3)).wanted == 3


def test_under_rays_autoscaler_there_are_as_many_as_it_wants() -> None:
    cluster = {"rayClusterStatus": {"desiredWorkerReplicas": 4}}
    assert workload(ray_service(active(**cluster), minReplicas=1, maxReplicas=8)).wanted == 4
    assert workload(ray_service({}, minReplicas=2, maxReplicas=8)).wanted == 2


def test_the_bounds_of_its_workers_are_known() -> None:
    assert workload(ray_service({}, minReplicas=2, maxReplicas=8)).bounds == (2, 8)


def test_it_is_rolled_out_once_its_application_runs() -> None:
    runs = {"applicationStatuses": {"llm": {"status": "RUNNING"}}}
    assert workload(ray_service({**active(**runs), "conditions": ROLLED}, **ONE)).rolled_out
    assert not workload(ray_service({**active(), "conditions": ROLLED}, **ONE)).rolled_out
    of_before = {**active(**runs), "conditions": ROLLED, "observedGeneration": 1}
    assert not workload(ray_service(of_before, **ONE)).rolled_out


@pytest.mark.parametrize(
    ("state", "before", "serves"),
    [
        ("RUNNING", False, True),
        ("DEPLOYING", True, True),  # some replicas are replaced, or added
        ("DEPLOYING", False, False),  # a new head is there, and no model yet
        ("DEPLOY_FAILED", True, False),
        ("UNHEALTHY", True, False),
    ],
)
def test_whether_it_serves(state: str, *, before: bool, serves: bool) -> None:
    said = active(applicationStatuses={"llm": {"status": state}})
    assert workload(ray_service({**said, "conditions": ROLLED}, **ONE)).serves(before=before) is serves
    assert not workload(ray_service(said, **ONE)).serves(before=before)


def test_what_could_not_be_built_leaves_the_replicas_of_before() -> None:
    app = {"status": "DEPLOY_FAILED", "serveDeploymentStatuses": {"LLMServer:llama": {"status": "HEALTHY"}}}
    said = {**active(applicationStatuses={"llm": app}), "conditions": ROLLED}
    assert workload(ray_service(said, **ONE)).serves(before=True)
    assert not workload(ray_service(said, **ONE)).serves(before=False)


def test_without_an_application_it_serves_nobody() -> None:
    assert not workload(ray_service({**active(), "conditions": ROLLED}, **ONE)).serves(before=True)


def test_an_application_that_failed_is_told_with_its_deployments() -> None:
    failed = {
        "llm": {
            "status": "DEPLOY_FAILED",
            "message": "Deploying app 'llm' failed",
            "serveDeploymentStatuses": {"LLMServer:llama": {"status": "UNHEALTHY", "message": "ValueError: no such"}},
        }
    }
    found = workload(ray_service(active(applicationStatuses=failed), **ONE)).conditions
    (condition,) = (one for one in found if one.type == APPLICATION)
    assert condition.reason == "DEPLOY_FAILED"
    assert condition.message.splitlines() == ["Deploying app 'llm' failed", "ValueError: no such"]


def test_one_that_runs_or_is_deployed_is_no_trouble() -> None:
    for state in ("RUNNING", "DEPLOYING", "NOT_STARTED"):
        found = workload(ray_service(active(applicationStatuses={"llm": {"status": state}}), **ONE))
        (condition,) = (one for one in found.conditions if one.type == APPLICATION)
        assert condition.status == ("True" if state == "RUNNING" else "Unknown")


def test_a_cluster_that_is_not_active_yet_is_looked_at() -> None:
    pending = {"pendingServiceStatus": {"applicationStatuses": {"llm": {"status": "UNHEALTHY", "message": "m"}}}}
    condition, _ = workload(ray_service(pending, **ONE)).conditions
    assert condition.message == "m"

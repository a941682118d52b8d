"""What of a spec is acted on while its own pods are not made."""

from dataclasses import replace

import pytest

from support.accounts import Scene
from support.snapshots import deployment, service
from vllm_operator.api.reasons import Reason
from vllm_operator.assess.limits import Bounds


@pytest.mark.parametrize(
    ("gpus", "bounds", "most"),
    [(4, None, 2), (2, None, 3), (1, None, 6), (0, None, 6), (4, (2, 3), 3)],
    ids=["as many as run", "as many GPUs as are asked for", "all", "on the CPU", "as many as Ray may make"],
)
def test_an_autoscaler_gets_no_more_than_what_runs_or_what_has_the_gpus_that_are_asked_for(
    gpus: int, bounds: tuple[int, int] | None, most: int
) -> None:
    edited = service(autoscaling={"minReplicas": 2, "maxReplicas": 6}, tensorParallelSize=1)
    scene = Scene(deployment=replace(deployment(2), gpus=gpus, bounds=bounds), start_replicas=6)
    found = scene.account(edited).evidence.held_to_deployed()
    scaling = found.service.spec.autoscaling
    assert scaling
    assert (scaling.max_replicas, found.start_replicas) == (most, most)


def test_a_size_that_is_yet_to_be_chosen_bounds_nothing() -> None:
    edited = service(autoscaling={"minReplicas": 1, "maxReplicas": 8}, tensorParallelSize="auto")
    seen = Scene(deployment=replace(deployment(3), gpus=1)).account(edited).evidence
    assert seen.held_to_deployed() is seen
    scaling = replace(seen, bounds=Bounds(room=5)).held_to_deployed().service.spec.autoscaling
    assert scaling
    assert scaling.max_replicas == 5


@pytest.mark.parametrize(
    ("error", "asked", "left"),
    [
        ((Reason.REMOTE_CODE_NOT_ALLOWED, "x"), 6, 2),
        ((Reason.REMOTE_CODE_NOT_ALLOWED, "x"), 1, 1),
        ((Reason.INVALID, "x"), 0, 2),
    ],
    ids=["no more are made", "fewer are fewer", "as many as there were"],
)
def test_a_refused_spec_wants_as_many_as_there_will_be(error: tuple[Reason, str], asked: int, left: int) -> None:
    scene = Scene(spec_error=error, deployment=replace(deployment(2), gpus=1))
    assert scene.account(service(replicas=asked)).evidence.held_to_deployed().service.spec.replicas == left


def test_what_the_api_server_refuses_makes_no_more_either() -> None:
    seen = Scene(deployment=replace(deployment(2), gpus=1)).account(service(replicas=6)).evidence
    assert seen.held_to_deployed(refused=True).service.spec.replicas == 2


def test_one_that_never_had_a_pod_wants_what_its_spec_says() -> None:
    seen = Scene().account(service(replicas=4), {"wantedReplicas": 1}).evidence
    assert replace(seen, live={}).held_to_deployed().service.spec.replicas == 4
    assert seen.held_to_deployed().service.spec.replicas == 1

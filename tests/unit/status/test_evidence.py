"""What of a spec is acted on while its own pods are not made."""

from dataclasses import replace

import pytest

from support.accounts import Scene
from support.snapshots import deployment, service


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

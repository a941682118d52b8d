"""How long the first status waits, and what never waits."""

from typing import Any

import pytest

from support.accounts import Scene
from support.snapshots import deployment, pod, service
from vllm_operator.api.reasons import Reason
from vllm_operator.assess.fits import Assessment
from vllm_operator.services.first_status import (
    FIRST_STATUS_SECONDS,
    GIVE_WAY_SECONDS,
    Settling,
    seconds_to_hold_first_status,
)

NOW = 1000.0


def held(scene: Scene, before: dict[str, Any] | None = None, **given: Any) -> float | None:
    """Seconds for which it waits."""
    first = {"written": False, "settled_at": NOW - 1, "others_wait": False, **given}
    again = seconds_to_hold_first_status(scene.account(service(replicas=2), before), Settling(**first), NOW)
    assert again is None or again.holds_status
    return again.seconds if again else None


def test_it_waits_for_the_deployment_controller_but_not_for_ever() -> None:
    assert held(Scene(deployment=deployment(1))) == FIRST_STATUS_SECONDS - 1
    assert held(Scene(deployment=deployment(2))) is None
    assert held(Scene(), settled_at=NOW - FIRST_STATUS_SECONDS) is None


def test_it_gives_way_to_services_without_pods() -> None:
    assert held(Scene(deployment=deployment(2)), others_wait=True) == GIVE_WAY_SECONDS


def test_that_all_pods_serve_gives_way_to_nobody() -> None:
    """It is what users wait for, and the last word: it is not followed by another write."""
    serving = Scene(deployment=deployment(2), pods=[pod("a"), pod("b")])
    assert held(serving, others_wait=True) is None
    lagging = Scene(deployment=deployment(1), pods=[pod("a"), pod("b")])
    assert held(lagging) is None, "the pods themselves have answered"
    assert held(Scene(deployment=deployment(2), pods=[pod("a")]), others_wait=True) == GIVE_WAY_SECONDS


@pytest.mark.parametrize(
    "scene",
    [
        Scene(apply_error=(Reason.NAME_TAKEN, "somebody else's")),
        Scene(withheld=True, assessment=Assessment(False, Reason.WEIGHTS_TOO_LARGE, "too large")),
    ],
)
def test_what_the_user_must_know_waits_for_nobody(scene: Scene) -> None:
    assert held(scene, others_wait=True) is None


def test_only_the_first_one_waits() -> None:
    assert held(Scene(), {"conditions": []}) is None
    assert held(Scene(), written=True) is None
    assert held(Scene(), {"observedGeneration": -1}) == FIRST_STATUS_SECONDS - 1

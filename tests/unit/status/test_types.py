"""The conditions of a service are those that the registry of types says are there."""

from typing import Any

import pytest

from support.accounts import Scene
from support.model_reports import packed
from support.snapshots import deployment, loading, pod, service
from vllm_operator.api.conditions import ALWAYS, WHILE_FALSE, WHILE_TRUE, ConditionType
from vllm_operator.api.reasons import Reason
from vllm_operator.assess.fits import Inspection
from vllm_operator.inspection.report import Facts
from vllm_operator.status.status import status

SERVES, DEPLOYMENT = pod(), deployment(1)
REFUSED = loading(failed=True, reason="UnexpectedAdmissionError", message="devices unavailable for nvidia.com/gpu")
NO_TEMPLATE = Inspection("key", packed(Facts({"model_type": "llama"}, chat_template=False)))


def told(observed: Scene, **spec: Any) -> dict[ConditionType, str]:
    """The status of each condition."""
    entries = status(observed.account(service(**spec)), "2026-11-24T12:00:00Z")["conditions"]
    by_name = {entry["type"]: entry["status"] for entry in entries}
    known = {kind: by_name.pop(kind) for kind in ConditionType if kind in by_name}
    assert by_name == {}, "types without a row"
    return known


def there(when: str) -> set[ConditionType]:
    return {kind for kind in ConditionType if kind.there == when}


def test_a_service_without_trouble_has_those_that_are_always_there_and_all_are_good() -> None:
    found = told(Scene(deployment=DEPLOYMENT, pods=[SERVES], monitoring=True))
    assert found.keys() == there(ALWAYS)
    known = {kind: value for kind, value in found.items() if value != "Unknown"}
    assert known == {kind: str(kind.good) for kind in known}


@pytest.mark.parametrize(
    ("kind", "observed"),
    [
        (ConditionType.STALLED, Scene(deployment=DEPLOYMENT, pods=[REFUSED])),
        (ConditionType.RECONCILING, Scene(deployment=DEPLOYMENT, pods=[loading()])),
        (ConditionType.OUTDATED, Scene(deployment=DEPLOYMENT, pods=[SERVES], changed=["Secret/a"])),
        (ConditionType.CHAT_AVAILABLE, Scene(deployment=DEPLOYMENT, pods=[SERVES], inspection=NO_TEMPLATE)),
        (ConditionType.INCOMPLETE, Scene(deployment=DEPLOYMENT, pods=[SERVES], missing=("the Events: too many",))),
    ],
)
def test_the_others_are_there_only_while_they_tell_of_trouble(kind: ConditionType, observed: Scene) -> None:
    found = told(observed)
    assert found.keys() == {*there(ALWAYS), kind}
    assert found[kind] == str(not kind.good)
    assert kind.there == (WHILE_FALSE if kind.good else WHILE_TRUE)


def test_scaling_active_is_there_only_with_an_autoscaler() -> None:
    found = told(Scene(deployment=DEPLOYMENT, pods=[SERVES]), autoscaling={"minReplicas": 1, "maxReplicas": 2})
    assert found.keys() == there(ALWAYS) | there(ConditionType.SCALING_ACTIVE.there)


def test_a_spec_that_is_not_valid_is_all_that_is_told() -> None:
    found = told(Scene(spec_error=(Reason.INVALID, "spec.x: wrong")))
    assert found.keys() == {ConditionType.READY, ConditionType.SPEC_VALID, ConditionType.STALLED}

"""A status that the API server would refuse for one value is written without it, and says so."""

from typing import Any

import pytest

from support.accounts import Scene
from support.snapshots import deployment, pod, service
from vllm_operator.api.conditions import ConditionType
from vllm_operator.api.reasons import Reason
from vllm_operator.assess.fits import Inspection
from vllm_operator.inspection.report import Facts
from vllm_operator.status import conditions, status
from vllm_operator.status.evidence import Engine
from vllm_operator.status.schema import conform

NOW = "2026-11-24T12:00:00Z"


def told(after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The conditions by type."""
    return {entry["type"]: entry for entry in after["conditions"]}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"model": {"weightsBytes": 10**100, "commit": "c" * 300, "inspected": "k"}}, {"model": {"inspected": "k"}}),
        ({"replicas": True, "gpus": 1.5, "readyReplicas": "2"}, {}),
        ({"replicas": 1 << 63, "gpus": (1 << 63) - 1}, {"gpus": (1 << 63) - 1}),
        ({"url": 7, "image": "x" * 600, "nobody": 1, "plan": [], "engine": {"maxModelLen": None}}, {"engine": {}}),
        ({"conditions": [{"type": "Ready", "status": "Perhaps"}, 7, None]}, {"conditions": []}),
        ({"vllmVersion": "0.32\ud800\x1b[2J\0"}, {"vllmVersion": "0.32\ufffd\ufffd[2J\ufffd"}),
    ],
)
def test_what_a_status_cannot_have_is_left_out(value: dict[str, Any], kept: dict[str, Any]) -> None:
    found, left_out = conform(value)
    assert found == kept
    assert conform(found) == (found, ())
    assert bool(left_out) is ("vllmVersion" not in value)


def test_what_is_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts({}, weights_bytes=10**100, commit="c" * 300)
    monkeypatch.setattr(status, "facts_of", lambda _: facts)
    monkeypatch.setattr(conditions, "facts_of", lambda _: facts)
    seen = Scene(deployment=deployment(1), pods=[pod()], inspection=Inspection("key", b"packed"))
    after = status.status(seen.account(service()), NOW)
    assert after["model"] == {"inspected": "key"}
    incomplete = told(after)[ConditionType.INCOMPLETE]
    assert (incomplete["status"], incomplete["reason"]) == ("True", Reason.VALUE_LEFT_OUT)
    assert "model.commit, model.weightsBytes" in incomplete["message"]
    assert told(after)[ConditionType.READY]["status"] == "True", "it gates nothing"


def test_figures_out_of_all_range_are_left_out() -> None:
    seen = Scene(deployment=deployment(1), pods=[pod()], engine=Engine("v" * 300, 1 << 70, 8192))
    after = status.status(seen.account(service()), NOW)
    assert after["engine"] == {"maxModelLen": 8192}
    assert "engine.kvCacheTokens" in told(after)[ConditionType.INCOMPLETE]["message"]


def test_parts_that_cannot_be_read_are_told_beside_the_rest() -> None:
    account = Scene(deployment=deployment(1), pods=[pod()], missing=("the Events: too many",)).account(service())
    incomplete = told(status.status(account, NOW))[ConditionType.INCOMPLETE]
    assert (incomplete["reason"], incomplete["message"]) == (Reason.PART_UNREADABLE, "not read: the Events: too many")


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("workload_available", ConditionType.WORKLOAD_AVAILABLE),
        ("chat_unavailable", ConditionType.CHAT_AVAILABLE),
        ("scaling_active", ConditionType.SCALING_ACTIVE),
    ],
)
def test_a_condition_that_cannot_be_worked_out_says_so_and_the_others_stand(
    monkeypatch: pytest.MonkeyPatch, function: str, kind: ConditionType
) -> None:
    def fails(_: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(status, function, fails)
    found = told(status.status(Scene(deployment=deployment(1), pods=[pod()]).account(service()), NOW))
    assert (found[kind]["status"], found[kind]["reason"]) == ("Unknown", Reason.OPERATOR_FAILED)
    assert "RecursionError" in found[kind]["message"]
    assert found[ConditionType.SPEC_VALID]["status"] == "True"
    assert ConditionType.FITS in found

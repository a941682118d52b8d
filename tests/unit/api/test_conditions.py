"""Conditions as anybody reads them off a status, and times as they are written there."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from vllm_operator.api.conditions import ConditionType, find, holds
from vllm_operator.api.times import written

TRUE = {"type": "Ready", "status": "True", "reason": "Available"}
FALSE = {"type": "Fits", "status": "False"}


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"conditions": []}, {"conditions": [FALSE, {}]}])
def test_what_is_not_there_is_empty_and_does_not_hold(status: dict[str, Any] | None) -> None:
    assert find(status, ConditionType.READY) == {}
    assert not holds(status, ConditionType.READY)


def test_a_condition_is_found_and_holds_while_it_is_true() -> None:
    status = {"conditions": [FALSE, TRUE]}
    assert find(status, ConditionType.READY) is TRUE
    assert [holds(status, kind) for kind in ("Ready", "Fits")] == [True, False]


def test_a_time_is_written_in_seconds_of_utc() -> None:
    moment = datetime(2026, 11, 24, 13, 0, 1, 999, tzinfo=timezone(timedelta(hours=1)))
    assert written(moment) == written(moment.astimezone(UTC)) == "2026-11-24T12:00:01Z"

"""When a status is written: at once, later, or not at all; and what is told of a transition."""

import asyncio
import logging
from typing import Any

import pytest

from support.clock import Clock
from support.fake_api import FakeApi
from vllm_operator.again import Again
from vllm_operator.api import API_VERSION, KIND
from vllm_operator.api.resource import Key, Reference
from vllm_operator.cluster import Cluster, path
from vllm_operator.loop.write import PROGRESS_SECONDS, SETTLE_SECONDS, StatusWriter, seconds_to_hold_progress

ABOUT = Reference(API_VERSION, KIND, Key("team-a", "llama"), "uid")


def status(message: str, *, ready: str = "False", reason: str = "Starting", generation: int = 1) -> dict[str, Any]:
    """A status with the one condition that matters."""
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    return {"observedGeneration": generation, "conditions": [condition]}


class Desk:
    """A writer, the API server and a clock."""

    def __init__(self) -> None:
        self.api, self.clock = FakeApi(), Clock()
        self.api.put(path(KIND, *ABOUT.key), {"kind": KIND, "metadata": {"name": "llama", "namespace": "team-a"}})
        self.writer = StatusWriter(Cluster(self.api, lambda _: 10.0), self.clock)

    def write(self, before: dict[str, Any], after: dict[str, Any]) -> Again | None:
        """One call."""
        self.api.requests.clear()
        return asyncio.run(self.writer.write(ABOUT, before, after))

    @property
    def writes(self) -> int:
        """Writes of the status in the last call."""
        return sum(url.endswith("/status") for _, url in self.api.requests)


def test_what_does_not_differ_is_not_written() -> None:
    desk = Desk()
    assert desk.write(status("a"), status("a")) is None
    assert desk.api.requests == []


@pytest.mark.parametrize(
    "after",
    [
        status("a", ready="True"),
        status("a", reason="RollingOut"),
        status("a", generation=2),
        {**status("a"), "conditions": []},
    ],
)
def test_a_change_of_a_condition_or_of_the_spec_is_written_at_once(after: dict[str, Any]) -> None:
    desk = Desk()
    after["conditions"] = after["conditions"] or [
        {**status("a")["conditions"][0], "type": "Fits"},
        *status("a")["conditions"],
    ]
    assert desk.write(status("a"), after) is None
    assert desk.writes == 1


def test_progress_settles_first_and_is_then_written_no_more_often_than_every_ten_seconds() -> None:
    desk = Desk()
    first = desk.write(status("a"), status("b"))
    assert first
    assert (first.seconds, desk.writes) == (SETTLE_SECONDS, 0)
    desk.clock.now += SETTLE_SECONDS
    assert desk.write(status("a"), status("b")) is None
    assert desk.writes == 1
    again = desk.write(status("b"), status("c"))
    assert again
    assert again.seconds == PROGRESS_SECONDS
    assert again.holds_status is False


def test_progress_that_is_taken_back_costs_nothing() -> None:
    desk = Desk()
    desk.write(status("a"), status("b"))
    desk.clock.now += SETTLE_SECONDS - 1
    desk.write(status("a"), status("a"))
    desk.clock.now += 2
    again = desk.write(status("a"), status("b"))
    assert again
    assert again.seconds == SETTLE_SECONDS, "it differs anew, from now on"


@pytest.mark.parametrize(
    ("now", "written_at", "differs_since", "left"),
    [
        (100.0, None, 100.0, SETTLE_SECONDS),
        (100.0, 99.0, 100.0, PROGRESS_SECONDS - 1),
        (100.0, 50.0, 98.0, SETTLE_SECONDS - 2),
        (200.0, 50.0, 98.0, 0.0),
    ],
)
def test_the_later_of_settling_and_the_last_write_counts(
    now: float, written_at: float | None, differs_since: float, left: float
) -> None:
    assert seconds_to_hold_progress(now, written_at, differs_since) == left


def test_our_own_write_stands_until_the_watch_shows_it() -> None:
    desk = Desk()
    after = status("b", ready="True")
    desk.write(status("a"), after)
    assert desk.writer.unseen
    version = desk.writer.unseen.resource_version
    assert desk.writer.newest(version - 1, status("a")) == after
    assert desk.writer.newest(version, status("of the watch")) == status("of the watch")
    assert desk.writer.unseen is None, "one status in memory is enough"
    assert desk.writer.has_written


def test_a_transition_is_told_once_by_an_event_and_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    with caplog.at_level(logging.INFO, "vllm_operator"):
        desk.write(status("a"), status("it serves", ready="True", reason="Available"))
        assert [url for verb, url in desk.api.requests if verb == "post"] == [path("Event", "team-a")]
        desk.write(status("it serves", ready="True", reason="Available"), status("b", ready="True", reason="Available"))
        assert not [url for verb, url in desk.api.requests if verb == "post"]
    assert [record.message for record in caplog.records] == ["team-a/llama Ready=True reason=Available: it serves"]
    assert caplog.records[0].__dict__["inferenceservice"] == "llama"

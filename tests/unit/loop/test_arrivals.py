"""What gives way while services arrive by the hundred, and that nobody waits for ever."""

import asyncio
import time
from collections.abc import Callable

import pytest

from vllm_operator.api.resource import Key
from vllm_operator.loop import arrivals
from vllm_operator.loop.arrivals import Arrivals


def keys(count: int) -> list[Key]:
    return [Key("default", f"s{number}") for number in range(count)]


def played(scenario: Callable[[Arrivals, list[Key]], object], seconds: float = 0.0) -> list[Key]:
    """The keys that came back by themselves."""

    async def main() -> list[Key]:
        back: list[Key] = []
        scenario(Arrivals(back.append, time.monotonic), back)
        await asyncio.sleep(seconds)
        return back

    return asyncio.run(main())


def test_a_single_service_waits_for_nothing() -> None:
    def scenario(found: Arrivals, _: list[Key]) -> None:
        (one,) = keys(1)
        found.arrived(one)
        assert not found.holds_pods(one)
        found.settled(one)
        assert not found.holds_status("default")

    played(scenario)


def test_older_ones_wait_until_no_newer_comes_and_then_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(arrivals, "CHECK_SECONDS", 0.01)
    first, second, last = keys(3)

    def scenario(found: Arrivals, _: list[Key]) -> None:
        for key in (first, second, last):
            found.arrived(key)
        assert found.holds_pods(first)
        assert found.holds_pods(second)
        assert not found.holds_pods(last)
        assert found.is_held(first)
        assert not found.is_held(last)

    assert sorted(played(scenario, 0.2)) == [first, second]


def test_a_stream_that_never_ends_holds_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "LONGEST_SECONDS", 0.0)
    first, last = keys(2)

    def scenario(found: Arrivals, _: list[Key]) -> None:
        found.arrived(first)
        found.arrived(last)
        assert not found.holds_pods(first)
        assert not found.holds_status("default")

    played(scenario)


def test_a_status_waits_for_the_pods_of_all() -> None:
    first, last = keys(2)

    def scenario(found: Arrivals, _: list[Key]) -> None:
        found.arrived(first)
        found.arrived(last)
        found.settled(first)
        assert found.holds_status("default")
        found.settled(last)
        assert not found.holds_status("default")

    played(scenario)


def test_nobody_waits_for_another_namespace() -> None:
    first, last = keys(2)
    other = Key("other", "s0")

    def scenario(found: Arrivals, _: list[Key]) -> None:
        for key in (first, other, last):
            found.arrived(key)
        assert found.holds_pods(first)
        assert not found.holds_pods(other)
        found.settled(other)
        assert not found.holds_status("other")
        assert found.holds_status("default")

    played(scenario)


def test_one_that_is_gone_comes_back_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(arrivals, "CHECK_SECONDS", 0.01)
    first, last = keys(2)

    def scenario(found: Arrivals, _: list[Key]) -> None:
        found.arrived(first)
        found.arrived(last)
        assert found.holds_pods(first)
        found.settled(first)

    assert played(scenario, 0.1) == []

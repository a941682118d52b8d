"""Whose first status gives way while services arrive by the hundred, and that nobody waits for ever."""

from support.clock import Clock
from vllm_operator.api.resource import Key
from vllm_operator.loop.arrivals import LONGEST_SECONDS, Arrivals

FIRST, LAST = Key("default", "s0"), Key("default", "s1")


def test_the_status_of_a_single_service_waits_for_nobody_once_it_has_its_children() -> None:
    found = Arrivals(Clock())
    found.arrived(FIRST)
    found.settled(FIRST)
    assert not found.holds_status("default")


def test_a_status_waits_for_the_children_of_all() -> None:
    found = Arrivals(Clock())
    found.arrived(FIRST)
    found.arrived(LAST)
    found.settled(FIRST)
    assert found.holds_status("default")
    found.settled(LAST)
    assert not found.holds_status("default")


def test_it_waits_for_the_newest_and_for_nobody_for_ever() -> None:
    clock = Clock()
    found = Arrivals(clock)
    found.arrived(FIRST)
    found.arrived(LAST)
    clock.now += LONGEST_SECONDS - 1
    found.arrived(FIRST)
    clock.now += 1
    assert found.holds_status("default"), "it was made again a second ago"
    clock.now += LONGEST_SECONDS
    assert not found.holds_status("default")


def test_nobody_waits_for_another_namespace() -> None:
    found, other = Arrivals(Clock()), Key("other", "s0")
    for key in (FIRST, other, LAST):
        found.arrived(key)
    found.settled(other)
    assert not found.holds_status("other")
    assert found.holds_status("default")

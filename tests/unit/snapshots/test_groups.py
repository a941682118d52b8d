"""Groups of pods: a group serves as a whole, and what brought one down is known after it is replaced."""

from dataclasses import replace
from typing import Any

import pytest

from support.snapshots import loading, pod
from vllm_operator.snapshots.groups import Fallen, judged, leaders, place
from vllm_operator.snapshots.pod import Ending, PodSnapshot


def rank(number: int, group: str = "0", **fields: Any) -> PodSnapshot:
    name = f"llama-g-{group}" + (f"-{number}" if number else "")
    return pod(name, rank=number, group=group, uid=f"uid-{name}", **fields)


def ended(number: int, started: str = "2026-11-28T08:00:00Z", code: int = 1, **fields: Any) -> PodSnapshot:
    ending = Ending("Error", code, 10, served=True, log="RuntimeError: boom", started=started)
    return rank(number, ready=False, started=False, ending=ending, node=f"node-{number}", **fields)


def test_a_group_of_whose_pods_one_does_not_run_does_not_serve() -> None:
    pods = [rank(0), rank(1), rank(0, "1"), rank(1, "1", ready=False)]
    assert [one.ready for one in leaders(judged(pods, 2))] == [True, False]


def test_a_group_of_which_a_pod_is_gone_does_not_serve() -> None:
    assert [one.ready for one in leaders(judged([rank(0), rank(1)], 3))] == [False]


def test_pods_that_are_no_groups_are_left_alone() -> None:
    pods = [pod("a"), loading("b")]
    assert judged(pods, 1) == leaders(pods) == pods


def test_the_rank_that_ended_first_is_remembered_until_all_serve() -> None:
    fallen = Fallen()
    first, second = ended(1), ended(0, started="2026-11-28T08:00:05Z")
    assert fallen.note([second, first], "r") is first
    assert fallen.note([], "r") is first
    assert fallen.note([rank(0, ready=False), rank(1)], "r") is first
    assert fallen.note([rank(0), rank(1)], "r") is None


def test_a_later_fall_takes_its_place() -> None:
    fallen = Fallen()
    fallen.note([ended(1)], "r")
    again = ended(0, started="2026-11-28T09:00:00Z")
    assert fallen.note([again], "r") is again


def test_another_rendering_has_not_fallen() -> None:
    fallen = Fallen()
    fallen.note([ended(1)], "r")
    assert fallen.note([], "of-now") is None


@pytest.mark.parametrize(("code", "why"), [(137, "Error"), (143, "Error"), (0, "Completed")])
def test_who_is_asked_to_end_has_brought_nobody_down(code: int, why: str) -> None:
    leader = rank(0, ready=False, terminating=True, ending=Ending(why, code, 3, served=True))
    assert Fallen().note([leader], "r") is None


def test_a_pod_out_of_memory_has_also_where_it_is_being_deleted() -> None:
    killed = rank(1, ready=False, terminating=True, ending=Ending("OOMKilled", 137, 3, served=True))
    assert Fallen().note([killed], "r") is killed


def test_a_rank_that_is_being_deleted_on_a_lost_node_is_told_as_long_as_it_is_there() -> None:
    """StatefulSets make no pod of its name before, so its group is not made anew."""
    fallen, lost = Fallen(), rank(1, ready=False, lost=True, terminating=True)
    assert fallen.note([lost], "r") is lost
    asked = rank(0, ready=False, terminating=True, ending=Ending("Completed", 0, 3, served=True))
    assert fallen.note([asked, lost], "r") is lost
    assert fallen.note([ended(0), lost], "r") is lost
    assert fallen.note([rank(0), rank(1)], "r") is None
    assert fallen.note([replace(lost, terminating=False)], "r") is None, "the API server may show it again"
    assert fallen.note([lost], "of-now") is None


def test_a_place_is_told_in_words() -> None:
    assert place(ended(1)) == "rank 1 of group 0 on node node-1"

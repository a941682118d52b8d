"""What is kept of the objects of a resource, and when that is told whom."""

from dataclasses import replace
from typing import Any

import pytest

from vllm_operator.api.resource import Key
from vllm_operator.resources import RESOURCES
from vllm_operator.watch.indices import Deleted, Index
from vllm_operator.watch.informer import Informer
from vllm_operator.watch.sources import Item, Source


def source(*, by_snapshot: bool = False, owner: str = "", **indices: Any) -> Source:
    """Of pods, each of which concerns the thing of its name."""
    resource = RESOURCES["Pod"]
    return Source(
        resource,
        indices,
        lambda body, _: [Item("Thing", Key("a", body["metadata"]["name"]))],
        owner,
        by_snapshot=by_snapshot,
    )


class World:
    """An informer, and whose turn it has made."""

    def __init__(self, *sources: Source) -> None:
        self.indices = {name: Index() for one in sources for name in one.indices}
        self.told: list[str] = []
        self.informer = Informer(sources, self.indices, lambda item, *_: self.told.append(item.key.name))

    def note(self, change: str | None, name: str = "x", *, uid: str = "1", tell: bool = True, **data: Any) -> list[str]:
        """An event, and who is told of it."""
        self.told.clear()
        self.informer.note(change, {"metadata": {"name": name, "uid": uid}, **data}, tell=tell)
        return list(self.told)

    def kept(self, name: str) -> dict[Any, list[Any]]:
        return {key: list(found) for key, found in self.indices[name].items()}


def by_team(body: Any) -> dict[str, str]:
    return {body["team"]: body["metadata"]["name"]} if "team" in body else {}


def test_an_object_is_found_by_its_newest_key_alone_and_not_at_all_once_it_is_gone() -> None:
    world = World(source(teams=by_team))
    world.note("ADDED", team="a")
    world.note("ADDED", "y", uid="2", team="a")
    assert world.kept("teams") == {"a": ["x", "y"]}
    world.note("MODIFIED", team="b")
    assert world.kept("teams") == {"a": ["y"], "b": ["x"]}
    world.note("MODIFIED", team="a")
    world.note("MODIFIED", "y", uid="2")
    assert world.kept("teams") == {"a": ["x"]}
    world.note("DELETED", team="a")
    assert world.kept("teams") == {}
    assert len(world.indices["teams"]) == 0
    assert world.indices["teams"].get("a", ()) == ()


def test_another_object_of_the_same_name_may_come_before_the_old_one_is_seen_to_go() -> None:
    world = World(source(teams=by_team))
    world.note("ADDED", team="a", uid="old")
    world.note("ADDED", team="a", uid="new")
    world.note("DELETED", team="a", uid="old")
    assert world.kept("teams") == {"a": ["x"]}


def test_an_event_is_told_or_only_where_it_changes_what_is_kept() -> None:
    every, some = World(source(teams=by_team)), World(source(by_snapshot=True, teams=by_team))
    for change, team, changes in [("ADDED", "a", True), ("MODIFIED", "a", False), ("MODIFIED", "b", True)]:
        assert every.note(change, team=team) == ["x"]
        assert some.note(change, team=team) == (["x"] if changes else [])
    assert some.note("DELETED", team="b") == ["x"]
    assert some.note("DELETED", team="b") == []


def by_owner(body: Any) -> dict[Key, str]:
    return {Key("a", body["owner"]): "x"} if "owner" in body else {}


@pytest.mark.parametrize("by_snapshot", [True, False])
def test_who_has_lost_an_object_is_told_once_whatever_the_object_says_now(*, by_snapshot: bool) -> None:
    world = World(source(by_snapshot=by_snapshot, owner="Thing", owners=by_owner, more=by_owner))
    assert world.note("ADDED", owner="one") == ["x"]
    assert world.note("MODIFIED", owner="two") == ["x", "one"]
    assert world.note("MODIFIED") == ["x", "two"]
    assert world.note("MODIFIED", owner="x") == ["x"]
    assert world.note("DELETED", owner="x") == ["x"]
    assert world.note("ADDED", owner="one", tell=False) == []
    assert world.note("DELETED", owner="one") == ["x", "one"]


def test_before_all_is_known_it_is_kept_and_told_nobody() -> None:
    world = World(source(teams=by_team))
    assert world.note(None, tell=False, team="a") == []
    assert world.kept("teams") == {"a": ["x"]}


def test_all_indices_of_all_sources_are_kept_and_an_odd_object_costs_itself() -> None:
    def odd(body: Any) -> dict[str, str]:
        return {body["nothing"]: ""}

    world = World(source(teams=by_team, odd=odd), source(by_snapshot=True, names=lambda body: {"all": body["team"]}))
    assert world.note("ADDED", team="a") == ["x", "x"]
    assert (world.kept("teams"), world.kept("odd"), world.kept("names")) == ({"a": ["x"]}, {}, {"all": ["a"]})


def test_what_was_deleted_lately_is_known_by_whose_it_was_and_by_its_name() -> None:
    found, deleted = Index(), Deleted(most=2)
    of = replace(source(owner="Thing", owners=by_owner), deleted="gone")
    informer = Informer([of], {"owners": found}, lambda *_: None, {"gone": deleted})
    for number in range(3):
        meta = {"name": f"x{number}", "uid": "1", "resourceVersion": str(number)}
        informer.note("ADDED", {"kind": "Pod", "metadata": meta}, tell=False)
        informer.note("DELETED", {"kind": "Pod", "metadata": {**meta, "resourceVersion": str(number + 10)}}, tell=False)
    assert dict(deleted) == {(Key("a", f"x{number}"), "Pod", f"x{number}"): (number + 10,) for number in (1, 2)}

"""Services that ask the same have one verdict: one of them looks at a change of nodes, and tells the others."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.nodes import H100, node
from support.world import World
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import Key
from vllm_operator.assess.fits import Assessment
from vllm_operator.cluster import UnavailableError
from vllm_operator.loop.aside import Aside
from vllm_operator.services import reconcile
from vllm_operator.services.reconcile import NODES_CHANGED
from vllm_operator.services.verdicts import Verdicts
from vllm_operator.snapshots.node import Node

A, B, C, ELSEWHERE = Key("team-a", "a"), Key("team-a", "b"), Key("team-a", "c"), Key("team-b", "a")
YES, NO = Assessment(True, Reason.FITS, "it fits"), Assessment(False, Reason.MODEL_TOO_LARGE, "it does not")
GPUS: Any = {"accelerator": {"resource": "nvidia.com/gpu"}}


class Asked:
    """Verdicts, and who is to be looked at."""

    def __init__(self, *keys: Key) -> None:
        self.requeued: list[Key] = []
        self.verdicts = Verdicts(self.requeued.append)
        for key in keys:
            verdict = self.verdicts.join(key, "told", "question")
            self.verdicts.settle(key, verdict, YES, "H100")

    def told(self) -> list[Key]:
        """Who is to be looked at since the last time."""
        found = sorted(self.requeued)
        self.requeued.clear()
        return found

    def finds(self, key: Key, assessment: Assessment) -> None:
        """An object finds a verdict for other kinds of nodes."""
        verdict = self.verdicts.of(key, "told")
        assert verdict
        self.verdicts.settle(key, verdict, assessment, "L4")
        verdict.doubted_by = None


def test_one_of_them_is_looked_at() -> None:
    asked = Asked(A, B, C)
    asked.verdicts.doubt([C, B, A])
    assert asked.told() == [A]


def test_the_same_verdict_concerns_nobody_and_another_one_all() -> None:
    asked = Asked(A, B, C)
    asked.finds(A, YES)
    assert asked.told() == []
    asked.finds(A, NO)
    assert asked.told() == [B, C]


def test_they_are_doubted_anew_once_that_is_settled() -> None:
    asked = Asked(A, B)
    asked.verdicts.doubt([A, B])
    asked.verdicts.doubt([A, B])
    assert asked.told() == [A]
    asked.finds(A, YES)
    asked.verdicts.doubt([A, B])
    assert asked.told() == [A]


@pytest.mark.parametrize("goes", ["is deleted", "asks something else", "cannot be looked at"])
def test_another_one_finds_out_where_the_first_goes(goes: str) -> None:
    asked = Asked(A, B)
    asked.verdicts.doubt([A, B])
    asked.told()
    if goes == "is deleted":
        asked.verdicts.leave(A)
    elif goes == "cannot be looked at":
        asked.verdicts.give_up(A)
    else:
        asked.verdicts.join(A, "told of more", "another question")
    assert asked.told() == [B]


def test_who_has_none_is_looked_at() -> None:
    asked = Asked(A)
    asked.verdicts.doubt([A, B])
    assert asked.told() == [A, B]


def test_none_is_kept_that_nobody_asks() -> None:
    asked = Asked(A, B)
    asked.verdicts.leave(A)
    asked.verdicts.leave(B)
    asked.verdicts.leave(B)
    assert asked.verdicts.join(A, "told", "question").assessment is None


def test_namespaces_have_their_own() -> None:
    asked = Asked(A)
    assert asked.verdicts.join(ELSEWHERE, "told", "question").assessment is None


def test_what_was_told_anew_is_another_question() -> None:
    asked = Asked(A)
    assert asked.verdicts.of(A, "told")
    assert asked.verdicts.of(A, "told of more") is None


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is worked out."""
    found: list[object] = []
    do = Aside.do

    async def counted(self: Aside, group: str, work: Callable[[], Any]) -> Any:
        found.append(work)
        await asyncio.sleep(0)
        return await do(self, group, work)

    monkeypatch.setattr(Aside, "do", counted)
    return found


def test_nodes_that_change_while_it_is_planned_are_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was to look at them may be the one that plans, or be deleted."""
    world, keys = fleet(H100)
    seen: list[Assessment] = []
    do = Aside.do

    async def meanwhile(self: Aside, group: str, work: Callable[[], Any]) -> Any:
        found = await do(self, group, work)
        if not seen:
            with_nodes(world, node("small", product="Tesla-T4"))
            await world.reconciler.reconcile(NODES_CHANGED)
        seen.append(found)
        return found

    monkeypatch.setattr(Aside, "do", meanwhile)
    with_nodes(world, node(H100), node("other", taint="team=a:NoSchedule"))
    world.reconcile(NODES_CHANGED, watched=False)
    world.reconcile(keys[1], watched=False)
    assert [one.product for one in seen] == [H100, "Tesla-T4"]
    assert set(keys) - {keys[1]} <= set(world.requeued)


def with_nodes(world: World, *nodes: Node) -> None:
    """These are the nodes now."""
    world.indices["nodes"] = {one.name: [one] for one in nodes}


def fleet(*products: str) -> tuple[World, list[Key]]:
    """Three services of one model, whose verdicts are there, on nodes of these products."""
    world = World()
    nodes = [node(product, product=product) for product in products]
    keys = [world.service(name, **GPUS) for name in ("a", "b", "c")]
    for key in keys:
        world.reconcile(key)
    world.inspected("a")  # they share one inspection
    for _ in range(3):
        world.watch()
        with_nodes(world, *nodes)
        asyncio.run(together(world, keys))
    world.requeued.clear()
    return world, keys


async def together(world: World, keys: list[Key]) -> None:
    """All are reconciled at once, as by several workers."""
    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))


def test_services_that_ask_the_same_are_planned_once(plans: list[object]) -> None:
    world, keys = fleet(H100)
    assert len(plans) == 2, "while the model is inspected, and when it is known"
    assert sorted(world.children("Deployment")) == [key.name for key in keys]


def test_nodes_that_change_no_verdict_have_one_service_looked_at(plans: list[object]) -> None:
    world, keys = fleet(H100)
    plans.clear()
    with_nodes(world, node(H100), node("other", taint="team=a:NoSchedule"))
    world.reconcile(NODES_CHANGED, watched=False)
    assert world.requeued == [keys[0]]
    world.requeued.clear()
    for key in keys:
        world.reconcile(key, watched=False)
    assert len(plans) == 1
    assert world.requeued == []


def test_one_that_cannot_be_looked_at_keeps_no_other_from_hearing(monkeypatch: pytest.MonkeyPatch) -> None:
    world, keys = fleet(H100)
    with_nodes(world, node("small", product="Tesla-T4"))
    world.reconcile(NODES_CHANGED, watched=False)

    async def fail(*_: object) -> None:
        raise UnavailableError("the API server does not answer")

    monkeypatch.setattr(reconcile, "gather", fail)
    with pytest.raises(UnavailableError):
        world.reconcile(keys[0], watched=False)
    assert world.requeued == keys[:2]


def test_nodes_that_change_a_verdict_have_all_looked_at(plans: list[object]) -> None:
    world, keys = fleet(H100)
    plans.clear()
    with_nodes(world, node("small", product="Tesla-T4"))
    world.reconcile(NODES_CHANGED, watched=False)
    assert world.requeued == [keys[0]]
    world.reconcile(keys[0], watched=False)
    assert sorted(world.requeued[1:]) == keys[1:]
    for key in keys[1:]:
        world.reconcile(key, watched=False)
    assert len(plans) == 1

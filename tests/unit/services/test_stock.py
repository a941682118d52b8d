"""Whom a change of nodes concerns, and that a node of each kind is as good for a plan as all of them."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from support.model_reports import LLAMA_70B, inspected
from support.nodes import H100, L4, node
from support.snapshots import service, spec
from support.steps import MOST_ASKED_OF_NODES, MOST_SECONDS, longest
from support.world import World, serving
from vllm_operator.api.groups import MOST_NODES
from vllm_operator.api.resource import Key
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.assess.fits import assess
from vllm_operator.assess.nodes import devices, room
from vllm_operator.services import judge, stock
from vllm_operator.services.reconcile import NODES_CHANGED
from vllm_operator.services.stock import Offer, Stock
from vllm_operator.snapshots.node import Node, Taint

ANY, POOL, TOLERANT, HELD = Key("a", "any"), Key("b", "pool"), Key("c", "tolerant"), Key("d", "held")
SPECS: dict[Key, dict[str, Any]] = {
    ANY: {},
    POOL: {"pod": {"nodeSelector": {"pool": "x"}}},
    TOLERANT: {"pod": {"tolerations": [{"key": "team", "operator": "Exists"}]}},
    HELD: {"accelerator": {"product": L4}},
}


class Cluster:
    """Nodes that change, and what is asked of them."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = {one.name: one for one in nodes}
        self.stock = Stock(self.nodes.values)
        for key, fields in SPECS.items():
            self.asks(key, spec(**fields))

    def asks(self, key: Key, wanted: InferenceServiceSpec, *, waits: bool = False) -> Offer:
        """What there is for a service."""
        return asyncio.run(self.stock.offer(key, wanted, waits=waits))

    def change(self, *nodes: Node, gone: str = "") -> set[Key]:
        """Who has to be looked at after nodes were added, changed or deleted."""
        self.nodes |= {one.name: one for one in nodes}
        self.nodes.pop(gone, None)
        return asyncio.run(self.stock.look())


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ([], set()),
        ([node("n1", heartbeat="2")], set()),
        ([node("n3")], set()),
        ([node("n3", pool="x")], {POOL}),
        ([node("n3", gpus=4)], set(SPECS)),
        ([node("n3", product=L4)], set(SPECS)),
        ([node("n3", taint="team=a:NoSchedule")], {ANY, HELD}),
        ([node("n1", pool="x"), node("n2", pool="x")], {POOL}),
    ],
)
def test_only_those_whose_kinds_of_nodes_changed_come_back(change: list[Node], concerned: set[Key]) -> None:
    assert Cluster(node("n1"), node("n2")).change(*change) == concerned


def test_the_last_node_of_a_kind_takes_it_along_and_the_one_before_does_not() -> None:
    cluster = Cluster(node("n1"), node("n2"), node("n3", product=L4))
    assert cluster.change(gone="n1") == set()
    assert cluster.change(gone="n3") == set(SPECS)
    assert cluster.change(node("n3", product=L4)) == set(SPECS)


def test_one_that_waits_for_gpus_comes_back_for_every_node() -> None:
    cluster = Cluster(node("n1"))
    cluster.asks(ANY, spec(), waits=True)
    assert cluster.change(node("n1", heartbeat="2")) == set()
    assert cluster.change(node("n2")) == {ANY}
    cluster.asks(ANY, spec())
    assert cluster.change(node("n3")) == set()


def test_one_that_asks_for_something_else_now_comes_back_for_that() -> None:
    cluster = Cluster(node("n1"))
    cluster.asks(ANY, spec(**SPECS[POOL]))
    assert cluster.change(node("n2", pool="x")) == {ANY, POOL}
    cluster.stock.forget(POOL)
    assert cluster.change(gone="n2") == {ANY}


@pytest.mark.parametrize("seed", range(20))
def test_a_node_of_each_kind_makes_the_plan_of_all(seed: int) -> None:
    chance = random.Random(seed)

    def some(name: str) -> Node:
        made = node(
            name,
            chance.choice([1, 4, 8]),
            chance.choice([H100, L4]),
            taint=chance.choice(["", "team=a:NoSchedule"]),
            **{"pool": chance.choice("xy"), "kubernetes.io/hostname": name},
        )
        return replace(made, devices=made.devices if chance.random() < 0.9 else (("amd.com/gpu", 8),))

    cluster = Cluster()
    for _ in range(5):
        cluster.change(*(some(f"n{chance.randrange(40)}") for _ in range(30)), gone=f"n{chance.randrange(40)}")
        for key, fields in SPECS.items():
            wanted = spec(**fields)
            offer, nodes = cluster.asks(key, wanted), list(cluster.nodes.values())
            assert devices(wanted, offer.nodes) == devices(wanted, nodes)
            assert len(offer.nodes) <= 24
    service_of_held, image = service(**SPECS[HELD]), f"vllm/vllm-openai:v{VLLM_VERSION}"
    few, every = (assess(service_of_held, inspected(LLAMA_70B), some, image) for some in (offer.nodes, nodes))
    assert few == every


def test_of_groups_as_many_nodes_of_a_kind_count_as_one_can_lie_on() -> None:
    cluster = Cluster(node("n1"))
    key, wanted = Key("e", "group"), spec(nodesPerReplica=3, tensorParallelSize=8, pipelineParallelSize=3)
    offer = cluster.asks(key, wanted)
    assert room(wanted, offer.nodes) == 1
    for name in ("n2", "n3"):
        assert cluster.change(node(name)) == {key}
    for name in ("n4", "n5"):
        assert cluster.change(node(name)) == set()
    offer = cluster.asks(key, wanted)
    assert (room(wanted, offer.nodes), len(offer.nodes)) == (3, 3)
    assert cluster.change(gone="n1") == cluster.change(gone="n3") == set()
    assert cluster.change(gone="n2") == {key}


def test_where_a_node_has_the_gpus_of_a_whole_replica_their_number_does_not_count() -> None:
    cluster = Cluster(node("n1"), node("n2", gpus=2))
    key, wanted = Key("e", "open"), spec(nodesPerReplica=MOST_NODES, tensorParallelSize=8)
    cluster.asks(key, wanted)
    assert cluster.change(node("n3")) == set()
    assert cluster.change(node("n4", gpus=2)) == {key}


def test_an_offer_while_nodes_are_looked_at_takes_those_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "STEP", 0)
    cluster, last = Cluster(node("n1"), node("n2", pool="x")), spec(**SPECS[POOL])
    cluster.nodes["n3"] = node("n3", product=L4, pool="x")

    async def ask_meanwhile(fields: dict[str, Any]) -> int:
        looking = asyncio.create_task(cluster.stock.look())
        await asyncio.sleep(0)
        found = await cluster.stock.offer(Key("e", "new"), spec(**fields), waits=False)
        await looking
        return len(found.nodes)

    new = {"pod": {"nodeSelector": {"pool": "x"}, "tolerations": [{"key": "a", "operator": "Exists"}]}}
    assert asyncio.run(ask_meanwhile(new)) == 3
    assert len(cluster.asks(POOL, last).nodes) == 3


def test_a_look_while_a_demand_is_counted_takes_no_node_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "STEP", 0)
    cluster, wanted = Cluster(node("n1"), node("n2", product=L4)), spec(pod={"nodeSelector": {"pool": "y"}})

    async def look_meanwhile() -> Offer:
        asking = asyncio.create_task(cluster.stock.offer(HELD, wanted, waits=False))
        await asyncio.sleep(0)
        del cluster.nodes["n2"]
        cluster.nodes["n3"] = node("n3", pool="y")
        await cluster.stock.look()
        await asking
        return await cluster.stock.offer(HELD, wanted, waits=False)

    assert {one.name for one in asyncio.run(look_meanwhile()).nodes} == {"n1", "n3"}
    assert cluster.change(gone="n3") == {HELD}


@pytest.mark.parametrize("seed", range(20))
def test_for_groups_some_nodes_of_each_kind_are_as_good_as_all(seed: int) -> None:
    chance = random.Random(seed)
    nodes = [
        node(f"n{at}", chance.choice([2, 4, 8]), chance.choice([H100, L4]), rack=chance.choice("abc"))
        for at in range(chance.randrange(1, 12))
    ]
    cluster = Cluster(*nodes)
    for pod in ({}, {"exclusiveTopology": "rack"}):
        for over, stages in ((2, 2), (4, 4), (4, 8)):
            wanted = spec(nodesPerReplica=over, tensorParallelSize=4, pipelineParallelSize=stages, pod=pod)
            offer = cluster.asks(ANY, wanted)
            for products in ((), (L4,)):
                assert room(wanted, offer.nodes, products) == room(wanted, nodes, products)


def with_nodes(world: World, *nodes: Node) -> None:
    world.indices["nodes"] = {one.name: [one] for one in nodes}


def test_a_node_that_came_a_moment_ago_counts_for_what_is_rendered_now(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    with_nodes(world, node("n1"))
    key = world.service(accelerator={"resource": "nvidia.com/gpu"}, model={"uri": "hf://a/b"})
    with_nodes(world, node("n1"))
    world.reconcile(key)
    world.inspected()
    with_nodes(world, node("n1"), node("n2", product=L4, gpus=1))
    offers: list[Sequence[Node]] = []

    def noted(*asked: Any) -> Any:
        offers.append(asked[2])
        return assess(*asked)

    monkeypatch.setattr(judge, "assess", noted)
    world.reconcile(key, watched=False)
    assert {one.name for one in offers[-1]} == {"n1", "n2"}


def test_a_change_of_nodes_is_looked_at_once_and_queues_the_services_that_it_concerns() -> None:
    world, key = serving(accelerator={"resource": "nvidia.com/gpu"})
    assert NODES_CHANGED in world.reconciler.known()
    with_nodes(world, node("n1"))
    world.reconcile(NODES_CHANGED, watched=False)
    assert world.requeued == [key]
    world.requeued.clear()
    with_nodes(world, node("n1", heartbeat="2"), node("n2"))
    world.reconcile(NODES_CHANGED, watched=False)
    assert world.requeued == []


@pytest.mark.parametrize("taints", [1, 4])
def test_no_step_takes_long_for_what_a_tenant_asks_of_nodes(taints: int) -> None:
    """Nodes that differ in what is compared, and that its pods have no place on."""
    few = tuple(Taint(f"team-{at}", "x", "NoSchedule") for at in range(taints))
    nodes = {f"n{at}": replace(node(f"n{at}", host=f"n{at}"), taints=few) for at in range(1000)}
    cluster, wanted = Cluster(*nodes.values()), spec(**MOST_ASKED_OF_NODES)

    async def whole() -> None:
        await cluster.stock.offer(ANY, wanted, waits=True)
        cluster.nodes |= {name: replace(one, devices=(("nvidia.com/gpu", 1),)) for name, one in nodes.items()}
        await cluster.stock.look()
        await cluster.stock.offer(ANY, wanted, waits=True)

    assert longest(whole()) < MOST_SECONDS

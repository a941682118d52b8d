"""What all services that wait for GPUs have in common: who holds them."""

import asyncio
from collections.abc import Iterator

from support.clock import Clock
from support.nodes import node
from support.snapshots import pod, service
from support.steps import MOST_ASKED_OF_NODES, MOST_SECONDS, longest
from vllm_operator.api.resource import Key
from vllm_operator.services.holdings import HELD_SECONDS, SupplyReader
from vllm_operator.services.view import View
from vllm_operator.snapshots.node import Node
from vllm_operator.snapshots.pod import Asked, PodSnapshot
from vllm_operator.status.evidence import Evidence

KEY = Key("team-a", "llama")


class CountedView(View):
    """Has one pod, and counts who goes through all of them."""

    looks = 0
    gpus = 4

    def all_pods(self) -> Iterator[tuple[Key, PodSnapshot]]:
        CountedView.looks += 1
        yield KEY, pod(node="a", asked=Asked("nvidia.com/gpu", CountedView.gpus))


def test_all_pods_are_gone_through_once_a_second_however_many_services_ask() -> None:
    clock = Clock()
    holdings = SupplyReader(CountedView({}), clock)
    for _ in range(100):
        assert holdings.held().on_nodes == {("nvidia.com/gpu", "a"): 4}
    assert CountedView.looks == 1
    clock.now += HELD_SECONDS
    CountedView.gpus = 2
    assert holdings.held().on_nodes == {("nvidia.com/gpu", "a"): 2}
    assert CountedView.looks == 2


class WithNodes(View):
    """Has a thousand nodes."""

    def nodes(self) -> list[Node]:
        return [node(f"n{at}", host=f"n{at}") for at in range(1000)]

    def all_pods(self) -> Iterator[tuple[Key, PodSnapshot]]:
        return iter(())


def test_no_step_takes_long_for_one_that_waits_however_much_it_asks_of_nodes() -> None:
    waits = pod(reason="Unschedulable", scheduled=False, asked=Asked("nvidia.com/gpu", 4))
    evidence = Evidence(service(**MOST_ASKED_OF_NODES), pods=[waits])
    holdings = SupplyReader(WithNodes({}), Clock())
    assert longest(holdings.read(evidence)) < MOST_SECONDS
    told = asyncio.run(holdings.read(evidence)).supply
    assert told
    assert told.nodes == ()

"""What all services that wait for GPUs have in common: who holds them."""

from collections.abc import Iterator

from support.clock import Clock
from support.snapshots import pod
from vllm_operator.api.resource import Key
from vllm_operator.services.holdings import HELD_SECONDS, SupplyReader
from vllm_operator.services.view import View
from vllm_operator.snapshots.pod import Asked, PodSnapshot

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

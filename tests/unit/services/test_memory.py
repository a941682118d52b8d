"""What a service takes of the operator's memory. There may be ten thousand."""

import gc
import tracemalloc

from support.world import World, serving
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS

SERVICES = 20
MOST_KB = 29.0
"""Of one service whose children are all there and whose status is written: 22 KB, and some for other Pythons."""


def serve(world: World, first: int) -> None:
    """Services come and are looked at until they are settled."""
    keys = [
        world.service(f"s{number}", model={"uri": f"hf://a/b{number}"}) for number in range(first, first + SERVICES)
    ]
    for step in range(5):
        for key in keys:
            world.reconcile(key, watched=False)
        world.watch()
        if step == 0:
            for key in keys:
                world.inspected(key.name)
        world.clock.now += FIRST_STATUS_SECONDS


def test_a_service_takes_little_memory() -> None:
    world = World()
    serve(world, 0)  # what is made once for all
    world.api.objects.clear()
    gc.collect()
    tracemalloc.start()
    try:
        serve(world, SERVICES)
        assert all(world.status(f"s{number}") for number in range(SERVICES, 2 * SERVICES))
        # The API server's own objects, which are in this process as well.
        world.api.objects.clear()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / SERVICES / 1e3 < MOST_KB


def test_a_service_that_goes_leaves_nothing() -> None:
    world, key = serving()
    world.api.objects.clear()
    world.watch()
    world.reconcile(key)
    assert not world.reconciler._memories

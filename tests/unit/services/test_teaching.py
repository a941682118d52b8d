"""What engines teach, through the loop: once for a new spec, kept with the template, shown with its evidence."""

from typing import Any

from support.of_classes import settle
from support.world import NAMESPACE, World
from vllm_operator.api.resource import Key
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.cluster import path
from vllm_operator.planner.accelerators import MIB

SMALLER = -40 * MIB


def engine_of(world: World, name: str, difference: int, namespace: str = NAMESPACE) -> None:
    """A service whose engine got so much more or less than was planned."""
    size = 1 << 30
    plan = {"gpu": "NVIDIA-L4", "kvCacheBytes": size, "kvCacheTokens": size}
    status = {"vllmVersion": VLLM_VERSION, "plan": plan, "engine": {"kvCacheTokens": size + difference}}
    world.api.put(
        path("InferenceService", namespace, name),
        {
            "apiVersion": "vllm-operator.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
            "spec": {"model": {"uri": "hf://a/b"}},
            "status": status,
        },
    )
    world.watch()


def plan(world: World) -> dict[str, Any]:
    return dict(world.status()["plan"])


def test_engines_of_the_namespace_teach_the_next_plan() -> None:
    alone = World()
    settle(alone, alone.service())
    world = World()
    for name, difference in (("a", SMALLER), ("b", SMALLER - 1), ("c", 1 << 29)):
        engine_of(world, name, difference)
    key = world.service()
    settle(world, key)
    assert "learnedBytes" not in plan(alone)
    assert (plan(world)["learnedBytes"], plan(world)["learnedFrom"]) == (SMALLER, "NVIDIA-L4: services a, b, c")
    assert plan(world)["kvCacheBytes"] == plan(alone)["kvCacheBytes"] + SMALLER
    assert "plan.learnedBytes" not in {one["field"] for one in world.status()["resolved"]}
    world.reconcile(key)
    assert world.writes() == []


def test_a_service_that_runs_is_never_moved() -> None:
    world = World()
    engine_of(world, "a", SMALLER)
    key = world.service()
    settle(world, key)
    before, template = plan(world), world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    engine_of(world, "a", 1 << 25)
    world.begin()
    settle(world, key)
    assert plan(world) == before
    world.service(replicas=2)
    settle(world, key)
    assert plan(world) == before
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == template
    world.service(replicas=2, maxModelLen=64)
    settle(world, key)
    assert plan(world)["learnedBytes"] == 1 << 25


def test_one_that_had_nothing_to_learn_from_stays_as_it_is() -> None:
    world = World()
    key = world.service()
    settle(world, key)
    engine_of(world, "a", SMALLER)
    world.begin()
    settle(world, key)
    assert "learnedBytes" not in plan(world)


def test_other_namespaces_are_heard_only_where_the_platform_says_so() -> None:
    deaf, hearing = World(), World(learn_from_namespaces=("team-*",))
    for world in (deaf, hearing):
        engine_of(world, "a", SMALLER, "team-b")
        settle(world, world.service())
    assert "learnedBytes" not in plan(deaf)
    assert (plan(hearing)["learnedBytes"], plan(hearing)["learnedFrom"]) == (SMALLER, "NVIDIA-L4: 1 other namespace")


def test_a_new_service_does_not_look_at_those_that_tell_nothing() -> None:
    """Else 10,000 services that come together look at one another a hundred million times."""
    world = World()
    engine_of(world, "a", SMALLER)
    for number in range(50):
        world.service(f"s{number}")
    looked = []

    class Counting(dict[Key, Any]):
        def items(self) -> Any:
            looked.append("all")
            return super().items()

        def __iter__(self) -> Any:
            looked.append("all")
            return super().__iter__()

    world.indices["services"] = Counting(world.indices["services"])
    world.reconcile(Key(NAMESPACE, "s0"), watched=False)
    assert looked == []
    assert [one.key.name for one in world.indices["reports"][NAMESPACE]] == ["a"]

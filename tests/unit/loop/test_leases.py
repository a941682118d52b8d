"""Who acts: of several operators one, whatever tenants write, what fails and who sleeps. No clock is waited for."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import REGISTRY

from support.clock import Clock
from support.fake_api import FakeApi, refusal
from vllm_operator.cluster import LEASE_REQUEST_SECONDS, Cluster, path
from vllm_operator.loop.lease import (
    DEADLINE_SECONDS,
    DURATION_SECONDS,
    MARGIN_SECONDS,
    RENEW_SECONDS,
    Lease,
    Place,
    seconds_to_write,
)
from vllm_operator.loop.leases import LOOK_SECONDS, Hold, Leases, Told, places
from vllm_operator.loop.shares import Share
from vllm_operator.settings import Settings

NEW, OLD = Place("kube-system", "vllm-operator-in-team-a"), Place("team-a", "vllm-operator", contested=True)


def url(place: Place) -> str:
    return path("Lease", place.namespace, place.name)


@dataclass
class Member:
    """One operator: of this version, or of 0.1, which knows the old Lease only."""

    name: str
    clock: Clock
    api: FakeApi
    leases: list[Place]
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.api, lambda _: 10.0)
        leases = [Lease(place, self.name, self.clock) for place in self.leases]
        self.hold = Hold(leases, lambda: self.told.append("held"), lambda: self.told.append("lost"))

    async def look_now(self) -> float:
        """Looks at each Lease once; for how long it may write then."""
        for number in range(len(self.leases)):
            await self.hold.look(self.cluster, number)
        return self.hold.seconds()

    def look(self) -> float:
        """The same, for tests that do not wait themselves."""
        return asyncio.run(self.look_now())


@dataclass
class Scene:
    """Operators of one API server, and a clock that looks move."""

    api: FakeApi = field(default_factory=FakeApi)
    clock: Clock = field(default_factory=Clock)

    def member(self, name: str, *leases: Place) -> Member:
        return Member(name, self.clock, self.api, list(leases or (NEW, OLD)))

    def shard(self, name: str, index: int, of: int = 2) -> Member:
        return self.member(name, *places(None, Settings(shards=of), Share(index, of)))

    def whole(self, name: str) -> Member:
        return self.member(name, *places(None, Settings()))

    def old(self, name: str = "old") -> Member:
        return self.member(name, OLD._replace(contested=False))

    def play(self, seconds: float, *members: Member) -> None:
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.clock.now += LOOK_SECONDS
            for member in members:
                member.look()

    def write(self, place: Place, holder: str) -> None:
        """As somebody does by hand."""
        found = self.api.objects.get(url(place), {"metadata": {"name": place.name, "namespace": place.namespace}})
        self.api.put(url(place), {**found, "spec": {**found.get("spec", {}), "holderIdentity": holder}})

    def holder(self, place: Place) -> Any:
        return self.api.objects[url(place)]["spec"]["holderIdentity"]


def test_a_write_that_may_begin_is_over_before_anybody_else_may_act() -> None:
    for tenth in range(200):
        age = tenth / 10
        seconds = seconds_to_write(age)
        assert (seconds > 0) == (age < DEADLINE_SECONDS)
        assert not seconds or age + seconds <= DURATION_SECONDS - MARGIN_SECONDS
        assert not seconds or seconds >= 4.0, "too short for what an admission webhook takes"
    # A renewal that fails at once is tried again in time, also when that takes as long as it may.
    assert RENEW_SECONDS + 2 * LOOK_SECONDS < DEADLINE_SECONDS
    assert LEASE_REQUEST_SECONDS < DURATION_SECONDS - DEADLINE_SECONDS


def test_the_first_acts_and_the_second_takes_over_when_it_is_gone_or_lets_go() -> None:
    scene = Scene()
    first, second = scene.member("first"), scene.member("second")
    assert first.look() > 0
    scene.play(60, first, second)
    assert (first.told, second.told) == (["held"], [])
    assert (first.hold.acts(), second.hold.acts()) == (True, False)
    scene.play(DURATION_SECONDS - LOOK_SECONDS, second)
    assert not first.hold.acts(), "it has not been renewed"
    assert second.told == [], "it may have been renewed for so long"
    scene.play(5 * LOOK_SECONDS, second)
    assert second.told == ["held"]
    asyncio.run(second.hold.release(second.cluster))
    assert second.hold.seconds() == 0
    assert first.look() == 0  # finds that it was another's
    assert (first.look() > 0, first.told) == (True, ["held", "lost", "held"])


@pytest.mark.parametrize("first_is_old", [True, False])
def test_one_of_version_0_1_and_one_of_this_exclude_each_other(*, first_is_old: bool) -> None:
    scene = Scene()
    first, second = (scene.old(), scene.member("new")) if first_is_old else (scene.member("new"), scene.old())
    first.look()
    scene.play(60, first, second)
    assert (first.told, second.told) == (["held"], [])
    asyncio.run(first.hold.release(first.cluster))
    scene.play(2 * LOOK_SECONDS, second)
    assert second.told == ["held"]


def test_a_tenant_who_writes_the_old_lease_takes_nothing() -> None:
    scene = Scene()
    operator = scene.member("operator")
    operator.look()
    for holder in ("alice", "", "bob"):
        scene.write(OLD, holder)
        scene.play(20, operator)
        assert operator.hold.seconds() > 0
        assert scene.holder(OLD) == "operator"
    scene.api.objects.pop(url(OLD))
    scene.play(20, operator)
    assert operator.told == ["held"]


def test_what_a_tenant_can_write_of_the_old_lease_keeps_it_from_being_taken_only_while_it_is_written() -> None:
    scene = Scene()
    operator = scene.member("operator")
    for _ in range(10):
        scene.write(OLD, f"alice-{scene.clock.now}")
        scene.play(6, operator)
    assert operator.told == []
    scene.api.objects[url(OLD)]["spec"] |= {"leaseTransitions": 2**31 - 1}
    scene.play(DURATION_SECONDS + 2 * LOOK_SECONDS, operator)
    assert operator.told == ["held"]
    assert scene.api.objects[url(OLD)]["spec"]["leaseTransitions"] == 2**31 - 1


def test_the_platform_team_hands_over_by_writing_the_lease_that_only_it_writes() -> None:
    scene = Scene()
    operator, other = scene.member("operator"), scene.member("other")
    operator.look()
    scene.write(NEW, "other")
    scene.clock.now += RENEW_SECONDS
    assert operator.look() == 0
    assert operator.told == ["held", "lost"]
    assert scene.holder(OLD) == ""
    assert other.look() > 0


def test_what_it_holds_too_long_without_renewal_allows_no_write_until_it_is_renewed() -> None:
    scene = Scene()
    operator = scene.member("operator")
    operator.look()
    scene.api.refuse["put", url(OLD)] = refusal(503, "etcd is away")
    scene.play(DEADLINE_SECONDS, operator)
    assert (operator.hold.seconds(), operator.told) == (0, ["held"])
    scene.api.refuse.clear()
    scene.play(LOOK_SECONDS, operator)
    assert operator.told == ["held", "held"]


def test_who_is_turned_away_between_two_looks_comes_back() -> None:
    scene = Scene()
    member = scene.member("slow", NEW)
    member.look()
    scene.clock.now += DEADLINE_SECONDS + 1
    assert member.hold.seconds() == 0, "a key that comes now is dropped"
    assert member.look() > 0
    assert member.told == ["held", "held"], "so all keys are queued again"


def test_a_lease_lost_in_one_namespace_leaves_the_others() -> None:
    scene, told = Scene(), list[tuple[str, str | None]]()
    settings = Settings(watch_namespaces=("team-a", "team-b"), heed_old_leases=False)
    tells = Told(lambda one: told.append(("held", one)), lambda one: told.append(("lost", one)))
    leases = Leases(settings, tells, clock=scene.clock)
    cluster = Cluster(scene.api, leases.seconds)

    async def run(seconds: float) -> None:
        tasks = [asyncio.create_task(task) for task in leases.tasks(cluster)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()

    asyncio.run(run(0.05))
    assert told == [("held", "team-a"), ("held", "team-b")]
    scene.write(NEW, "another")
    scene.clock.now += RENEW_SECONDS
    asyncio.run(run(0.05))
    assert told[2:] == [("lost", "team-a")]
    assert (leases.seconds("team-a"), leases.seconds("team-c")) == (0, 0)
    assert leases.seconds("team-b") > 0


def test_the_leases_lie_where_the_settings_say_and_the_old_ones_only_as_long_as_they_count() -> None:
    assert places(None, Settings()) == [
        Place("kube-system", "vllm-operator-all"),
        Place("default", "vllm-operator", contested=True),
    ]
    assert places("team-a", Settings()) == [NEW, OLD]
    assert places("team-a", Settings(lease_namespace="platform", heed_old_leases=False)) == [
        Place("platform", "vllm-operator-in-team-a")
    ]


def test_whatever_happens_no_two_write_at_once() -> None:
    """Operators of both versions that sleep and meet failures, and a tenant who writes the old Lease."""
    acted = Counter[str]()
    for seed in range(40):
        scene = Scene()
        members = [scene.member("a"), scene.member("b"), scene.old("c")]
        acted.update(asyncio.run(_act(random.Random(seed), scene, members)))
    assert min(acted[name] for name in "abc") > 5, "the test shows nothing where one acts all the time"


def test_nor_do_they_where_some_share_the_namespaces_out() -> None:
    """Two of one part, one of another, one that is for all, and one of the version before."""
    acted, together = Counter[str](), 0
    for seed in range(40):
        scene = Scene()
        old = scene.member("e", Place("default", "vllm-operator"))
        members = [scene.shard("a", 0), scene.shard("b", 0), scene.shard("c", 1), scene.whole("d"), old]
        seen = asyncio.run(_act(random.Random(seed), scene, members, {frozenset("ac"), frozenset("bc")}))
        acted.update(seen)
        together += len(seen & set("ab")) > 0 and "c" in seen
    assert min(acted[name] for name in "abcde") > 3, "the test shows nothing where one acts all the time"
    assert together > 10


def test_parts_act_at_the_same_time_and_one_that_ends_takes_no_other_along() -> None:
    scene = Scene()
    zero, one = scene.shard("zero", 0), scene.shard("one", 1)
    assert zero.look() > 0
    assert one.look() > 0
    scene.play(3 * RENEW_SECONDS, zero, one)
    assert zero.hold.seconds() > 0
    assert one.hold.seconds() > 0
    asyncio.run(zero.hold.release(zero.cluster))
    scene.play(3 * DURATION_SECONDS, one)
    assert one.told == ["held"]
    again = scene.shard("zero-anew", 0)
    assert again.look() > 0, "what it let go of is free at once"


def test_many_parts_hold_what_they_share_and_one_of_them_renews_it() -> None:
    scene = Scene()
    acting = [scene.shard(f"a{index}", index, of=16) for index in range(16)]
    waiting = [scene.shard(f"b{index}", index, of=16) for index in range(16)]

    async def look_at_once() -> None:
        await asyncio.gather(*(member.look_now() for member in (*acting, *waiting)))

    for _ in range(60):  # all at the same moments, as badly as can be
        asyncio.run(look_at_once())
        scene.clock.now += LOOK_SECONDS
    assert all(member.told == ["held"] for member in acting)
    assert not any(member.told for member in waiting)
    scene.api.requests.clear()
    for _ in range(60):  # one after the other
        for member in (*acting, *waiting):
            member.look()
            scene.clock.now += LOOK_SECONDS / 32
    assert all(member.told == ["held"] for member in acting)
    shared = url(Place("kube-system", "vllm-operator-all"))
    written = sum(request == ("put", shared) for request in scene.api.requests)
    assert written <= 60 * LOOK_SECONDS / (RENEW_SECONDS - LOOK_SECONDS)


def test_one_for_all_waits_until_no_part_is_held_and_takes_over_then() -> None:
    scene = Scene()
    part, other, whole = scene.shard("part", 0), scene.shard("other", 0, of=3), scene.whole("whole")
    assert part.look() > 0
    scene.play(3 * DURATION_SECONDS, part, whole, other)
    assert (whole.told, other.told) == ([], [])
    asyncio.run(part.hold.release(part.cluster))
    scene.play(2 * DURATION_SECONDS, whole)
    assert whole.told == ["held"]


def test_a_part_that_slept_while_another_acted_forgets_what_it_knew() -> None:
    scene = Scene()
    sleeper, other, whole = scene.shard("sleeper", 0), scene.shard("other", 1), scene.whole("whole")
    sleeper.look()
    scene.play(2 * DURATION_SECONDS, whole)
    assert whole.told == ["held"]
    asyncio.run(whole.hold.release(whole.cluster))
    scene.play(2 * DURATION_SECONDS, other)
    assert other.told == ["held"]
    sleeper.look()
    assert sleeper.told == ["held", "lost"]


async def _act(
    chance: random.Random, scene: Scene, members: list[Member], beside: Collection[frozenset[str]] = ()
) -> set[str]:
    """Plays for some minutes; who could write. `beside`: pairs that may do so at once."""
    first, *_, old = max((member.leases for member in members), key=len)
    chance.shuffle(members)
    asleep: dict[str, float] = {}
    # Until when the last write of each may last that began at the last moment at which it was allowed.
    writes: dict[str, float] = {}
    for _ in range(300):
        scene.clock.now += chance.random() * 1.5
        if chance.random() < 0.05:
            asleep[chance.choice(members).name] = scene.clock.now + chance.random() * 40
        if chance.random() < 0.1:
            scene.write(old, chance.choice(["alice", "bob"]))
        scene.api.refuse.clear()
        if chance.random() < 0.1:
            verb, place = chance.choice([(verb, one) for verb in ("put", "get") for one in (first, old)])
            scene.api.refuse[verb, url(place)] = refusal(503, "away")
        for member in members:
            if asleep.get(member.name, 0.0) > scene.clock.now:
                continue
            if seconds := await member.look_now():
                alone = {name for name in writes if frozenset((name, member.name)) not in beside}
                others = {name: writes[name] for name in alone - {member.name}}
                assert all(end <= scene.clock.now for end in others.values()), (scene.clock.now, member.name, others)
                writes[member.name] = scene.clock.now + seconds
    return set(writes)


def test_of_each_part_is_told_whether_it_acts() -> None:
    api, clock = FakeApi(), Clock()
    leases = Leases(Settings(watch_namespaces=("team-x", "team-y")), Told(lambda _: None, lambda _: None), clock=clock)

    def acts(part: str) -> float | None:
        return REGISTRY.get_sample_value("vllm_operator_acts", {"part": part})

    assert [acts("team-x"), acts("team-y")] == [0, 0]
    hold = leases._hold_of("team-x")
    assert hold
    for number in range(2):
        asyncio.run(hold.look(Cluster(api, lambda _: 10.0), number))
    assert [acts("team-x"), acts("team-y")] == [1, 0]

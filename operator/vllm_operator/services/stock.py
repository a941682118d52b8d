"""Which kinds of nodes there are for each service, and whose plan a change of nodes concerns. Judges no service.

A cluster that scales itself changes nodes all the time, and hardly ever what a plan is made of: one more node of a
product that is there, a label that nobody selects. So nodes are looked at once per change, for each demand that there
is (services that ask the same of nodes have one together), and only services whose kinds of nodes changed come back.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from ..api.resource import Key
from ..api.spec import InferenceServiceSpec
from ..assess.nodes import Demand, NodeKind, demand_of, kind_of, labels_that_count, looks_at, most
from ..snapshots.node import Node
from ..turns.few import Few

# Looks at nodes between two steps of the event loop: some milliseconds.
STEP = 500


class Pace:
    """Of a walk over nodes in the event loop: everything else gets its turn every `STEP` looks."""

    def __init__(self) -> None:
        self._looked = 0

    async def go(self, looks: int) -> None:
        """So many looks are next."""
        self._looked += looks
        if self._looked > STEP:
            self._looked = 0
            await asyncio.sleep(0)


class Offer(NamedTuple):
    """What there is for a service: the kinds of nodes, and some nodes of each, by which a plan can be made.

    One of each, and for replicas over several nodes as many as one can lie on. `kinds` says how many of each.
    """

    kinds: tuple[tuple[NodeKind, int], ...]
    nodes: tuple[Node, ...]


@dataclass(slots=True)
class _Asked:
    """One demand: the kinds of all nodes for it, and the services that have it."""

    spec: InferenceServiceSpec
    """Of one of them."""
    labels: frozenset[str]
    counts: Counter[NodeKind] = field(default_factory=Counter)
    counted: bool = False
    """Whether all nodes have been."""
    services: set[Key] = field(default_factory=set)
    offer: Offer | None = None
    """Made when it is asked for."""

    def that_count(self) -> dict[NodeKind, int]:
        """Of each kind, how many nodes can count for a plan."""
        return {kind: min(count, most(self.spec, kind)) for kind, count in self.counts.items()}


Change = tuple[Node | None, Node | None]
"""A node as it was, and as it is; None where there is none."""


class Stock:
    """The nodes as they were at the last look. `nodes()`: all that have GPUs, as the watch shows them now."""

    def __init__(self, nodes: Callable[[], Iterable[Node]]) -> None:
        self._show = nodes
        self._nodes: Mapping[str, Node] | None = None
        self._asked: dict[Demand, _Asked] = {}
        self._demands: dict[Key, Demand] = {}
        self._waiting: set[Key] = set()
        self._looking = asyncio.Lock()
        self._few = Few(1)

    async def offer(self, key: Key, spec: InferenceServiceSpec, *, waits: bool) -> Offer:
        """What there is for a service. From now on it comes back when that changes; while it waits, at any change."""
        demand = demand_of(spec)
        if self._demands.get(key) != demand:
            self.forget(key)
            self._demands[key] = demand
        (self._waiting.add if waits else self._waiting.discard)(key)
        asked = self._asked.get(demand)
        if asked is None:
            asked = self._asked[demand] = _Asked(spec, labels_that_count(spec))
        asked.services.add(key)
        if asked.offer is not None:
            return asked.offer
        return await self._few.do(key.namespace, lambda: self._made(asked))

    def waits(self, key: Key) -> bool:
        """Whether a service waits for GPUs: its status tells which nodes have some."""
        return key in self._waiting

    def forget(self, key: Key) -> None:
        """The service is gone, or another operator sees to it."""
        self._waiting.discard(key)
        demand = self._demands.pop(key, None)
        if demand and (asked := self._asked.get(demand)):
            asked.services.discard(key)
            if not asked.services:
                del self._asked[demand]

    async def look(self) -> set[Key]:
        """Looks at the nodes anew; returns the services that have to be looked at because of what changed."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> set[Key]:
        before, now = self._known(), _by_name(self._show())
        self._nodes = now
        changes = [(before.get(name), now.get(name)) for name in before.keys() | now.keys()]
        changes = [change for change in changes if change[0] is not change[1] and change[0] != change[1]]
        found: set[Key] = set()
        some, pace = False, Pace()
        for asked in list(self._asked.values()) if self._concerns_any(changes) else ():
            await pace.go(1)
            mine = [change for change in changes if _counts(change, asked.labels)]
            some = some or bool(mine)
            if mine and asked.counted and await self._update(asked, mine, pace):
                found |= asked.services
        return found | (self._waiting if some else set())

    def _known(self) -> Mapping[str, Node]:
        if self._nodes is None:
            self._nodes = _by_name(self._show())
        return self._nodes

    def _concerns_any(self, changes: Iterable[Change]) -> bool:
        labels = frozenset(label for asked in self._asked.values() for label in asked.labels)
        return any(_counts(change, labels) for change in changes)

    @staticmethod
    async def _update(asked: _Asked, changes: Iterable[Change], pace: Pace) -> bool:
        """Whether there are other kinds of nodes for a demand now."""
        before, looks = asked.that_count(), 2 * looks_at(asked.spec)
        for old, new in changes:
            await pace.go(looks)
            if old:
                asked.counts[kind_of(asked.spec, old)] -= 1
            if new:
                asked.counts[kind_of(asked.spec, new)] += 1
        asked.counts = +asked.counts
        if asked.that_count() == before:
            return False  # a node that is gone still stands for its kind
        asked.offer = None
        return True

    async def _made(self, asked: _Asked) -> Offer:
        """The offer for a demand, which is made while nobody looks at the nodes."""
        async with self._looking:
            if not asked.counted:
                asked.counts = await self._counts(asked)
                asked.counted = True
            if asked.offer is None:
                asked.offer = await self._offer(asked)
            return asked.offer

    async def _counts(self, asked: _Asked) -> Counter[NodeKind]:
        counts, pace, looks = Counter[NodeKind](), Pace(), looks_at(asked.spec)
        for node in self._known().values():
            await pace.go(looks)
            counts[kind_of(asked.spec, node)] += 1
        return counts

    async def _offer(self, asked: _Asked) -> Offer:
        found: defaultdict[NodeKind, list[Node]] = defaultdict(list)
        lacking = sum(asked.that_count().values())
        pace, looks = Pace(), looks_at(asked.spec)
        for node in self._known().values():
            if not lacking:
                break
            await pace.go(looks)
            some = found[kind := kind_of(asked.spec, node)]
            if len(some) < most(asked.spec, kind):
                some.append(node)
                lacking -= 1
        kinds = sorted(found, key=str)
        return Offer(tuple((kind, len(found[kind])) for kind in kinds), tuple(chain(*(found[kind] for kind in kinds))))


def _by_name(nodes: Iterable[Node]) -> dict[str, Node]:
    return {node.name: node for node in nodes}


def _counts(change: Change, labels: frozenset[str]) -> bool:
    """Whether a change can be one of a node's kind, where these labels count."""
    old, new = change
    if old is None or new is None or old.devices != new.devices or old.taints != new.taints:
        return True
    return any(key in labels for key, _ in set(old.labels) ^ set(new.labels))

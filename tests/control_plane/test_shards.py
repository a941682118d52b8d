"""Two operators that share the namespaces out: each acts in its own, and one that ends is nothing to the other."""

from collections.abc import Iterator
from zlib import crc32

import pytest

from support.kube import Kube, conditions
from support.operator_process import OperatorProcess, account, lease
from support.rights import now, writes
from support.services import children, ready, service
from support.shards import sharing

pytestmark = pytest.mark.control_plane
SHARDS = 2
TEAMS = 4


@pytest.fixture
def shards(kube: Kube, operator: OperatorProcess) -> Iterator[list[OperatorProcess]]:
    """One operator for each part, in place of the one for all."""
    operator.stop()
    try:
        with sharing(operator.control_plane, SHARDS) as found:
            yield found
    finally:
        operator.start()


@pytest.fixture
def teams(kube: Kube) -> Iterator[list[Kube]]:
    """Namespaces, of which the first is in the first part, the second in the second, and so on."""
    found: list[Kube] = []
    numbers = iter(range(1000))
    try:
        while len(found) < TEAMS:
            name = f"{kube.namespace[:50]}-{next(numbers)}"
            if crc32(name.encode()) % SHARDS == len(found) % SHARDS:
                kube.run("create", "namespace", name)
                found.append(Kube(kube.kubeconfig, name, kube.patience))
        yield found
    finally:
        for team in found:
            kube.run("delete", "namespace", team.namespace, "--wait=false", check=False)


def written(plane_of: OperatorProcess, since: str = "") -> set[str]:
    """The namespaces of services that an operator has written to."""
    found = (one.split()[2] for one in writes(plane_of.control_plane.audit_log, account(plane_of.name), since))
    return {where.split("/")[0] for where in found} - {"kube-system", "default"}


def test_each_part_is_seen_to_by_its_own_operator_and_by_no_other(
    teams: list[Kube], shards: list[OperatorProcess]
) -> None:
    for team in teams:
        team.apply(service("first"))
        team.apply(service("second"))
    for team in teams:
        team.ready("first", 30)
        team.ready("second", 30)
    for index, one in enumerate(shards):
        assert written(one) == {team.namespace for team in teams[index::SHARDS]}
    assert lease(teams[0])["holderIdentity"] == f"{SHARDS} shards"
    holders = {lease(teams[0], name=f"vllm-operator-shard-{index}")["holderIdentity"] for index in range(SHARDS)}
    assert len(holders) == SHARDS


def test_one_that_is_killed_takes_nothing_of_the_other_along(teams: list[Kube], shards: list[OperatorProcess]) -> None:
    for team in teams:
        ready(team)
    since, (dead, alive) = now(), shards
    dead.kill()
    for team in teams:
        team.apply(service("second"))
    for team in teams[1::SHARDS]:
        team.ready("second", 15)
    assert not any(children(team, "second") for team in teams[::SHARDS])
    assert written(alive, since) == {team.namespace for team in teams[1::SHARDS]}
    dead.start(shards=SHARDS)
    for team in teams[::SHARDS]:
        team.ready("second", 60)
    assert written(dead, since) == {team.namespace for team in teams[::SHARDS]}
    assert written(alive, since) == {team.namespace for team in teams[1::SHARDS]}


def test_a_class_is_told_of_by_one_and_nobody_acts_beside_them(
    kube: Kube, teams: list[Kube], shards: list[OperatorProcess], operator: OperatorProcess
) -> None:
    since, name = now(), "sharded"
    kube.apply(
        {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "ServingClass", "metadata": {"name": name}, "spec": {}}
    )
    try:
        kube.wait("its status is written", 20, lambda: conditions(kube.get("servingclass", name) or {}))
        told = [writes(one.control_plane.audit_log, account(one.name), since) for one in shards]
        assert sorted(sum("servingclasses/status" in line for line in lines) for lines in told) == [0, 1]
        begun = operator.log.stat().st_size
        operator.start()
        kube.wait(
            "one for all waits", 20, lambda: f"{SHARDS} shards holds the Lease" in operator.log.read_text()[begun:]
        )
        ready(teams[0])
        for one in shards:
            one.stop()
        ready(teams[1])
    finally:
        operator.stop()
        kube.run("delete", "servingclass", name)

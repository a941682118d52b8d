"""`make bench-groups`: a replica over two real nodes with the real vLLM, by gloo, from its start to its end.

Two kubelets with a CoreDNS each, LeaderWorkerSet's own controller, the operator by its chart, a network that enforces
policies, and a service with a rank on each node. It is started and asked, its ports are tried by others, it loses a
rank, is rolled, and is deleted. Another one, of two groups, is rolled, loses a leader to an eviction and then a
group, while requests run. A line for each with its seconds, and an exit status of 1 where one of them does not come
about. Takes about twenty minutes on two cores.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.rollout import READY_SECONDS, evict, restart
from bench.steps import goes_through
from support import groups, serving
from support.end_to_end import chat
from support.firewall import attacked, enforced
from support.kube import Kube, Object, conditions
from support.load import Load

NAME, PAIRS = "pair", "pairs"
LABELS = {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": NAME}
SELECTOR = f"app.kubernetes.io/instance={NAME}"
RANKS = [f"{NAME}-g-0", f"{NAME}-g-0-1"]
APART = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": NAME}},
}
OVER_TWO: dict[str, Any] = {
    "nodesPerReplica": 2,
    "tensorParallelSize": 2,
    "pod": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [APART]}}},
    # Without the warm-up, the first request takes most of a minute.
    "enforceEager": False,
    "env": [{"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"}],
}
# Ends what the first process of a container has started, as the kernel does where memory runs out.
KILL = """
import os, pathlib
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    if stat.read_text().rpartition(")")[2].split()[1] == "1":
        os.kill(int(stat.parent.name), 9)
"""
# Of an answer to four tokens, on cores that others use too.
ANSWER_SECONDS = 10.0
# Requests per second to two groups, while a third one may be starting on the same cores.
RATE, SETTLE_SECONDS = 1.0, 5.0


def ranks(kube: Kube) -> dict[str, Object]:
    """The pods of the service by name."""
    return {pod["metadata"]["name"]: pod for pod in kube.list("pods", SELECTOR)}


def starts(kube: Kube) -> str:
    """A rank on each node, and an answer at once."""
    kube.apply(serving.tiny(NAME, **OVER_TWO))
    kube.ready(NAME, READY_SECONDS)
    found = ranks(kube)
    assert sorted(found) == RANKS, sorted(found)
    nodes = sorted(pod["spec"]["nodeName"] for pod in found.values())
    assert len(set(nodes)) == len(RANKS), nodes
    return f"ranks on {' and '.join(nodes)}; {answers(kube)}"


def answers(kube: Kube) -> str:
    """An answer, and how long it took."""
    began = time.monotonic()
    status, text = chat(kube.url(NAME), NAME, max_tokens=4)
    took = time.monotonic() - began
    assert status == 200, text
    assert took < ANSWER_SECONDS, f"{took:.1f} s"
    return f"answered in {took:.2f} s"


def keeps_its_ports_to_itself(kube: Kube) -> str:
    """Of all ports on which ranks listen, others get through to that of the API alone."""
    return attacked(kube, ranks(kube).values(), LABELS, {8000})


def loses_a_rank(kube: Kube) -> str:
    """A rank without a server loses its engine: the status says so without a request, and it comes back whole."""
    before = ranks(kube)
    kube.run("exec", RANKS[1], "--", "python3", "-c", KILL)
    began = time.monotonic()
    ready = kube.wait("it is not Ready any more", 60, lambda: _unless(kube, "True"))
    noticed = time.monotonic() - began
    said = kube.wait("it says which rank ended", 60, lambda: _named(kube))
    _renewed(kube, before)
    kube.ready(NAME, READY_SECONDS)
    return f"Ready={ready} after {noticed:.1f} s: {said}; {answers(kube)}"


def _unless(kube: Kube, status: str) -> str:
    found = str(conditions(kube.get("vis", NAME) or {}).get("Ready", {}).get("status", ""))
    return "" if found == status else found


def _named(kube: Kube) -> str:
    found = str(conditions(kube.get("vis", NAME) or {}).get("WorkloadAvailable", {}).get("message", ""))
    return found if RANKS[1] in found else ""


def _renewed(kube: Kube, before: dict[str, Object]) -> None:
    old = {pod["metadata"]["uid"] for pod in before.values()}

    def are_others() -> bool:
        now = ranks(kube)
        return sorted(now) == RANKS and old.isdisjoint(pod["metadata"]["uid"] for pod in now.values())

    kube.wait("all ranks are others", READY_SECONDS, are_others)


def is_rolled(kube: Kube) -> str:
    """All ranks are replaced."""
    before = ranks(kube)
    restart(kube, NAME)
    _renewed(kube, before)
    kube.ready(NAME, READY_SECONDS)
    return answers(kube)


def is_deleted(kube: Kube) -> str:
    """Nothing of it is left."""
    kube.run("delete", "vis", NAME)
    kinds = "pods,leaderworkersets,statefulsets,services,networkpolicies,controllerrevisions"
    kube.wait("nothing is left", 180, lambda: not kube.list(kinds, SELECTOR))
    return "nothing is left"


def pairs(kube: Kube) -> dict[str, str]:
    """The uids of the pods of the service of two groups, those that end included, by name."""
    found = kube.list("pods", f"app.kubernetes.io/instance={PAIRS}")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in found}


def two_groups_start(kube: Kube) -> str:
    """Another service: two groups, wherever there is room."""
    anywhere = {name: value for name, value in OVER_TWO.items() if name != "pod"}
    kube.apply(serving.tiny(PAIRS, **anywhere, replicas=2))
    kube.ready(PAIRS, READY_SECONDS)
    return " ".join(sorted(pairs(kube)))


def under_load(kube: Kube, change: Callable[[], None]) -> str:
    """Changes something while requests run, of which none may fail."""
    with Load(kube.url(PAIRS), PAIRS, rate=RATE, least=0, tokens=4) as load:
        time.sleep(SETTLE_SECONDS)
        change()
        time.sleep(SETTLE_SECONDS)
    assert not load.tally.failures, "\n".join([load.tally.line(PAIRS), *load.tally.failures[:10]])
    assert not load.tally.aborted, load.tally.line(PAIRS)
    return load.tally.line(PAIRS)


def are_rolled_under_load(kube: Kube) -> str:
    """Group by group: the leader drains, and its workers are there until it has."""
    before = set(pairs(kube).values())

    def roll() -> None:
        restart(kube, PAIRS)
        kube.wait("all are others", 2 * READY_SECONDS, lambda: before.isdisjoint(pairs(kube).values()))
        kube.ready(PAIRS, READY_SECONDS)

    return under_load(kube, roll)


def lose_a_leader_to_an_eviction_under_load(kube: Kube) -> str:
    """As when a node is drained: the budget lets one group go, whose leader drains."""
    before = pairs(kube)
    leader, worker = f"{PAIRS}-g-0", f"{PAIRS}-g-0-1"

    def one_goes() -> None:
        evict(kube, leader)

        def renewed() -> bool:
            now = pairs(kube)
            return all(now.get(name, before[name]) != before[name] for name in (leader, worker))

        kube.wait("its group is made anew", READY_SECONDS, renewed)
        kube.ready(PAIRS, READY_SECONDS)

    said = under_load(kube, one_goes)
    assert {name: uid for name, uid in pairs(kube).items() if "g-1" in name}.items() <= before.items()
    return said


def lose_a_group_under_load(kube: Kube) -> str:
    """One group is enough: the other one's leader drains."""

    def one_goes() -> None:
        kube.run("scale", "vis", PAIRS, "--replicas=1")
        kube.wait("one is left", READY_SECONDS, lambda: len(pairs(kube)) == len(RANKS))
        kube.ready(PAIRS, READY_SECONDS)

    return under_load(kube, one_goes)


STEPS: tuple[Callable[[Kube], str], ...] = (
    starts,
    keeps_its_ports_to_itself,
    loses_a_rank,
    is_rolled,
    is_deleted,
    two_groups_start,
    are_rolled_under_load,
    lose_a_leader_to_an_eviction_under_load,
    lose_a_group_under_load,
)


def main() -> int:
    """Goes through the steps on a cluster of its own."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    cluster = serving.start("bench-groups", nodes=2)
    kube = Kube(cluster.kubeconfig, "bench")
    try:
        groups.install_api(kube)
        serving.install_operator(cluster)
        serving.make_models(kube)
        groups.select(kube)
        with enforced(cluster), groups.names(cluster), groups.controller(cluster.control_plane, kube):
            return 0 if goes_through(STEPS, kube) else 1
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())

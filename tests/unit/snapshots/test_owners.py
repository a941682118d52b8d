"""Whose a pod is: only a whole chain of controlling owners up to a child of the very service counts."""

from time import process_time
from typing import Any

import pytest

from vllm_operator.manifests.kinds import CHILD_KINDS, LINKS
from vllm_operator.resources import RESOURCES
from vllm_operator.services.kind import SOURCES
from vllm_operator.snapshots.child import Child
from vllm_operator.snapshots.owners import Link, link, pod_owners

SERVICE = "uid-of-the-service"


def child(kind: str, uid: str, owner: str | None = SERVICE) -> Child:
    return Child(kind, "llama", owner, 1, "", uid=uid)


OURS = (child("Deployment", "d"), child("Job", "j"), child("Service", ""))
LINK = Link("ReplicaSet", "rs", "d")


def test_the_whole_chain_counts() -> None:
    old = Link("ReplicaSet", "old", "d")
    assert pod_owners(OURS, [LINK, old], SERVICE) == {"rs", "old"}
    assert pod_owners(OURS, [LINK], SERVICE, of_jobs=True) == {"j"}


def test_ranks_above_0_belong_to_their_leaders_pod() -> None:
    groups = [child("LeaderWorkerSet", "lws")]
    of_leaders, leader = Link("StatefulSet", "leaders", "lws"), Link("Pod", "leader", "leaders")
    of_workers = Link("StatefulSet", "workers", "leader")
    assert pod_owners(groups, [of_leaders, leader, of_workers], SERVICE) == {"leaders", "workers"}
    assert pod_owners(groups, [of_leaders, of_workers], SERVICE) == {"leaders"}
    assert pod_owners(groups, [Link("Pod", "leader", "lws"), of_workers], SERVICE) == set()


@pytest.mark.parametrize(
    ("children", "links"),
    [
        (OURS, []),
        ([], [LINK]),
        ([child("Deployment", "d", "another")], [LINK]),
        ([child("Deployment", "d", None)], [LINK]),
        (OURS, [Link("ReplicaSet", "rs", "another")]),
        (OURS, [Link("StatefulSet", "rs", "d")]),
        (OURS, [Link("ReplicaSet", "rs", "j")]),
    ],
    ids=["not seen yet", "no child", "of another service", "an orphan", "of another", "another kind", "of the Job"],
)
def test_a_chain_with_a_link_missing_counts_for_nothing(children: list[Child], links: list[Link]) -> None:
    assert pod_owners(children, links, SERVICE) == set()


def test_thousands_of_forged_children_and_links_cost_little() -> None:
    many = 20_000
    children = [child(kind, f"{kind}-{number}") for kind in ("Deployment", "LeaderWorkerSet") for number in range(many)]
    links = [Link("ReplicaSet", f"rs-{number}", f"Deployment-{number}") for number in range(many)]
    start = process_time()
    assert len(pod_owners(children, links, SERVICE)) == many
    assert process_time() - start < 1


def test_only_the_controlling_owner_is_a_link() -> None:
    meta: dict[str, Any] = {"uid": "rs", "ownerReferences": [{"uid": "a"}, {"uid": "d", "controller": True}]}
    assert link({"metadata": meta}, "ReplicaSet") == LINK
    meta["ownerReferences"].pop()
    assert link({"metadata": meta}, "ReplicaSet") is None


def test_what_stands_between_is_watched_as_metadata_only() -> None:
    watched = {source.resource.plural: source for source in SOURCES}
    assert LINKS == ("RayCluster", "ReplicaSet", "StatefulSet")
    for kind in LINKS:
        assert RESOURCES[kind].metadata_only
        assert RESOURCES[kind].verbs == ("list", "watch")
        assert watched[RESOURCES[kind].plural].by_snapshot
    assert [row.kind for row in CHILD_KINDS if row.pods] == ["Deployment", "LeaderWorkerSet", "RayService", "Job"]

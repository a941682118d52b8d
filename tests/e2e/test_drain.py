"""The drain of a node under load, from a second real node to the first. With the real vLLM."""

import time
from collections.abc import Iterator

import pytest

from bench.rollout import SPREAD, drain, pods
from cluster.node import LocalCluster
from support import serving
from support.kube import Kube
from support.load import Load
from support.serving import tiny

NAME = "drained"


@pytest.fixture
def spread(cluster: LocalCluster, kube: Kube) -> Iterator[Kube]:
    """Two pods that serve, each on a node of its own; the second node is there for this alone."""
    kube.wait("the cluster is healthy", 120, cluster.healthy)  # what is not would be replaced
    serving.start(cluster.name, nodes=2)
    kube.apply(tiny(NAME, replicas=2, pod={"topologySpreadConstraints": [SPREAD]}))
    kube.ready(NAME, 600)
    yield kube
    kube.run("delete", "vis", NAME)
    cluster.remove_node()


def test_the_drain_of_a_node_fails_no_request(spread: Kube) -> None:
    with Load(spread.url(NAME), NAME, rate=2, least=200, tokens=4) as load:
        time.sleep(5)
        drain(spread, NAME)
        time.sleep(5)
    assert load.tally.failures == []
    assert (load.tally.sent >= 200, load.tally.aborted) == (True, 0)
    assert len(set(pods(spread, NAME).values())) == 1

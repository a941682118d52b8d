"""A replica over two real nodes: LeaderWorkerSet's own controller, CoreDNS, and the real vLLM, which talks by gloo."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.node import LocalCluster
from support import groups, serving
from support.kube import Kube, Object
from support.serving import tiny

NAME = "pair"
INSTANCE = {"app.kubernetes.io/instance": NAME}
APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": INSTANCE}}
        ]
    }
}

OVER_TWO: dict[str, Any] = {
    "nodesPerReplica": 2,
    "tensorParallelSize": 2,
    "pod": {"affinity": APART},
    # Without the warm-up, the first request takes most of a minute.
    "enforceEager": False,
    "env": [{"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"}],
}


@pytest.fixture
def pair(cluster: LocalCluster, kube: Kube) -> Iterator[Kube]:
    """A service over two nodes, which serves; the second node is there for this alone."""
    kube.wait("the cluster is healthy", 120, cluster.healthy)  # what is not would be replaced
    serving.start(cluster.name, nodes=2)
    groups.install_api(kube)
    groups.select(kube)
    try:
        with groups.names(cluster), groups.controller(cluster.control_plane, kube):
            kube.apply(tiny(NAME, **OVER_TWO))
            kube.ready(NAME, 600)
            yield kube
            kube.run("delete", "vis", NAME, "--ignore-not-found")
            kube.wait("its pods are gone", 120, lambda: not ranks(kube))
    finally:
        kube.run("label", "namespace", kube.namespace, *(f"{key}-" for key in groups.SELECTED))
        groups.remove_api(kube)
        cluster.remove_node()


def ranks(kube: Kube) -> dict[str, Object]:
    """The pods of the service by name."""
    selector = ",".join(f"{key}={value}" for key, value in INSTANCE.items())
    return {pod["metadata"]["name"]: pod for pod in kube.list("pods", selector)}


def complete(kube: Kube) -> int:
    """Asks for a completion; returns the status of the answer."""
    body = json.dumps({"model": NAME, "prompt": "hello", "max_tokens": 4}).encode()
    request = urllib.request.Request(f"{kube.url(NAME)}/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.status)


def test_a_group_answers_and_is_made_anew_when_a_rank_ends(pair: Kube) -> None:
    before = ranks(pair)
    assert set(before) == {f"{NAME}-g-0", f"{NAME}-g-0-1"}
    assert len({pod["spec"]["nodeName"] for pod in before.values()}) == 2
    began = time.monotonic()
    assert complete(pair) == 200
    assert time.monotonic() - began < 10  # it is not the first request that warms it up

    pair.run("exec", f"{NAME}-g-0-1", "--", "python3", "-c", "import os; os.kill(1, 15)")

    def renewed() -> bool:
        now = ranks(pair)
        return now.keys() == before.keys() and all(
            now[name]["metadata"]["uid"] != before[name]["metadata"]["uid"] for name in now
        )

    pair.wait("both pods are others", 240, renewed)
    pair.ready(NAME, 600)
    assert complete(pair) == 200

    pair.run("delete", "vis", NAME)
    pair.wait("nothing is left", 120, lambda: not ranks(pair) and not pair.get("leaderworkerset", f"{NAME}-g"))

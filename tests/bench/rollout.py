"""`make bench-rollout`: what clients feel while pods come and go, on two real nodes with the real vLLM on the CPU.

Each case has constant arrivals from before its change to after it: at least 1,000 requests, every second one streamed,
over kept-alive connections through the Service's cluster IP, without retries. One line per case; exits with 1 when a
request failed or was aborted. A machine that is busy with other things needs a lower --rate.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from support import serving
from support.kube import Kube
from support.load import Load

NAME = "rolled"
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    # A node that is drained does not count, nor do pods of another version.
    "nodeTaintsPolicy": "Honor",
    "matchLabelKeys": ["pod-template-hash"],
}
# Pods start on the cores that serve.
READY_SECONDS = 900
SETTLE_SECONDS = 5.0


def pods(kube: Kube, name: str = NAME) -> dict[str, str]:
    """The nodes of the service's pods by the pods' names, those that end included."""
    found = kube.list("pods", f"app.kubernetes.io/instance={name},app.kubernetes.io/name=vllm")
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in found}


def replaced(kube: Kube, old: Iterable[str], name: str = NAME) -> None:
    """Waits until two pods serve that are not among the old ones, or once were beside them."""
    kube.wait("the old pods are gone", READY_SECONDS, lambda: set(old).isdisjoint(pods(kube, name)))
    kube.wait("two are there", READY_SECONDS, lambda: len(pods(kube, name)) == 2)
    kube.ready(name, READY_SECONDS)


def restart(kube: Kube, name: str, **rollout: Any) -> None:
    """Asks for other pods of the same spec."""
    restarted = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kube.merge("vis", name, {"spec": {"rollout": {"restartedAt": restarted, **rollout}}})


def roll(kube: Kube, surge: int) -> None:
    """Replaces both pods, with or without one more."""
    old = pods(kube)
    restart(kube, NAME, maxSurge=surge)
    replaced(kube, old)


def evict(kube: Kube, name: str) -> None:
    """Evicts a pod through the API that a drain uses."""
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{name}/eviction"
    body = f'{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{name}"}}}}'
    kube.run("create", "--raw", path, "-f", "-", stdin=body)


def evict_one(kube: Kube) -> None:
    """Evicts one of the two pods."""
    name = min(pods(kube))
    evict(kube, name)
    replaced(kube, [name])


def drain(kube: Kube, name: str = NAME) -> None:
    """Drains a node, as before its maintenance: the pod on it moves to the other one, beside the other pod."""
    old = pods(kube, name)
    node = max(old.values())
    leaving = {pod for pod in old if old[pod] == node}
    assert len(leaving) == 1, f"the pods are not spread over the nodes: {old}"
    kube.run("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", timeout=READY_SECONDS)
    replaced(kube, leaving, name)
    assert node not in pods(kube, name).values()
    kube.run("uncordon", node)


def scale_down(kube: Kube) -> None:
    """Takes one of the two pods away."""
    kube.run("scale", "vis", NAME, "--replicas=1")
    kube.wait("one is left", READY_SECONDS, lambda: len(pods(kube)) == 1)
    kube.ready(NAME, READY_SECONDS)


# The drain comes first: the pods are spread when the service starts, and nothing spreads them again.
CASES: dict[str, Callable[[Kube], None]] = {
    "drain": drain,
    "rolling-update-with-surge": lambda kube: roll(kube, 1),
    "rolling-update": lambda kube: roll(kube, 0),
    "eviction": evict_one,
    "scale-down": scale_down,
}


def main() -> int:
    """Runs the cases on a cluster of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="least requests of a case (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=3.0, help="requests per second (default: %(default)s)")
    parser.add_argument("--case", choices=CASES, action="append", help="only this case; may be repeated")
    arguments = parser.parse_args()
    cluster = serving.start("bench-rollout", nodes=2)
    failed = False
    try:
        serving.install_operator(cluster)
        kube = Kube(cluster.kubeconfig, "bench")
        serving.make_models(kube)
        kube.apply(serving.tiny(NAME, replicas=2, pod={"topologySpreadConstraints": [SPREAD]}))
        kube.ready(NAME, READY_SECONDS)
        url = kube.url(NAME)
        for case in arguments.case or CASES:
            with Load(url, NAME, rate=arguments.rate, least=arguments.requests, tokens=4) as load:
                time.sleep(SETTLE_SECONDS)
                CASES[case](kube)
                time.sleep(SETTLE_SECONDS)
            print(load.tally.line(case), flush=True)
            print(*load.tally.failures[:10], sep="\n", end="\n" if load.tally.failures else "", file=sys.stderr)
            failed = failed or bool(load.tally.failures or load.tally.aborted)
    finally:
        cluster.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

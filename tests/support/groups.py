"""LeaderWorkerSet in the cluster under test: its CRD, its own controller where it is to act, and DNS for its pods."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from cluster.control_plane import ControlPlane, free_ports, wait_for
from cluster.node import LocalCluster
from cluster.processes import Processes
from cluster.tools import module_files, tool
from support.kube import Kube
from support.webhooks import SELECTED, at_this_machine, configuration, served

LEADER_WORKER_SETS = "leaderworkersets.leaderworkerset.x-k8s.io"


def install_api(kube: Kube) -> None:
    """Serves LeaderWorkerSets, from now on. Nobody acts on them."""
    path = module_files("lws") / "config" / "crd" / "bases" / "leaderworkerset.x-k8s.io_leaderworkersets.yaml"
    kube.run("apply", "--server-side", "-f", str(path))
    # kubectl refuses a kind that it does not find yet.
    resources = ("api-resources", "-o", "name")
    kube.wait("the API is there", 30, lambda: LEADER_WORKER_SETS in kube.run(*resources, check=False))


def remove_api(kube: Kube) -> None:
    """Serves no LeaderWorkerSets any more; those that there were are gone."""
    kube.run("delete", "crd", LEADER_WORKER_SETS)


def select(kube: Kube) -> None:
    """Lets the controller act on the namespace."""
    kube.run("label", "namespace", kube.namespace, *(f"{key}={value}" for key, value in SELECTED.items()))


@contextmanager
def controller(plane: ControlPlane, kube: Kube) -> Iterator[None]:
    """LeaderWorkerSet's own controller, which acts on the namespaces that are SELECTED. Its API is served already."""
    port = free_ports("webhooks")["webhooks"]
    config = configuration(plane, "config.lws.x-k8s.io/v1alpha1", port)
    plane.processes.start(
        "lws",
        [*plane.site.inside, tool("lws"), f"--config={config}", "--leader-elect=false"],
        {"KUBECONFIG": str(plane.kubeconfig)},
    )
    manifests = module_files("lws") / "config" / "webhook" / "manifests.yaml"
    hooks = list(at_this_machine(plane, manifests, "lws", port))
    try:
        with served(kube, hooks, lambda: "Serving webhook server" in plane.processes.tail("lws", 200), 60):
            yield
    finally:
        plane.processes.end("lws")


@contextmanager
def names(cluster: LocalCluster) -> Iterator[None]:
    """The pods of all nodes find each other by name while the block runs: each node has a CoreDNS that they ask."""
    nodes = cluster.nodes
    for node in nodes:
        file = node.state / "Corefile"
        served = f"kubernetes cluster.local {{\n kubeconfig {cluster.kubeconfig}\n}}"
        file.write_text(f".:53 {{\nerrors\n{served}\n}}\n")
        node.processes.start("coredns", [*node.enclosure.inside, tool("coredns"), "-conf", file])
    try:
        for node in nodes:
            wait_for("names are served", 60, partial(_serves_names, node.processes), node.processes)
        yield
    finally:
        for node in nodes:
            node.processes.end("coredns")


def _serves_names(processes: Processes) -> bool:
    return "CoreDNS-" in processes.tail("coredns")

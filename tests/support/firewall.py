"""A network that enforces NetworkPolicies: kube-router's firewall on every node, and who gets through it.

Of kube-router nothing but the firewall runs, in the node's own network namespace.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from cluster.host import command, require
from cluster.node import LocalCluster
from cluster.tools import tool
from support.kube import Kube, Object

ROUTER = "kube-router"
FIREWALL_ALONE = (
    "--run-firewall=true",
    "--run-router=false",
    "--run-service-proxy=false",
    "--run-loadbalancer=false",
    "--enable-cni=false",
)
# Whether addresses and ports can be connected to: open, or why not.
CONNECT = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=3).close()
        print(port, "open")
    except OSError as error:
        print(port, error)
"""
# The ports of a pod that others could connect to.
LISTENING = """
import pathlib
for name in ("tcp", "tcp6"):
    for line in pathlib.Path("/proc/net", name).read_text().splitlines()[1:]:
        address, port = line.split()[1].split(":")
        if line.split()[3] == "0A" and address != "0100007F" and not address.endswith("00000000000001000000"):
            print(int(port, 16))
"""


@contextmanager
def enforced(cluster: LocalCluster) -> Iterator[None]:
    """NetworkPolicies are enforced while the block runs."""
    require(["iptables", "ipset"])
    router = tool(ROUTER)
    for node in cluster.nodes:
        network = node.enclosure.network
        assert network
        where = [f"--kubeconfig={cluster.kubeconfig}", f"--hostname-override={node.name}"]
        ranges = [f"--service-cluster-ip-range={network.services}", "--iptables-sync-period=10s"]
        node.processes.start(ROUTER, [*node.enclosure.inside, router, *FIREWALL_ALONE, *where, *ranges])
    try:
        yield
    finally:
        for node in cluster.nodes:
            node.processes.end(ROUTER)
            # Nobody else has rules there: kube-proxy's are nftables' own. Its own clean-up wants IPVS in the kernel.
            for words in (["iptables", "--flush"], ["iptables", "--delete-chain"], ["ipset", "destroy"]):
                command([*node.enclosure.inside, *words])


def asker(name: str, **labels: str) -> Object:
    """A pod that asks others."""
    container = {"name": "asker", "image": "localhost/vllm-operator:dev", "command": ["sleep", "7200"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def listening(kube: Kube, pod: str) -> list[int]:
    """The ports on which a pod that has Python listens, but for those that are for itself alone."""
    return sorted({int(line) for line in kube.run("exec", pod, "--", "python3", "-c", LISTENING).split()})


def reached(kube: Kube, asker: str, address: str, *ports: int) -> dict[int, str]:
    """Of each port, what a pod that has Python finds: `open`, or why not: a firewall may refuse, or say nothing."""
    words = ["exec", asker, "--", "python3", "-c", CONNECT, address, *map(str, ports)]
    lines = (line.partition(" ") for line in kube.run(*words).splitlines())
    return {int(port): found for port, _, found in lines}


def attacked(kube: Kube, targets: Iterable[Object], labels: Mapping[str, str], meant: Collection[int]) -> str:
    """Tries every port of pods, from a pod beside them and from one with these labels in another namespace.

    Says how many of how many are open to each. Raises AssertionError where others are than were meant to be.
    """
    others = Kube(kube.kubeconfig, f"{kube.namespace}-others")
    others.run("create", "namespace", others.namespace)
    said = []
    for where, pod in ((kube, asker("stranger")), (others, asker("pretender", **labels))):
        name = pod["metadata"]["name"]
        where.apply(pod)
        where.run("wait", "pod", name, "--for=condition=Ready", "--timeout=60s")
        for target in targets:
            ports = listening(kube, target["metadata"]["name"])
            found = reached(where, name, target["status"]["podIP"], *ports)
            through = {port for port in ports if found[port] == "open"}
            assert through == set(meant) & set(ports), f"{name}: {through} of {target['metadata']['name']} are open"
            said.append(f"{len(through)} of {len(ports)}")
        where.run("delete", "pod", name, "--wait=false")
    others.run("delete", "namespace", others.namespace, "--wait=false")
    return f"{', '.join(said)} ports are open"

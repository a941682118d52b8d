"""A cluster with real nodes: a control plane, and one node or several, in namespaces of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cluster import kwok
from cluster.api import Api
from cluster.control_plane import ControlPlane, Site, state_of
from cluster.host import NODE_PROGRAMS, ClusterError, lock, require, require_linux_root, step
from cluster.kubelet import NODE, Node
from cluster.processes import Processes
from cluster.tools import tool

PORTS = {"apiserver": 6443, "etcd": 2379, "peer": 2380, "manager": 10257, "scheduler": 10259}
VOLUMES = 10


class LocalCluster:
    """A running cluster. Make one with `start`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = state_of(name)
        self.processes = Processes(self.state)
        self.kubeconfig = self.state / "kubeconfig"
        self.audit_log = self.state / "audit.log"

    @classmethod
    def start(cls, name: str, nodes: int = 1, folders: Mapping[str, str] | None = None) -> Self:
        """Start a cluster with at least these nodes, or return the one of this name that runs and is healthy.

        `folders`: target and source of what all containers of the first node see of this machine, read-only.
        """
        require_linux_root("A node")
        require([*NODE_PROGRAMS, "openssl"])
        for needed in ("kubernetes", "pause"):
            tool(needed)
        with lock(f"cluster-{name}"):
            cluster = cls(name)
            if not cluster.healthy():
                cluster.stop()
                with step(f"starting the cluster {name}"):
                    cluster._launch(folders)
            while len(cluster.nodes) < nodes:
                with step("adding a node"):
                    cluster._add_node()
        return cluster

    @property
    def nodes(self) -> list[Node]:
        """Its nodes, by number: only the first is always there."""
        further = sorted(int(path.name.removeprefix(f"{NODE}-")) for path in self.state.glob(f"{NODE}-*"))
        return [Node(self.name, number) for number in (1, *further)]

    @property
    def control_plane(self) -> ControlPlane:
        """The control plane of this cluster."""
        found = ControlPlane.find(self.name)
        if found is None:
            raise ClusterError(f"No cluster {self.name} runs; start it with `python -m cluster up {self.name}`.")
        return found

    def api(self) -> Api:
        """Requests to its API server as admin."""
        return self.control_plane.api()

    def healthy(self) -> bool:
        """Whether every program runs and the nodes are Ready."""
        control_plane = ControlPlane.find(self.name)
        if control_plane is None or not control_plane.healthy():
            return False
        return all(node.healthy(control_plane) for node in self.nodes)

    def load(self, archive: Path) -> list[str]:
        """Make the images of an archive (Docker's or OCI's format) known to every node and return their names."""
        first, *others = [node.containerd for node in self.nodes]
        for other in others:
            other.load(archive)
        return first.load(archive)

    def stop(self) -> None:
        """End everything that was started and remove all of it; only the image stores stay, in the cache."""
        for node in reversed(self.nodes):
            node.remove()  # the first one's state is the whole cluster's

    def remove_node(self) -> None:
        """Remove the node that came last, with what still runs on it."""
        node = self.nodes[-1]
        node.remove()
        self.api().delete(f"/api/v1/nodes/{node.name}")

    def fake_gpus(self, count: int, product: str = "NVIDIA-H100-80GB-HBM3") -> None:
        """Let each node say that it has GPUs, as a device plugin and GPU feature discovery would."""
        resources = {"nvidia.com/gpu": str(count)}
        for node in self.nodes:
            path = f"/api/v1/nodes/{node.name}"
            self.api().patch(path, {"metadata": {"labels": kwok.gpu_labels(product, count)}})
            self.api().patch(f"{path}/status", {"status": {"capacity": resources, "allocatable": resources}})

    def add_volumes(self, count: int, size: str = "5Gi") -> None:
        """Add directories of the state directory as volumes that claims of the class `local` bind to at once."""
        api = self.api()
        volumes = self.state / "volumes"
        volumes.mkdir(exist_ok=True)
        first = len(list(volumes.iterdir()))
        for number in range(first, first + count):
            directory = volumes / f"local-{number}"
            directory.mkdir()
            directory.chmod(0o777)
            api.create("/api/v1/persistentvolumes", _volume(directory, size))

    def _launch(self, folders: Mapping[str, str] | None) -> None:
        node = Node(self.name)
        network = node.enclosure.create()
        node.containerd.start(network.pods, folders)
        site = Site(network.node, network.services, node.enclosure.inside, PORTS)
        control_plane = ControlPlane(self.name, site)
        control_plane.launch()
        node.join(control_plane, network)
        control_plane.api().create("/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
        self.add_volumes(VOLUMES)

    def _add_node(self) -> None:
        others = self.nodes
        node = Node(self.name, others[-1].number + 1)
        network = node.enclosure.create()
        for other in others:
            node.enclosure.connect(other.enclosure)
        node.containerd.start(network.pods)
        node.join(self.control_plane, network)


STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "Immediate",
}


def _volume(directory: Path, size: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": directory.name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "local",
            "hostPath": {"path": str(directory), "type": "Directory"},
        },
    }

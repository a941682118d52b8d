"""A cluster with a real node: a control plane, containerd, kubelet and kube-proxy, in namespaces of their own."""

import json
import shutil
from pathlib import Path
from typing import Any, Self

from cluster import kwok, pki
from cluster.api import Api
from cluster.control_plane import ControlPlane, Site, state_of, wait_for
from cluster.enclosure import CGROUPS, Enclosure, Network
from cluster.host import NODE_PROGRAMS, ClusterError, lock, require, require_linux_root, step
from cluster.processes import Processes
from cluster.runtime import SOCKET, Containerd
from cluster.tools import tool

NODE = "node"
PORTS = {"apiserver": 6443, "etcd": 2379, "peer": 2380, "manager": 10257, "scheduler": 10259}
VOLUMES = 10


class LocalCluster:
    """A running cluster with one node. Make one with `start`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = state_of(name)
        self.processes = Processes(self.state)
        self.kubeconfig = self.state / "kubeconfig"
        self.audit_log = self.state / "audit.log"
        self._enclosure = Enclosure(name, self.state, self.processes)
        self._containerd = Containerd(self._enclosure, self.state, self.processes)

    @classmethod
    def start(cls, name: str) -> Self:
        """Start a cluster with a node, or return the one of this name that runs already and is healthy."""
        require_linux_root("A node")
        require([*NODE_PROGRAMS, "openssl"])
        for needed in ("kubernetes", "pause"):
            tool(needed)
        with lock(f"cluster-{name}"):
            cluster = cls(name)
            if cluster.healthy():
                return cluster
            cluster.stop()
            with step(f"starting the cluster {name}"):
                cluster._launch()
        return cluster

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
        """Whether every program runs and the node is Ready."""
        control_plane = ControlPlane.find(self.name)
        if control_plane is None or not control_plane.healthy():
            return False
        return kwok.ready(control_plane.api(), NODE)

    def load(self, archive: Path) -> list[str]:
        """Make the images of an archive (Docker's or OCI's format) known to the node and return their names."""
        return self._containerd.load(archive)

    def stop(self) -> None:
        """End everything that was started and remove all of it; only the image store stays, in the cache."""
        self._enclosure.remove()
        shutil.rmtree(self.state, ignore_errors=True)

    def fake_gpus(self, count: int, product: str = "NVIDIA-H100-80GB-HBM3") -> None:
        """Let the node say that it has GPUs, as a device plugin and GPU feature discovery would."""
        resources = {"nvidia.com/gpu": str(count)}
        path = f"/api/v1/nodes/{NODE}"
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

    def _launch(self) -> None:
        network = self._enclosure.create()
        self._containerd.start(network.pods)
        site = Site(network.node, network.services, NODE, self._enclosure.inside, PORTS)
        control_plane = ControlPlane(self.name, site)
        control_plane.launch()
        self._containerd.settle()
        self._start_kubelet(network, control_plane)
        self._start_proxy(network, control_plane)
        api = control_plane.api()
        api.create("/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
        self.add_volumes(VOLUMES)
        wait_for("the node is Ready", 90, lambda: _schedulable(api), self.processes)

    def _start_kubelet(self, network: Network, control_plane: ControlPlane) -> None:
        kubeconfig = self.state / "kubelet.kubeconfig"
        pki.kubeconfig(kubeconfig, control_plane.certificates, "kubelet", control_plane.site.server, self.name)
        configuration = self.state / "kubelet.json"
        configuration.write_text(json.dumps(self._kubelet_configuration(network, control_plane)))
        arguments = [f"--config={configuration}", f"--kubeconfig={kubeconfig}"]
        arguments += [f"--hostname-override={NODE}", f"--node-ip={network.node}"]
        self.processes.start("kubelet", [*self._enclosure.inside, tool("kubelet"), *arguments])

    def _kubelet_configuration(self, network: Network, control_plane: ControlPlane) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.node,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(control_plane.certificates / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._enclosure.cgroup}",
            "clusterDNS": [network.node],  # a pod without any would cause a warning Event each time
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "failCgroupV1": (CGROUPS / "cgroup.controllers").exists(),
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,  # never: the images are not to be had again from anywhere
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "5s",
            "resolvConf": str(self.state / "resolv.conf"),
            "syncFrequency": "10s",  # how long a changed Secret takes into a running pod; default: 1 min
            "volumePluginDir": str(self.state / "volume-plugins"),
        }

    def _start_proxy(self, network: Network, control_plane: ControlPlane) -> None:
        kubeconfig = self.state / "proxy.kubeconfig"
        pki.kubeconfig(kubeconfig, control_plane.certificates, "proxy", control_plane.site.server, self.name)
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "bindAddress": network.node,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "clusterCIDR": network.pods,
            # What would be set for the whole machine stays as it is.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": "127.0.0.1:10256",
            "hostnameOverride": NODE,
            "metricsBindAddress": "127.0.0.1:10249",
            "mode": "nftables",
            "nftables": {"minSyncPeriod": "100ms"},
        }
        file = self.state / "proxy.json"
        file.write_text(json.dumps(configuration))
        self.processes.start("kube-proxy", [*self._enclosure.inside, tool("kube-proxy"), f"--config={file}"])


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


def _schedulable(api: Api) -> bool:
    node = api.get(f"/api/v1/nodes/{NODE}") or {}
    return kwok.ready(api, NODE) and not node.get("spec", {}).get("taints")

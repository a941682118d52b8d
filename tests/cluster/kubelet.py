"""One node: containerd, kubelet and kube-proxy, in namespaces of their own."""

import json
import shutil
from typing import Any

from cluster import kwok, pki
from cluster.control_plane import ControlPlane, state_of, wait_for
from cluster.enclosure import CGROUPS, Enclosure, Network
from cluster.processes import Processes
from cluster.runtime import SOCKET, Containerd
from cluster.tools import tool

NODE = "node"


class Node:
    """A node of a cluster, by number. The first one's namespaces hold the control plane too."""

    def __init__(self, cluster: str, number: int = 1) -> None:
        self.number = number
        first = number == 1
        self.name = NODE if first else f"{NODE}-{number}"
        self.state = state_of(cluster) if first else state_of(cluster) / self.name
        self.processes = Processes(self.state)
        # No cluster's name has a dot.
        self.enclosure = Enclosure(cluster if first else f"{cluster}.{number}", self.state, self.processes)
        self.containerd = Containerd(self.enclosure, self.state, self.processes)

    def join(self, control_plane: ControlPlane, network: Network) -> None:
        """Start what a node runs beside containerd, and wait until pods can be scheduled to it."""
        self.containerd.settle()
        self._start_kubelet(network, control_plane)
        self._start_proxy(network, control_plane)
        wait_for(f"{self.name} is Ready", 90, lambda: self._schedulable(control_plane), self.processes)

    def healthy(self, control_plane: ControlPlane) -> bool:
        """Whether its programs run and it is Ready."""
        names = self.processes.names()
        running = bool(names) and all(self.processes.pid(name) for name in names)
        return running and kwok.ready(control_plane.api(), self.name)

    def remove(self) -> None:
        """End everything that runs on it and remove its state."""
        self.enclosure.remove()
        shutil.rmtree(self.state, ignore_errors=True)

    def _schedulable(self, control_plane: ControlPlane) -> bool:
        api = control_plane.api()
        node = api.get(f"/api/v1/nodes/{self.name}") or {}
        return kwok.ready(api, self.name) and not node.get("spec", {}).get("taints")

    def _start_kubelet(self, network: Network, control_plane: ControlPlane) -> None:
        kubeconfig = self.state / "kubelet.kubeconfig"
        certificates = control_plane.certificates
        client = pki.kubelet(certificates, self.name)
        pki.kubeconfig(kubeconfig, certificates, client, control_plane.site.server, control_plane.name)
        configuration = self.state / "kubelet.json"
        configuration.write_text(json.dumps(self._kubelet_configuration(network, control_plane)))
        arguments = [f"--config={configuration}", f"--kubeconfig={kubeconfig}"]
        arguments += [f"--hostname-override={self.name}", f"--node-ip={network.node}"]
        self.processes.start("kubelet", [*self.enclosure.inside, tool("kubelet"), *arguments])

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
            "cgroupRoot": f"/{self.enclosure.cgroup}",
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
        pki.kubeconfig(kubeconfig, control_plane.certificates, "proxy", control_plane.site.server, control_plane.name)
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "bindAddress": network.node,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "clusterCIDR": network.pods,
            # What would be set for the whole machine stays as it is.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": "127.0.0.1:10256",
            "hostnameOverride": self.name,
            "metricsBindAddress": "127.0.0.1:10249",
            "mode": "nftables",
            "nftables": {"minSyncPeriod": "100ms"},
        }
        file = self.state / "proxy.json"
        file.write_text(json.dumps(configuration))
        self.processes.start("kube-proxy", [*self.enclosure.inside, tool("kube-proxy"), f"--config={file}"])

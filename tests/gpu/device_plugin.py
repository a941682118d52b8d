"""NVIDIA's own programs beside a node's kubelet: the device plugin, and GPU feature discovery for the labels."""

import os
from collections.abc import Callable
from pathlib import Path

from cluster.host import ClusterError, command
from cluster.node import LocalCluster
from cluster.tools import tool

RESOURCE = "nvidia.com/gpu"
# Devices by the kubelet alone: no runtime of NVIDIA's stands in between.
_PLUGIN = (
    "--device-list-strategy=envvar",
    "--pass-device-specs=true",
    "--device-discovery-strategy=nvml",
    "--driver-root-ctr-path=/",
    "--fail-on-init-error=true",
)
_FEATURES = ("--oneshot", "--no-timestamp", "--device-discovery-strategy=nvml", "--use-node-feature-api=false")


def label(cluster: LocalCluster) -> dict[str, str]:
    """Run GPU feature discovery once, and give its labels to the node, as node feature discovery does."""
    file = cluster.state / "gpu-features"
    inside = cluster.nodes[0].enclosure.inside
    words: list[str | Path] = [*inside, tool("gpu-feature-discovery"), *_FEATURES, f"--output-file={file}"]
    said = command(words, env={**os.environ, "NODE_NAME": cluster.nodes[0].name, "NAMESPACE": "default"})
    found = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    if f"{RESOURCE}.product" not in found:
        raise ClusterError(f"GPU feature discovery wrote no product: {said[-500:]}{file.read_text()[-500:]}")
    cluster.api().patch(f"/api/v1/nodes/{cluster.nodes[0].name}", {"metadata": {"labels": found}})
    return found


def start(cluster: LocalCluster, wait: Callable[[str, float, Callable[[], bool]], None]) -> int:
    """Start the device plugin, and wait until the node says that it has GPUs; how many."""
    node = cluster.nodes[0]
    node.processes.start("nvidia-device-plugin", [*node.enclosure.inside, tool("nvidia-device-plugin"), *_PLUGIN])

    def allocatable() -> int:
        found = cluster.api().get(f"/api/v1/nodes/{node.name}") or {}
        return int(found.get("status", {}).get("allocatable", {}).get(RESOURCE, 0))

    wait("the node has GPUs", 60, lambda: allocatable() > 0)
    return allocatable()

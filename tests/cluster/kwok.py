"""Fake nodes, by the thousand: kwok answers for their kubelets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.api import Api
from cluster.host import ClusterError
from cluster.tools import tool

FAKE = {"kwok.x-k8s.io/node": "fake"}
# What GPU feature discovery writes of a product: memory in MiB, compute capability.
PRODUCTS = {
    "NVIDIA-H100-80GB-HBM3": (81559, "9.0"),
    "NVIDIA-A100-SXM4-80GB": (81920, "8.0"),
    "NVIDIA-L4": (23034, "8.9"),
    "Tesla-T4": (15360, "7.5"),
}


def stages(reports: Mapping[str, str]) -> str:
    """What becomes of pods. `reports` are the termination messages of containers whose second argument is the key."""
    text = (tool("kwok").parent / "stages.yaml").read_text()
    lines = [
        # JSON's strings are Go's as well.
        f"{{{{ if eq $asked {json.dumps(asked)} }}}}message: {{{{ {json.dumps(report)} | Quote }}}}{{{{ end }}}}"
        for asked, report in reports.items()
    ]
    asked = '{{ $asked := "" }}{{ range $i, $arg := $item.args }}{{ if eq $i 1 }}{{ $asked = $arg }}{{ end }}{{ end }}'
    completed = "            reason: Completed\n"
    before, name, after = text.partition("name: pod-complete\n")
    if completed not in after:
        raise ClusterError("kwok's stages no longer complete a Job's container")
    said = "".join(f"            {line}\n" for line in (asked, *lines))
    return before + name + after.replace(completed, completed + said, 1)


def arguments(kubeconfig: Path, reports: Mapping[str, str]) -> list[str | Path]:
    """The command that plays the kubelets of all nodes that carry the annotation."""
    config = kubeconfig.with_name("kwok.yaml")
    config.write_text(stages(reports))
    selector = "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"
    # Leases as real nodes write them, so that the controller-manager takes the nodes for living.
    return [
        tool("kwok"),
        f"--kubeconfig={kubeconfig}",
        f"--config={config}",
        selector,
        "--node-lease-duration-seconds=40",
    ]


def gpu_labels(product: str, count: int) -> dict[str, str]:
    """The labels that GPU feature discovery gives a node."""
    memory, compute = PRODUCTS[product]
    major, _, minor = compute.partition(".")
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.memory": str(memory),
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
    }


def node(name: str, gpus: int, product: str) -> dict[str, Any]:
    """A fake node with GPUs, or without when there are none of them."""
    resources = {"cpu": "256", "memory": "2Ti", "pods": "1000", "ephemeral-storage": "4Ti"}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "type": "kwok",
    }
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
        labels |= gpu_labels(product, gpus)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": FAKE},
        "status": {"capacity": resources, "allocatable": resources},
    }


def ready(api: Api, name: str) -> bool:
    """Whether a node's Ready condition is true."""
    found = api.get(f"/api/v1/nodes/{name}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

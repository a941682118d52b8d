"""Nodes with GPUs, as GPU feature discovery labels them."""

from cluster import kwok
from vllm_operator.snapshots.node import Node, snapshot

H100, L4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-L4"


def node(name: str, gpus: int = 8, product: str = H100, taint: str = "", **labels: str) -> Node:
    """A node as GPU feature discovery labels it; a taint is key=value:effect."""
    body = kwok.node(name, gpus, product)
    body["metadata"]["labels"] |= labels
    if taint:
        key, _, rest = taint.partition("=")
        value, _, effect = rest.partition(":")
        body["spec"] = {"taints": [{"key": key, "value": value, "effect": effect}]}
    return snapshot(body)

"""How the ranks of a replica on several nodes find each other: the one table of what each pod's vLLM is told.

LeaderWorkerSet puts LWS_* before all other variables of each container, so Kubernetes itself writes them into `args`:
no shell is needed, and there is no moment in which a pod does not know its rank. The leader's name resolves before it
is ready, and torch asks for it until it answers. vLLM 0.32: config/parallel.py, entrypoints/cli/serve.py.
"""

from collections.abc import Sequence
from typing import Any

MASTER_PORT = 29501
NODE_RANK = "--node-rank=$(LWS_WORKER_INDEX)"
MASTER_ADDRESS = "--master-addr=$(LWS_LEADER_ADDRESS)"
REFERENCES = frozenset({NODE_RANK, MASTER_ADDRESS})
"""Arguments that refer to variables of the pod."""
HEADLESS = "--headless"
"""What ranks above 0 are told beside: they have no API server."""
HOST_IP = "VLLM_HOST_IP"
"""The address that a rank listens on, and tells the others. vLLM would guess it."""
# NCCL takes the first address that it finds. Pods of EKS with IPv6 have an IPv4 one beside, for what is outside alone.
_NCCL_IPV6 = {"name": "NCCL_SOCKET_FAMILY", "value": "AF_INET6"}


def rank_arguments(nodes: int) -> list[str]:
    """What vLLM is told in each pod of a replica, beside the number of them; nothing where there is one.

    They come last, as the last of equal flags counts: only `mp` works over nodes without Ray.
    """
    if nodes == 1:
        return []
    return ["--distributed-executor-backend=mp", NODE_RANK, MASTER_ADDRESS, f"--master-port={MASTER_PORT}"]


def rank_environment(nodes: int, ip_family: str | None) -> list[dict[str, Any]]:
    """Variables of each pod of a replica, whose first address is of this family."""
    if nodes == 1:
        return []
    own = {"name": HOST_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return [own, _NCCL_IPV6] if ip_family == "IPv6" else [own]


def nodes_of(arguments: Sequence[str]) -> int:
    """For how many pods a command line was written."""
    told = number_of(arguments, "--nnodes", digits=3)
    return 1 if told is None else told


def number_of(arguments: Sequence[str], flag: str, digits: int = 18) -> int | None:
    """The number that a command line has for a flag; None where it has none, or one of more digits."""
    told = [one.removeprefix(f"{flag}=") for one in arguments if one.startswith(f"{flag}=")]
    return int(told[-1]) if told and told[-1].isdecimal() and len(told[-1]) <= digits else None

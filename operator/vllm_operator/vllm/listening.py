"""What the servers of a pod listen on: all addresses of its family. Pure.

vLLM listens on IPv4 unless it is told an IPv6 address: entrypoints/launchers/launcher.py, create_server_socket, vLLM
0.32. `::` takes both families on Linux, so that the preStop hook still finds it at 127.0.0.1; but a kernel without IPv6
refuses it.
"""

from collections.abc import Sequence

from ..settings import Settings

IPV4, BOTH = "0.0.0.0", "::"  # noqa: S104 - the pod's own network


def address(settings: Settings) -> str:
    """What vLLM is told to listen on."""
    return BOTH if settings.ip_family == "IPv6" else IPV4


def told(arguments: Sequence[str]) -> str:
    """What a kept command line listens on: one of the two, whoever has written it."""
    return BOTH if f"--host={BOTH}" in arguments else IPV4

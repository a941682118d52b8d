"""vLLM's own socket for what the operator tells it to listen on."""

import json
import socket
import subprocess

import pytest

from support.real_vllm.environment import interpreter
from vllm_operator.vllm.listening import BOTH, IPV4

# Which of the addresses of this machine reach what vLLM makes for each host.
REACHED = """
import json, socket, sys
from contextlib import suppress
from vllm.entrypoints.launchers.launcher import create_server_socket

def reached(host):
    with create_server_socket((host, 0), reuse_port=False) as listening:
        listening.listen()
        for client in ("127.0.0.1", "::1"):
            with suppress(ConnectionRefusedError):
                socket.create_connection((client, listening.getsockname()[1]), timeout=10).close()
                yield client

print(json.dumps({host: list(reached(host)) for host in sys.argv[1:]}))
"""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_probes_and_the_pre_stop_hook_find_vllm_where_pods_have_ipv6() -> None:
    said = subprocess.run([interpreter(), "-c", REACHED, BOTH, IPV4], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == {BOTH: ["127.0.0.1", "::1"], IPV4: ["127.0.0.1"]}

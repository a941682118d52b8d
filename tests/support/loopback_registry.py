"""A real image registry on the node of a local cluster, which this machine and the node call by the same name.

Both ask `localhost` without TLS, so nothing has to be told to trust it.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.node import LocalCluster
from cluster.tools import tool

PORT = 5056


@contextmanager
def loopback_registry(cluster: LocalCluster, port: int = PORT) -> Iterator[str]:
    """An empty registry on the first node; yields its name for images. Its images end with it."""
    (node, *_) = cluster.nodes
    network = node.enclosure.network
    assert network
    disk = cluster.state / "registry"
    disk.mkdir()
    serve: list[str | Path] = [tool("crane"), "registry", "serve", f"--address=0.0.0.0:{port}", f"--disk={disk}"]
    node.processes.start("registry", [*node.enclosure.inside, *serve])
    _await((network.node, port))
    listener = socket.create_server(("127.0.0.1", port))
    threading.Thread(target=_serve, args=(listener, (network.node, port)), daemon=True).start()
    try:
        yield f"localhost:{port}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # a thread waits in it, and would keep the port
        listener.close()
        node.processes.end("registry")


def _await(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"no registry answers at {address}"
            time.sleep(0.05)
        else:
            return


def _serve(listener: socket.socket, address: tuple[str, int]) -> None:
    with suppress(OSError):  # closed
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_relay, args=(near, address), daemon=True).start()


def _relay(near: socket.socket, address: tuple[str, int]) -> None:
    with near, suppress(OSError), socket.create_connection(address) as far:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)

"""A port that anybody may connect to, in threads of its own: so the event loop's work does not wait for who connects.

A connection that says nothing is ended, and there is a fixed number of them: all ports of the operator have as many
files as the process may open, and the API server's connections are among these.
"""

import logging
import socket
from collections import OrderedDict
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

log = logging.getLogger(__name__)

# For a request to come, and for an answer to be taken: as long as Prometheus waits.
SILENCE_SECONDS = 10.0
# Where there are so many, the oldest makes room: Prometheus and the kubelet always get in.
MOST_CONNECTIONS = 16


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Requests are not logged."""


class Server(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread, as long as it is one of the newest. On all addresses, of both IPs."""

    daemon_threads = True
    # Those that wait to be taken in, each for a moment: one beyond them would try again a second later.
    request_queue_size = 128
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open: OrderedDict[socket.socket, None] = OrderedDict()
        self._lock = Lock()

    def server_bind(self) -> None:
        """Binds, and does not look up names, which may take long in a pod."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Makes room for a connection, and starts its thread."""
        with self._lock:
            while len(self._open) >= MOST_CONNECTIONS:
                _end(self._open.popitem(last=False)[0])
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """One that hung up, or said nothing: nobody has to know."""
        log.debug("a connection failed", exc_info=True)


def _end(connection: socket.socket) -> None:
    """Lets the thread that reads from it, or writes to it, find its end."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection was closed already")


def answer(port: int, app: Any) -> Server:
    """Answers at the port as a WSGI app says, in the background, as long as the process lives or until a shutdown."""
    server = make_server("", port, app, Server, _Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server

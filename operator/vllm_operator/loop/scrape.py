"""/metrics, for Prometheus: in threads of its own, as writing out a large fleet takes a second of CPU.

Whoever reaches the port can connect. So a connection that says nothing is ended, there is a fixed number of them, and
one at a time is answered: the event loop shares the interpreter with one of these threads, not with all.
"""

import logging
import socket
from collections import OrderedDict
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

log = logging.getLogger(__name__)

# For a request to come, and for an answer to be taken: as long as Prometheus waits.
SILENCE_SECONDS = 10.0
# Where there are so many, the oldest makes room: Prometheus always gets in.
MOST_CONNECTIONS = 16


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not logged."""


class Server(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread, as long as it is one of the newest. On all addresses, of both IPs."""

    daemon_threads = True
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
        log.debug("a connection to the metrics port failed", exc_info=True)


def _end(connection: socket.socket) -> None:
    """Lets the thread that reads from it, or writes to it, find its end."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection to the metrics port was closed already")


def serve(port: int) -> Server:
    """Serves all metrics at the port, in the background, as long as the process lives."""
    app, turn = make_wsgi_app(), Lock()

    def one_at_a_time(environ: Any, start_response: Any) -> Any:
        with turn:
            return app(environ, start_response)

    server = make_server("", port, one_at_a_time, Server, _Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server

"""What the pod tells over HTTP: whether its engine is loaded, how far it is, and metrics. In threads of its own."""

import json
import socket
import socketserver
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_METRICS = (
    ("vllm_batch_requests", "gauge", "Requests of this share.", "total", ""),
    ("vllm_batch_requests_total", "counter", "Requests that are finished, also by earlier pods.", "done", "answered"),
    ("vllm_batch_requests_total", "counter", "", "failed", "failed"),
    ("vllm_batch_tokens_total", "counter", "Tokens of answered requests.", "promptTokens", "prompt"),
    ("vllm_batch_tokens_total", "counter", "", "outputTokens", "output"),
    ("vllm_batch_requests_in_flight", "gauge", "Requests that the engine has.", "inFlight", ""),
)

PROGRESS = "/-/progress"
"""Where the counts are."""
_POLL_SECONDS = 0.1


class _Server(ThreadingHTTPServer):
    """On all addresses, of both IPs where there are both."""

    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        """Binds, and does not look up names, which may take long in a pod."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)


class Pages:
    """The server. `progress` gives the counts, `metrics` the text of vLLM's own metrics, None before it is loaded."""

    def __init__(self, port: int, progress: Callable[[], dict[str, Any]]) -> None:
        self.metrics: Callable[[], bytes] | None = None
        self._progress = progress
        pages = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one request."""

            def do_GET(self) -> None:
                """Any page."""
                status, content = pages.page(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Probes would fill the log."""

        self._server = _Server(("", port), Handler)
        self.port: int = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()

    def page(self, path: str) -> tuple[int, bytes]:
        """Status and content."""
        if path == "/health":
            return (200, b"") if self.metrics else (503, b"the engine is being loaded\n")
        if path == PROGRESS:
            return 200, json.dumps(self._progress()).encode()
        if path == "/metrics":
            return 200, _metrics(self._progress()) + (self.metrics() if self.metrics else b"")
        return 404, f"ask for /health, /metrics or {PROGRESS}\n".encode()


def _metrics(counts: dict[str, Any]) -> bytes:
    lines = []
    for name, kind, text, key, label in _METRICS:
        if text:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        by = {"answered": "outcome", "failed": "outcome", "prompt": "kind", "output": "kind"}.get(label)
        lines.append(f'{name}{{{by}="{label}"}} {counts[key]}' if by else f"{name} {counts[key]}")
    return ("\n".join(lines) + "\n").encode()

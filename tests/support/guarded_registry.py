"""A door to an image registry of the same machine that asks who is there: for images that not everybody may pull.

A program of its own: `guarded_registry.py PORT PORT-OF-THE-REGISTRY`.
"""

import base64
import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = "team", "of-the-tests"
CREDENTIALS = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
_PASSED_ON = ("Content-Type", "Content-Length", "Docker-Content-Digest")


class Door(BaseHTTPRequestHandler):
    """Pulls of who knows the password go through."""

    # Who asks with TLS is answered like this too, and asks again without it.
    default_request_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Answers as the registry does, or asks for the password."""
        if self.headers.get("Authorization") != f"Basic {CREDENTIALS}":
            self._answer(401, {"WWW-Authenticate": 'Basic realm="registry"', "Content-Length": "0"}, b"")
            return
        registry = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
        registry.request(self.command, self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
        answer = registry.getresponse()
        headers = {name: value for name in _PASSED_ON if (value := answer.headers.get(name))}
        self._answer(answer.status, headers, answer.read())
        registry.close()

    def do_HEAD(self) -> None:
        """The same without a body."""
        self.do_GET()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()

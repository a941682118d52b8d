"""An image registry on the node that has no image, and wants a password for those below /private. Runs in a pod."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Registry(BaseHTTPRequestHandler):
    """https://distribution.github.io/distribution/spec/api, as far as it refuses."""

    def do_GET(self) -> None:
        """Answers one request."""
        if self.path == "/v2/":
            return self._answer(200, {})
        if "/private/" in self.path:
            return self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]})
        return self._answer(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})

    def do_HEAD(self) -> None:
        """Answers without a body."""
        self.do_GET()

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()

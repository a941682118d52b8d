"""Digests come from a registry that answers, asked as Docker asks it, or not at all."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster.digests import parts, pin_bases, pinned
from cluster.host import ClusterError

DIGEST = "sha256:" + "7" * 64


class Registry(BaseHTTPRequestHandler):
    """Has team/image:1 for who brings a token, which anybody gets; and odd:1, of which it tells no digest."""

    def do_HEAD(self) -> None:
        if self.path == "/v2/odd/manifests/1":
            self._answer(200)
        elif self.path != "/v2/team/image/manifests/1":
            self._answer(404)
        elif self.headers["Authorization"] != "Bearer for-team/image":
            realm = f"http://{self.headers['Host']}/token"
            scope = "repository:team/image:pull"
            self._answer(401, "WWW-Authenticate", f'Bearer realm="{realm}",service="here",scope="{scope}"')
        elif "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]:
            self._answer(200, "Docker-Content-Digest", DIGEST)

    def do_GET(self) -> None:
        asked = self.path == "/token?service=here&scope=repository%3Ateam%2Fimage%3Apull"
        self._answer(200 if asked else 403, body=json.dumps({"token": "for-team/image"}))

    def _answer(self, status: int, name: str = "X-None", value: str = "", body: str = "") -> None:
        self.send_response(status)
        self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def registry() -> Iterator[str]:
    """Its host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("python:3.11-slim", ("registry-1.docker.io", "library/python", "3.11-slim")),
        ("vllm/vllm-openai:v0.32.0", ("registry-1.docker.io", "vllm/vllm-openai", "v0.32.0")),
        ("localhost:5000/a/b:1", ("localhost:5000", "a/b", "1")),
        ("quay.io/a/b:1", ("quay.io", "a/b", "1")),
    ],
)
def test_references_are_read_as_docker_reads_them(reference: str, expected: tuple[str, str, str]) -> None:
    assert parts(reference) == expected


@pytest.mark.parametrize("reference", ["python", "localhost:5000/python", ""])
def test_without_a_tag_there_is_nothing_to_ask_for(reference: str) -> None:
    with pytest.raises(ClusterError, match="has no tag"):
        parts(reference)


def test_a_registry_that_wants_a_token_is_given_one() -> None:
    with registry() as host:
        assert pinned(f"{host}/team/image:1", "http") == f"{host}/team/image:1@{DIGEST}"


@pytest.mark.parametrize("image", ["team/image:2", "odd:1"])
def test_no_digest_is_made_up(image: str) -> None:
    with registry() as host, pytest.raises(ClusterError, match="digest"):
        pinned(f"{host}/{image}", "http")
    with pytest.raises(ClusterError, match="its registry tells no digest"):
        pinned("127.0.0.1:1/team/image:1", "http")


def test_dockerfiles_get_what_was_answered_and_keep_the_rest(tmp_path: Path) -> None:
    with registry() as host:
        files = [tmp_path / name for name in ("one", "two")]
        files[0].write_text(f"ARG BASE={host}/team/image:1\nFROM x\n")
        files[1].write_text(f"ARG BASE={host}/team/image:2\nFROM x\n")
        assert len(pin_bases(files, "http")) == 1
        # Again: the tag may have moved since.
        assert len(pin_bases(files, "http")) == 1
        assert files[0].read_text() == f"ARG BASE={host}/team/image:1@{DIGEST}\nFROM x\n"
        assert files[1].read_text() == f"ARG BASE={host}/team/image:2\nFROM x\n"

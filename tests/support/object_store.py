"""A store with the API of S3 on loopback, and one that refuses everything in the words of AWS."""

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import obstore
from obstore.store import S3Store

from cluster.tools import tool
from support.batch_process import free_port

BUCKET = "team-data"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
_START_SECONDS = 20.0


class ObjectStore(NamedTuple):
    """A running store with one bucket."""

    endpoint: str

    def client(self) -> S3Store:
        """A client of the bucket."""
        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
        )

    def put(self, key: str, content: bytes) -> None:
        """Makes an object."""
        obstore.put(self.client(), key, content)

    def get(self, key: str) -> bytes:
        """What an object holds."""
        return bytes(obstore.get(self.client(), key).bytes())

    def keys(self, prefix: str | None = None) -> list[str]:
        """The keys of all objects below a prefix."""
        return sorted(one["path"] for part in obstore.list(self.client(), prefix) for one in part)


@contextmanager
def serving(folder: Path, address: str = "127.0.0.1") -> Iterator[ObjectStore]:
    """Runs one at an address of this machine. Its objects lie in memory, its log in a folder."""
    port = free_port()
    command: list[str | Path] = [
        tool("gofakes3"),
        "-backend",
        "memory",
        "-host",
        f"{address}:{port}",
        "-initialbucket",
        BUCKET,
    ]
    with (folder / "store.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            store = ObjectStore(f"http://{address}:{port}")
            _wait(store)
            yield store
        finally:
            process.kill()


def _wait(store: ObjectStore) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            store.keys()
        except obstore.exceptions.BaseError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed, with its key, in one file."""
    path = folder / "tls.pem"
    subject = ["-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        *kind,
        *subject,
        "-keyout",
        path.with_suffix(".key"),
        "-out",
        path,
    ]
    subprocess.run(words, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".key").read_bytes())
    return path


@contextmanager
def answering(status: int, code: str, tls: Path | None = None) -> Iterator[str]:
    """The endpoint of a store that answers everything with one error; `tls`: by HTTPS, with this certificate."""

    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        def handle_one_request(self) -> None:
            """Whatever the method."""
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing to tell."""

    with _listening(Handler, tls) as endpoint:
        yield endpoint


@contextmanager
def asked() -> Iterator[tuple[str, list[str]]]:
    """The endpoint of something that gives nothing, and the requests that it gets."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        """Refuses a request."""

        def handle_one_request(self) -> None:
            """Whatever the method."""
            self.raw_requestline = self.rfile.readline(65537)
            self.close_connection = True
            if self.raw_requestline and self.parse_request():
                requests.append(self.requestline)
                self.send_error(403)

        def log_message(self, *_: Any) -> None:
            """Nothing to tell."""

    with _listening(Handler) as endpoint:
        yield endpoint, requests


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler], tls: Path | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

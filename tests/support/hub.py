"""A stand-in of the hub's HTTP API: as much as huggingface_hub asks of it to inspect a model.

`python hub.py MODELS.json PORT` serves models as a pod. Needs the standard library only.
Paths and headers: https://huggingface.co/docs/hub/api and huggingface_hub's own file_download.py.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "5206a32e0bd3067aef1ce90f5528ade7d866253f"
TOKEN = "hf_of_the_tests"
XET = "X-Xet-"


@dataclass
class Repository:
    """A model: its files by name, and who may read it."""

    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    status: int = 0
    """What to answer instead, as when the hub is overloaded."""
    moved_to: str = ""
    told: dict[str, bytes] = field(default_factory=dict)
    """Files of which something else is told than what is served."""
    hangs_after: int = 0
    """So many bytes of a file are sent, and no more until this is 0 again."""
    whole_only: bool = False
    """Whether it sends files from their start, whatever is asked for."""
    xet: dict[str, str] = field(default_factory=dict)
    """Files that are to be had of a Xet store, too, and their hashes there."""
    xet_store: str = ""


@dataclass
class Hub:
    """The models, the endpoint, and what was asked for."""

    endpoint: str
    repositories: dict[str, Repository]
    asked: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    """Bytes of each answer."""


def safetensors(**tensors: tuple[str, list[int], int]) -> bytes:
    """A safetensors file's header, for tensors of (dtype, shape, bytes), with the data left out."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@contextmanager
def hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """Serves the models on a free port of the loopback interface."""
    serving = Hub("", repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers(serving))
    serving.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answers(serving: Hub) -> type[BaseHTTPRequestHandler]:
    """The handler of requests."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            serving.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
            status, headers, body = respond(serving.repositories, self.path, self.headers.get("Authorization", ""))
            repository = next((one for name, one in serving.repositories.items() if name in self.path), Repository({}))
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if status == 200 and asked and not repository.whole_only:
                first, last = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
                status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(body)}"
                body = body[first : last + 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.send(body, repository)

        def send(self, body: bytes, repository: Repository) -> None:
            part = body[: repository.hangs_after or None]
            self.wfile.write(part)
            serving.sent.append(len(part))
            while repository.hangs_after and len(part) < len(body):
                time.sleep(0.02)

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests look at what was asked."""

    return Answers


Answer = tuple[int, dict[str, str], bytes]


def respond(repositories: dict[str, Repository], path: str, authorization: str) -> Answer:
    """Status, headers and body for a request."""
    found = re.fullmatch(
        r"(?P<api>/api/models)?/(?P<name>[^/]+/[^/]+)(/(revision|resolve)/(?P<revision>[^/]+))?(/(?P<file>.+))?",
        path.partition("?")[0],
    )
    if found is None:
        return 404, {}, b"{}"
    repository = repositories.get(found["name"])
    if refusal := _refusal(repository, authorization):
        return refusal
    assert repository
    if repository.moved_to:
        return 307, {"Location": path.replace(found["name"], repository.moved_to)}, b""
    if found["revision"] not in (None, "main", "v1", COMMIT):
        return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
    if found["api"]:
        return _api(found["name"], repository, found["file"])
    status, headers, body = _file(repository, found["file"])
    if stored := repository.xet.get(found["file"]):
        # The library puts its endpoint in place of the hub's own.
        renewal = f"https://huggingface.co/api/models/{found['name']}/xet-read-token/{COMMIT}"
        headers |= {f"{XET}Hash": stored, f"{XET}Refresh-Route": renewal}
    return status, headers, body


def _api(name: str, repository: Repository, what: str | None) -> Answer:
    if what and what.startswith("xet-read-token/"):
        token = {f"{XET}Access-Token": "token", f"{XET}Token-Expiration": "9999999999"}
        return 200, {f"{XET}Cas-Url": repository.xet_store, **token}, b"{}"
    return 200, {"Content-Type": "application/json"}, model_info(name, repository)


def _refusal(repository: Repository | None, authorization: str) -> Answer | None:
    if authorization not in ("", f"Bearer {TOKEN}"):
        return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b"{}"
    if repository is None or (repository.private and not authorization):
        return (404 if authorization else 401), {"X-Error-Code": "RepoNotFound"}, b"{}"
    return (repository.status, {}, b"{}") if repository.status else None


def _file(repository: Repository, name: str) -> Answer:
    if repository.gated:
        return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
    if name not in repository.files:
        return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"{}"
    body = repository.files[name]
    told = repository.told.get(name, body)
    return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{digest(name, told)}"', "Accept-Ranges": "bytes"}, body


def digest(name: str, body: bytes) -> str:
    """What the hub names a file's content: by SHA-256 in LFS, where weights are, else as git does."""
    return sha256(body).hexdigest() if _is_large(name) else _git(body)


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _git(body: bytes) -> str:
    return sha1(f"blob {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def model_info(name: str, repository: Repository) -> bytes:
    """What the hub tells of a model, and of each file."""
    siblings = []
    for file, body in repository.files.items():
        told = repository.told.get(file, body)
        sibling: dict[str, Any] = {"rfilename": file, "size": len(told), "blobId": _git(told)}
        if _is_large(file):
            sibling["lfs"] = {"sha256": sha256(told).hexdigest(), "size": len(told), "pointerSize": 135}
        siblings.append(sibling)
    return json.dumps({"_id": "1", "id": name, "sha": COMMIT, "siblings": siblings, "private": False}).encode()


def main(models: str, port: str) -> None:
    """Serves the models of a file, {name: {files: {name: latin-1 text}, gated, private, status, moved_to}}."""
    with open(models, encoding="utf-8") as file:
        described = json.load(file)
    repositories = {
        name: Repository(**{**model, "files": {key: text.encode("latin-1") for key, text in model["files"].items()}})
        for name, model in described.items()
    }
    serving = Hub("", repositories)

    class Loud(list[str]):
        def append(self, line: str) -> None:
            print(f"{line}\n", end="", flush=True)  # at once: threads write here

    serving.asked = Loud()
    ThreadingHTTPServer(("", int(port)), answers(serving)).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

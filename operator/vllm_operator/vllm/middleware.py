"""In front of vLLM's HTTP server, in its process: drains, asks every route for the key, notices an engine that hangs.

It is mounted into the pods as one file, with hangs.py before it (carried.py), and must work in any image with vLLM: it
needs the standard library, and vLLM's own prometheus_client. Run as a program it is the preStop hook:
python3 FILE PORT SECONDS [PAUSE]
"""

import asyncio
import hashlib
import hmac
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from .hangs import HANG_KILL_SECONDS, HANG_SECONDS, LIVENESS_SECONDS, Held, Watch, figures, leave

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Left by the preStop hook, with the time.monotonic() at which its pause is over. /tmp outlives a container that is
# restarted, so a new process takes it away.
MARK = Path("/tmp/draining")  # noqa: S108 - a volume of the container
# Kind/name/key of what the pod was given as environment, which does not change while it runs; the kubelet renews these.
CONFIGURATION = Path("/etc/vllm/configuration")
# Keys that clients may send, a file each, which the kubelet renews too: what is put there counts at once, and what is
# taken away no more. Where the folder is, a key is needed, also while it is empty.
API_KEYS = Path("/etc/vllm/api-keys")
KEYS_SECONDS = 1.0  # between two looks at them
# Beside this file: the uid of the service, which whoever reaches only the port does not know.
UID_FILE = Path(__file__).with_name("service-uid")
READY, STATE = "/-/ready", "/-/state"
# What probes and Prometheus ask; all else wants the key. vLLM guards some prefixes only, and not /invocations.
OPEN = frozenset({"/health", "/ping", "/metrics", "/version", "/load", READY, STATE})
# What manages vLLM itself, as paths end. Versions differ in which of them are there always: with one request, also of a
# client that has the key, the server would answer nobody else any more. Routes fit exactly but for a prefix.
CLOSED = (
    *("/scale_elastic_ep", "/is_scaling_elastic_ep", "/fault_tolerance/apply", "/fault_tolerance/status"),
    *("/pause", "/resume", "/is_paused", "/sleep", "/wake_up", "/is_sleeping", "/release_kv_cache_memory"),
    *("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache", "/collective_rpc", "/server_info"),
    *("/start_profile", "/stop_profile", "/abort_requests", "/get_world_size", "/weight_info", "/weight_checker"),
    *("/init_weight_transfer_engine", "/shutdown_weight_transfer_engine", "/update_weights", "/update_weight_version"),
    *("/start_weight_update", "/start_draft_weight_update", "/finish_weight_update"),
)
# A pod's last words, as hangs.HUNG is, of a key that would open the service to everybody, and of one that would open it
# to nobody.
NO_KEY = "vllm-operator: the API key is empty"
UNSENT_KEY = "vllm-operator: the API key has a line end in it or a blank around it, which no client sends"
NO_KEYS = "vllm-operator: none of the API keys is there"
# And a running pod that hangs by this: the kubelet tells of an answer the status alone; vLLM never gives this one.
HUNG_STATUS = 504
# Endpoints learn of a pod's end within seconds, where nothing else is said; until then it takes requests as ever.
PAUSE_SECONDS = 10.0
# After it, a WebSocket over which nobody has said anything for so long is closed, where its client waits for no answer:
# that one connects to another pod.
SILENCE_SECONDS, LOOK_SECONDS = 30.0, 2.0
SERVICE_RESTART = 1012  # a code of RFC 6455's registry


class Middleware:
    """The ASGI middleware; vLLM makes one, when it starts to listen."""

    def __init__(self, app: App) -> None:
        self.app = app
        key = os.environ.get("VLLM_API_KEY")
        if key is not None and (fault := _fault(key)):
            _end(fault)
        self.guarded = bool(key) or API_KEYS.is_dir()
        self.keys = [_digest(key.encode())] if key else _api_keys()
        if self.guarded and not self.keys:
            _end(NO_KEYS)
        self.renewed = self.guarded and not key
        self.looked_at = time.monotonic()
        self.started_with = _configuration()
        self.uid = UID_FILE.read_text().strip() if UID_FILE.is_file() else ""
        self.requests = self.waiting = self.sockets = self.arrived = 0
        self.last_end = time.monotonic()
        self.watch, self.held = Watch(), Held()
        MARK.unlink(missing_ok=True)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path.rstrip("/").endswith(CLOSED):
            await _refuse(scope, send, 403, "Forbidden")
        elif not (path in OPEN or scope.get("method") == "OPTIONS" or self._has_key(scope)):
            await _refuse(scope, send, 401, "Unauthorized")
        elif path in OPEN:
            await self._probe(path, scope, receive, _closing(send))
        else:
            socket = scope["type"] == "websocket"
            self.requests, self.sockets = self.requests + 1, self.sockets + socket
            try:
                await self._serve(scope, *(_hanging_up(receive, send) if socket else (receive, _closing(send))))
            finally:
                self.requests, self.sockets = self.requests - 1, self.sockets - socket
                self.last_end = time.monotonic()

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        """Counts what waits for vLLM: a request from its last byte on, except while its client takes what is sent.

        It is asked for where vLLM does not tell what its engines have: it counts what vLLM fetches media for, too.
        """
        since: float | None = None
        arrived = False  # to its last byte: before that, no engine has anything of it

        def wait(waits: bool) -> None:
            nonlocal since
            self.waiting += waits - (since is not None)
            since = time.monotonic() if waits else None

        async def receiving() -> Message:
            nonlocal arrived
            message = await receive()
            whole = message["type"] == "http.request" and not message.get("more_body")
            self.arrived += whole and not arrived
            arrived = arrived or whole
            wait(whole)  # what vLLM sends after its client has gone is no answer
            return message

        async def sending(message: Message) -> None:
            if message.get("body", b"").startswith(b":"):  # a comment (--sse-keep-alive-interval) is no answer
                await send(message)
                return
            long = since is not None and time.monotonic() - since >= HANG_SECONDS
            # Where vLLM tells, an answer of an engine shows as a step, and any other is no sign of it.
            if long and self.held.of_all(scope.get("app")) is None:
                self.watch.came()
            wait(False)
            await send(message)
            wait(message["type"] == "http.response.start" or bool(message.get("more_body")))

        try:
            await self.app(scope, receiving, sending)
        finally:
            wait(False)
            self.arrived -= arrived
            if not self.arrived:
                self.held.forget(scope.get("app"))

    async def _probe(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        seconds = self._stalled(scope.get("app")) if path in (READY, STATE, "/health") else 0.0
        if path == STATE:
            # Of a pod that is being deleted, the kubelet asks for no liveness: the preStop hook asks for this.
            if _draining() and seconds >= HANG_KILL_SECONDS + LIVENESS_SECONDS:
                _end(self.watch.hang)
            await _answer(send, 200, json.dumps(self.state()), b"application/json")
        elif path == READY and _draining():
            await _answer(send, 503, "draining")
        elif seconds >= (HANG_SECONDS if path == READY else HANG_KILL_SECONDS):
            await _answer(send, HUNG_STATUS, self.watch.hang)
        else:
            inner = {**scope, "path": "/health", "raw_path": b"/health"} if path == READY else scope
            await self.app(inner, receive, send)

    def state(self) -> dict[str, Any]:
        """For the preStop hook and the operator; holds no content of anything, and no name. Anybody may ask for it."""
        before, now = self.started_with, _configuration()
        changed = [path for path in before.keys() | now.keys() if before.get(path) != now.get(path)]
        return {
            "draining": _draining(),
            "requests": self.requests,
            "quietSeconds": round(time.monotonic() - self.last_end, 1) if not self.requests else 0.0,
            "stale": sorted({hidden(self.uid, path.rpartition("/")[0]) for path in changed} - {""}),
            "hang": self.watch.hang,
        }

    def _has_key(self, scope: Message) -> bool:
        if not self.guarded:
            return True
        if self.renewed and time.monotonic() - self.looked_at >= KEYS_SECONDS:
            with suppress(OSError):  # others take their place just now: those known hold until the next request
                self.keys, self.looked_at = _api_keys(), time.monotonic()
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        # Digests of one length, and all of them: comparing takes as long whatever differs.
        fitting = [hmac.compare_digest(_digest(token), key) for key in self.keys]
        return any(fitting) and scheme.lower() == b"bearer"

    def _stalled(self, app: Any) -> float:
        """Seconds for which an engine has had requests and made no step: the one that has stood still longest."""
        seen, deferred = figures(), self.watch.deferred()
        # What comes in over a WebSocket is with an engine while its client says nothing, and waits for no step.
        held = [] if self.sockets else self.held.of_each(app)
        if len(held) == len(seen) > 1:
            waiting = {engine: count - deferred.get(engine, 0) for engine, count in zip(seen, held, strict=True)}
        else:  # with several engines, it is not known whose they are as long as one runs any
            whose = len(seen) == 1 or not any(running for running, *_ in seen.values())
            told = self.held.of_all(app)
            count = (self.waiting if told is None else told) - sum(deferred.values())
            waiting = dict.fromkeys(seen, count if whose else 0)
        return self.watch.stalled(seen, waiting)


def hidden(uid: str, name: str) -> str:
    """What stands for a name of a Secret or ConfigMap where anybody may read it; empty without the service's uid.

    Who knows the uid, which is random, can tell of which name it is. Else it cannot be found by trying names.
    """
    return hmac.new(uid.encode(), name.encode(), hashlib.sha256).hexdigest() if uid else ""


def _end(words: str) -> NoReturn:
    """Ends vLLM, and with it the container, at once. An exception would not: uvicorn goes on after one."""
    leave(words)
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
    os._exit(1)


def _draining() -> bool:
    return MARK.exists()


def _pause_over() -> float | None:
    """The time.monotonic() from which a pod that drains waits for its clients; None where it does not drain."""
    with suppress(OSError, ValueError):
        return float(MARK.read_text())
    return None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _fault(key: str) -> str:
    """What is wrong with the one key, which vLLM compares as it is; empty where a header can say it."""
    if not key.strip():
        return NO_KEY
    return "" if key == key.strip() and key.isprintable() else UNSENT_KEY


def _api_keys() -> list[bytes]:
    """A digest of each key that is there and not empty. Raises OSError where one goes while it is read."""
    paths = [path for path in API_KEYS.glob("*/*") if not path.parent.name.startswith("..")]  # the kubelet's own
    return [_digest(key) for key in (path.read_bytes().strip() for path in paths) if key]


def _configuration() -> dict[str, bytes]:
    """A digest of each value in a Secret or ConfigMap, by kind/name/key."""
    # Beside these the kubelet has folders of its own, ..data and one for each version.
    found = [path for kind in ("Secret", "ConfigMap") for path in CONFIGURATION.glob(f"{kind}/*/*")]
    return {str(path.relative_to(CONFIGURATION)): _digest(path.read_bytes()) for path in found if path.is_file()}


def _closing(send: Send) -> Send:
    """While the pod drains, every answer asks the client to use another connection: that leads to another pod."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and _draining():
            headers = [header for header in message.get("headers", ()) if header[0].lower() != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return sending


def _hanging_up(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """A WebSocket that would else hold the pod's end for as long as its client likes, without a word.

    One whose client spoke last waits for vLLM, which may take its time: it has that of the drain.
    """
    said, waits, closed = time.monotonic(), False, False

    async def receiving() -> Message:
        nonlocal said, waits, closed
        coming = asyncio.ensure_future(receive())
        try:
            while not (await asyncio.wait([coming], timeout=LOOK_SECONDS))[0]:
                over = _pause_over()
                if over is not None and not waits and time.monotonic() - max(over, said) >= SILENCE_SECONDS:
                    closed = True
                    await send({"type": "websocket.close", "code": SERVICE_RESTART})
                    return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
        finally:
            coming.cancel()
        message = coming.result()
        said, waits = time.monotonic(), waits or _is_answered(message)
        return message

    async def sending(message: Message) -> None:
        nonlocal said, waits
        said, waits = time.monotonic(), False
        if not closed:  # what vLLM still says has nobody to hear it
            await send(message)

    return receiving, sending


def _is_answered(message: Message) -> bool:
    """Whether vLLM answers what a WebSocket's client says. A model that it has it takes without a word."""
    # RealtimeConnection.handle_event, vLLM 0.32.
    return message["type"] == "websocket.receive" and "session.update" not in (message.get("text") or "")


async def _answer(send: Send, status: int, text: str, kind: bytes = b"text/plain") -> None:
    body = text.encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Message, send: Send, status: int, error: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(_closing(send), status, json.dumps({"error": error}), b"application/json")


def drain(port: int, seconds: float, pause: float = PAUSE_SECONDS) -> None:
    """Returns when no request runs and no kept-alive connection can be open any more, or when the time is up.

    That begins after a pause, in which requests come as ever.
    A stream that began before the pause ends without `Connection: close`: its connection is waited for as well.
    Where vLLM does not listen (any more), there is nothing to wait for, and its processes are ended.
    """
    # uvicorn closes a connection that is idle for so long.
    quiet = float(os.environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "5")) + 1
    start = time.monotonic()
    MARK.write_text(str(start + pause))
    while (elapsed := time.monotonic() - start) < pause + seconds:
        try:
            state = _ask(port)
        except ConnectionRefusedError:
            if not _end_loading():
                return
            state = None
        except (OSError, http.client.HTTPException, ValueError):
            state = None  # too busy to answer
        if state and elapsed >= pause and not state["requests"] and state["quietSeconds"] >= quiet:
            return
        time.sleep(0.5)


def _end_loading() -> bool:
    """Ends vLLM while it loads its model; False where this is not a container of vLLM's.

    vLLM ignores SIGTERM until it listens, and SIGKILL does not reach the first process of a container from inside:
    but without the others, which hold the GPUs, it gives up.
    """
    if b"vllm" not in Path("/proc/1/cmdline").read_bytes().lower():
        return False
    for process in Path("/proc").glob("[0-9]*"):
        if process.name not in ("1", str(os.getpid())):
            with suppress(OSError):
                os.kill(int(process.name), signal.SIGKILL)
    return True


def _ask(port: int) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)  # no proxy, whatever the environment says
    try:
        connection.request("GET", STATE)
        return json.load(connection.getresponse())
    finally:
        connection.close()


if __name__ == "__main__":
    drain(int(sys.argv[1]), *map(float, sys.argv[2:]))

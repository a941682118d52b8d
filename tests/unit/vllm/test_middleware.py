"""The middleware of vLLM's pods: what it answers itself, what it lets through, what it adds."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY, Gauge, Histogram

from cluster.host import REPOSITORY
from vllm_operator.vllm import hangs, middleware
from vllm_operator.vllm.carried import middleware_text
from vllm_operator.vllm.middleware import Message, Middleware, Receive, Send, hidden

KEY = "sk-one"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The places in the pod, in a folder of the test."""
    monkeypatch.setattr(middleware, "MARK", tmp_path / "draining")
    monkeypatch.setattr(middleware, "CONFIGURATION", tmp_path / "configuration")
    monkeypatch.setattr(middleware, "API_KEYS", tmp_path / "api-keys")
    monkeypatch.setattr(hangs, "TERMINATION_MESSAGE", tmp_path / "termination-log")
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    return tmp_path


async def vllm(scope: Message, receive: Receive, send: Send) -> None:
    """Stands for the application behind: answers with the path that it is asked for."""
    headers = [(b"content-type", b"text/plain"), (b"connection", b"keep-alive")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def ask(
    middleware: Middleware, path: str, method: str = "GET", app: object = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer. `app`: what Starlette says the application is."""
    sent: list[Any] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: Message = {"type": "http", "method": method, "path": path, "headers": pairs, "app": app}
    asyncio.run(middleware(scope, receive, send))
    start, body = sent
    return start["status"], body["body"].decode(), {k.decode(): v.decode() for k, v in start["headers"]}


def test_without_a_key_all_is_let_through() -> None:
    app = Middleware(vllm)
    assert ask(app, "/invocations", "POST")[:2] == (200, "/invocations")
    assert ask(app, "/v1/models")[0] == 200


def test_with_a_key_all_but_probes_and_metrics_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    app = Middleware(vllm)
    for path in (
        "/invocations",
        "/pooling",
        "/v1/models",
        "/tokenize",
        "//health",
        "/health/../score",
        "/openapi.json",
    ):
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}, {"authorization": KEY}):
            status, text, _ = ask(app, path, "POST", **given)
            assert (status, json.loads(text)) == (401, {"error": "Unauthorized"}), (path, given)
        assert ask(app, path, "POST", authorization=f"bearer {KEY}")[0] == 200
    for path in ("/health", "/metrics", "/version", "/ping", "/-/ready", "/-/state"):
        assert ask(app, path)[0] == 200, path
    assert ask(app, "/invocations", "OPTIONS")[0] == 200  # a browser asks so before it sends the key


@pytest.mark.parametrize("before", ["", "/", "/prefix"])
@pytest.mark.parametrize("after", ["", "/"])
def test_what_manages_the_server_is_closed_also_to_who_has_the_key(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ({}, {"authorization": f"Bearer {KEY}"}):
        if given:
            monkeypatch.setenv("VLLM_API_KEY", KEY)
        app = Middleware(vllm)
        for path in ("/scale_elastic_ep", "/pause", "/collective_rpc", "/fault_tolerance/apply"):
            for method in ("POST", "GET", "OPTIONS"):
                assert ask(app, f"{before}{path}{after}", method, **given)[0] == 403, path
        assert ask(app, "/v1/responses/resp_1/cancel", "POST", **given)[0] == 200
        assert ask(app, "/v1/models", **given)[0] == 200


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", middleware.NO_KEY),
        ("\n", middleware.NO_KEY),
        (" ", middleware.NO_KEY),
        (f"{KEY}\n", middleware.UNSENT_KEY),
        (f"{KEY}\r\n", middleware.UNSENT_KEY),
        (f" {KEY}", middleware.UNSENT_KEY),
        (f"{KEY}\nsk-other", middleware.UNSENT_KEY),
        (f"\ufeff{KEY}", middleware.UNSENT_KEY),
    ],
)
def test_a_key_that_opens_to_all_or_to_none_ends_vllm_before_it_answers_anybody(
    key: str, said: str, files: Path
) -> None:
    """In a process of its own, with what uvicorn makes of an exception: it goes on."""
    code = (
        "import sys; from pathlib import Path; from vllm_operator.vllm import hangs, middleware\n"
        "hangs.TERMINATION_MESSAGE = Path(sys.argv[1])\n"
        "try:\n    middleware.Middleware(None)\nexcept BaseException:\n    pass\n"
        "print('listening')"
    )
    words = files / "termination-log"
    environment = {"PYTHONPATH": str(REPOSITORY / "operator"), "VLLM_API_KEY": key}
    command = [sys.executable, "-c", code, str(words)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.strip() == words.read_text() == said


@pytest.mark.parametrize("key", [KEY, "sk a", "schlüssel", "a.b_c-d/e+f=~"])
def test_a_key_that_a_client_can_send_opens(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", key)
    assert ask(Middleware(vllm), "/v1/models", authorization=f"Bearer {key}")[0] == 200


def put(folder: Path, version: str, keys: dict[str, str]) -> None:
    """What the kubelet makes of Secrets: a folder for each version, one link to the newest, and links through it."""
    made = folder / f"..{version}"
    for path, key in keys.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(key)
    made.mkdir(parents=True, exist_ok=True)
    (folder / "..next").symlink_to(made.name)
    (folder / "..next").replace(folder / "..data")
    for name in {path.partition("/")[0] for path in keys} - {entry.name for entry in folder.iterdir()}:
        (folder / name).symlink_to(f"..data/{name}")


def test_each_of_several_keys_opens_and_a_change_counts_without_a_restart(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    put(files / "api-keys", "1", {"team-a/key": "sk-a\n", "team-b/old": "sk-old", "team-b/new": " "})
    app = Middleware(vllm)

    def opens(key: str) -> bool:
        return ask(app, "/v1/models", authorization=f"Bearer {key}")[0] == 200

    assert opens("sk-a")
    assert opens("sk-old")
    assert not opens("sk-new")
    assert not opens("")
    assert ask(app, "/v1/models")[0] == 401
    assert ask(app, "/metrics")[0] == 200
    put(files / "api-keys", "2", {"team-a/key": "sk-a", "team-b/old": "sk-old", "team-b/new": "sk-new"})
    assert not opens("sk-new")
    now[0] += middleware.KEYS_SECONDS
    assert opens("sk-new")
    assert opens("sk-old")
    put(files / "api-keys", "3", {})  # the Secrets are gone: nobody comes in, rather than everybody
    now[0] += middleware.KEYS_SECONDS
    assert not any(map(opens, ("sk-a", "sk-old", "sk-new", "")))
    assert ask(app, "/-/state")[0] == 200


def test_a_key_that_cannot_be_read_for_a_moment_shuts_nobody_out(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    put(files / "api-keys", "1", {"team-a/key": "sk-a"})
    app = Middleware(vllm)
    (files / "api-keys" / "..1" / "team-a" / "key").unlink()
    (files / "api-keys" / "..1" / "team-a" / "key").symlink_to("nowhere")
    now[0] += middleware.KEYS_SECONDS
    assert ask(app, "/v1/models", authorization="Bearer sk-a")[0] == 200


@pytest.mark.parametrize("keys", [{}, {"team-a/key": "\n"}])
def test_without_any_of_its_keys_vllm_ends(keys: dict[str, str], files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def end(code: int) -> None:
        ended.append(code)
        raise SystemExit

    monkeypatch.setattr("os._exit", end)
    put(files / "api-keys", "1", keys)
    with pytest.raises(SystemExit):
        Middleware(vllm)
    assert ended == [1]
    assert (files / "termination-log").read_text() == middleware.NO_KEYS


def test_a_draining_pod_is_not_ready_and_asks_clients_to_leave() -> None:
    app = Middleware(vllm)
    assert ask(app, "/-/ready")[:2] == (200, "/health")
    assert ask(app, "/v1/models")[2]["connection"] == "keep-alive"
    middleware.MARK.touch()
    assert ask(app, "/-/ready")[:2] == (503, "draining")
    assert ask(app, "/health")[0] == 200
    status, text, headers = ask(app, "/v1/models")
    assert (status, text, headers["connection"]) == (200, "/v1/models", "close")
    assert json.loads(ask(app, "/-/state")[1])["draining"] is True


def test_a_restarted_container_does_not_drain() -> None:
    middleware.MARK.touch()
    assert ask(Middleware(vllm), "/-/ready")[0] == 200


@pytest.fixture
def engine() -> Iterator[tuple[Gauge, Histogram]]:
    """vLLM's metrics that tell of running requests and of steps."""
    running = Gauge("vllm:num_requests_running", "", ["engine"])
    steps = Histogram("vllm:iteration_tokens_total", "", ["engine"])
    yield running, steps
    REGISTRY.unregister(running)
    REGISTRY.unregister(steps)


def test_an_engine_that_makes_no_step_hangs(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    running, steps = engine[0].labels("0"), engine[1].labels("0")
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    app = Middleware(vllm)

    def healthy_after(seconds: float) -> bool:
        now[0] += seconds
        return ask(app, "/health")[0] == 200

    assert healthy_after(0)
    assert healthy_after(300)  # idle
    running.set(2)
    assert healthy_after(300)  # the first look at these
    assert healthy_after(34)
    steps.observe(8)
    assert healthy_after(34)
    assert healthy_after(35)
    status, text, _ = ask(app, "/-/ready")
    assert (status, text) == (504, "vllm-operator: engine hung: 2 requests waited, no step for 35 s")
    assert (files / "termination-log").read_text() == text
    assert healthy_after(84)
    assert not healthy_after(1)
    assert (files / "termination-log").read_text().endswith("no step for 120 s")
    steps.observe(8)
    assert healthy_after(1)
    assert ask(app, "/-/ready")[0] == 200
    assert (files / "termination-log").read_text() == ""


def test_a_pod_that_is_deleted_ends_once_its_engine_has_hung_for_as_long_as_liveness_would_wait(
    engine: tuple[Gauge, Histogram], now: list[float], monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    """The hook asks for /-/state until nothing runs; nobody asks for /health then."""
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    running = engine[0].labels("0")
    app = Middleware(vllm)
    running.set(3)

    def hang_after(seconds: float) -> str:
        now[0] += seconds
        return str(json.loads(ask(app, "/-/state")[1])["hang"])

    assert hang_after(0) == ""
    middleware.MARK.touch()
    assert hang_after(119).endswith("3 requests waited, no step for 35 s")
    assert hang_after(30).endswith("no step for 120 s")
    engine[1].labels("0").observe(8)
    assert hang_after(1) == ""
    assert hang_after(149)
    middleware.MARK.unlink()
    assert hang_after(1).endswith("no step for 120 s")
    assert ended == []  # a pod that stays, liveness ends
    middleware.MARK.touch()
    hang_after(0)
    assert ended == [1]
    assert (files / "termination-log").read_text().endswith("no step for 120 s")


def test_a_hang_is_told_also_where_no_last_words_can_be_left(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    monkeypatch.setattr(hangs, "TERMINATION_MESSAGE", files / "missing" / "termination-log")
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    app = Middleware(vllm)
    engine[0].labels("0").set(1)
    assert ask(app, "/-/ready")[0] == 200
    now[0] += 35
    assert ask(app, "/-/ready")[0] == 504


def in_two(monkeypatch: pytest.MonkeyPatch, files: Path) -> tuple[Middleware, list[float], SimpleNamespace]:
    """The middleware of a pod with two engines, its clock, and the application, which knows whose each request is."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    client = SimpleNamespace(core_engines=[b"\0\0", b"\1\0"], engine_inflight=Counter[bytes]())
    state = SimpleNamespace(engine_client=SimpleNamespace(engine_core=client))
    return Middleware(vllm), now, SimpleNamespace(state=state)


def test_one_of_two_engines_that_hangs_is_named_while_the_other_serves(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    app, now, vllms = in_two(monkeypatch, files)
    in_flight = vllms.state.engine_client.engine_core.engine_inflight
    running, steps = engine
    for number in "01":
        running.labels(number).set(0)

    def ready_after(seconds: float) -> tuple[int, str]:
        now[0] += seconds
        steps.labels("0").observe(8)  # the other one serves on
        return ask(app, "/-/ready", app=vllms)[:2]

    assert ready_after(0)[0] == 200
    assert ready_after(300)[0] == 200  # an engine without requests makes no steps
    in_flight.update({b"\0\0": 5, b"\1\0": 3})  # it never tells of these as running
    assert ready_after(34)[0] == 200
    status, text = ready_after(1)
    assert (status, text) == (504, "vllm-operator: engine hung: engine 1 of 2: 3 requests waited, no step for 35 s")
    in_flight[b"\1\0"] = 0
    assert ready_after(1)[0] == 504  # its clients gave up, and it hangs all the same
    assert ask(app, "/health", app=vllms)[0] == 200
    assert ready_after(84)[0] == 504
    assert ask(app, "/health", app=vllms)[0] == 504
    steps.labels("1").observe(8)
    assert ready_after(1)[0] == 200
    assert ready_after(300)[0] == 200


def test_a_client_that_says_nothing_over_a_websocket_is_no_hang(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    _, now, vllms = in_two(monkeypatch, files)
    engine[0].labels("0").set(0)
    engine[0].labels("1").set(0)
    vllms.state.engine_client.engine_core.engine_inflight[b"\1\0"] = 1
    statuses: list[int] = []

    async def note(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async def silent(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await asyncio.Event().wait()
        await vllm(scope, receive, send)

    async def talk() -> None:
        app = Middleware(silent)
        spoken = asyncio.ensure_future(app({"type": "websocket", "path": "/v1/realtime", "headers": []}, never, note))
        probe: Message = {"type": "http", "method": "GET", "path": "/-/ready", "headers": [], "app": vllms}
        for seconds in (0, 300, 300):
            await asyncio.sleep(0)
            now[0] += seconds
            await app(probe, never, note)
        spoken.cancel()
        await asyncio.wait([spoken])
        assert (app.sockets, app.requests) == (0, 0)

    async def never() -> Message:
        return {"type": "http.request"}

    asyncio.run(talk())
    assert statuses == [200, 200, 200]


def test_without_knowing_whose_requests_are_an_engine_that_runs_some_is_watched(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    app, now, _ = in_two(monkeypatch, files)
    running, steps = engine
    running.labels("0").set(0)
    running.labels("1").set(2)

    def ready_after(seconds: float) -> int:
        now[0] += seconds
        steps.labels("0").observe(8)
        return ask(app, "/-/ready")[0]

    assert [ready_after(0), ready_after(34), ready_after(1)] == [200, 200, 504]


class Request:
    """A request in two parts that is answered in two parts, and that stays where it is told to."""

    def __init__(self, stays: str) -> None:
        self.stays, self.go = stays, asyncio.Event()
        self.parts: list[Message] = [{"type": "http.request", "more_body": more} for more in (True, False)]

    async def at(self, place: str) -> None:
        if place == self.stays:
            await self.go.wait()

    async def receive(self) -> Message:
        if len(self.parts) == 1:
            await self.at("upload")
        return self.parts.pop(0)

    def give_up(self) -> None:
        """The client goes away; vLLM notices it, and answers all the same."""
        self.parts.append({"type": "http.disconnect"})
        self.go.set()

    async def send(self, message: Message) -> None:
        if message.get("more_body"):
            await self.at("read slowly")

    async def answer(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/health":
            await vllm(scope, receive, send)
            return
        while (await receive())["more_body"]:
            pass
        await self.at("wait for the engine")
        if self.parts:
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await self.at("wait for more")
        await send({"type": "http.response.body", "body": b""})


async def probed(
    doing: str,
    monkeypatch: pytest.MonkeyPatch,
    then: Callable[[Request, asyncio.Future[None]], object] | None = None,
) -> list[int]:
    """What readiness is answered when a request comes to where it stays, 35 s later, and after what happens then."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    statuses: list[int] = []

    async def note(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    request = Request(doing)
    app = Middleware(request.answer)
    scope: Message = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    sent = asyncio.ensure_future(app(scope, request.receive, request.send))

    async def probe(seconds: int) -> None:
        await asyncio.sleep(0)
        now[0] += seconds
        await app({**scope, "path": "/-/ready"}, request.receive, note)

    await probe(0)
    await probe(35)
    if then:
        then(request, sent)
        await probe(1)
    sent.cancel()
    await asyncio.wait([sent])
    assert app.waiting == 0
    return statuses


@pytest.mark.parametrize(
    ("doing", "ready"),
    [("wait for the engine", 504), ("wait for more", 504), ("upload", 200), ("read slowly", 200), ("end", 200)],
)
def test_a_request_that_the_engine_never_takes_up_is_a_hang_and_a_slow_client_is_none(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch, doing: str, ready: int
) -> None:
    engine[0].labels("0").set(0)  # the engine has not told of it
    assert asyncio.run(probed(doing, monkeypatch)) == [200, ready]


def test_an_answer_ends_a_hang_and_a_client_that_gives_up_does_not(
    engine: tuple[Gauge, Histogram], monkeypatch: pytest.MonkeyPatch
) -> None:
    doing, steps = "wait for the engine", engine[1].labels("0")
    for then, ready in (
        (lambda request, _: request.go.set(), 200),
        (lambda request, _: request.give_up(), 504),
        (lambda _, sent: sent.cancel(), 504),
        (lambda _, __: steps.observe(8), 200),
    ):
        assert asyncio.run(probed(doing, monkeypatch, then)) == [200, 504, ready]


class Engines:
    """A vLLM that fetches the media of a request, or fails to, and has its last engine answer when that makes a step.

    As vLLM's: a request whose client leaves is forgotten at once, and who balances engines hears of it from them.
    """

    def __init__(self, count: int, now: list[float]) -> None:
        self.now, self.fetched, self.stepped = now, asyncio.Event(), asyncio.Event()
        self.states: dict[str, object] = {}
        self.last = bytes([count - 1, 0])
        core = SimpleNamespace(core_engines=[bytes([number, 0]) for number in range(count)])
        if count > 1:
            core.engine_inflight = self.in_flight = Counter[bytes]()
            core.reqs_in_flight = self.owners = dict[str, bytes]()
        client = SimpleNamespace(engine_core=core, output_processor=SimpleNamespace(request_states=self.states))
        self.app = SimpleNamespace(state=SimpleNamespace(engine_client=client))
        self.middleware = Middleware(self.answer)
        self.number = count

    async def answer(self, scope: Message, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/fails":
            await self.fetched.wait()
        elif scope["path"] == "/odd":
            self.leak(scope["path"])
        elif scope["path"] == "/stream":
            self.send = send
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await self.step(scope["path"])
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
            return
        elif scope["path"] != "/health":
            await self.fetched.wait()
            await self.step(scope["path"])
        await vllm(scope, receive, send)

    async def step(self, name: str) -> None:
        self.states[name] = SimpleNamespace()
        if self.number > 1:
            self.in_flight[self.last] += 1
        try:
            await self.stepped.wait()
        finally:
            del self.states[name]

    def leak(self, name: str) -> None:
        """What vLLM cannot write down for its engine it forgets nowhere, and answers with 500."""
        self.states[name] = SimpleNamespace()
        if self.number > 1:
            self.owners[name] = self.last
            self.in_flight[self.last] += 1

    async def comment(self) -> None:
        """What vLLM sends for the request while the engine says nothing."""
        await self.send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})

    def ask(self, path: str, statuses: list[int]) -> asyncio.Future[None]:
        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        scope: Message = {"type": "http", "method": "POST", "path": path, "headers": [], "app": self.app}
        return asyncio.ensure_future(self.middleware(scope, receive, send))

    def open(self, kind: str) -> asyncio.Future[None]:
        """A WebSocket over which nobody says anything, or a request whose last byte does not come."""
        parts = [{"type": "http.request", "more_body": True}] if kind == "http" else []

        async def receive() -> Message:
            return parts.pop() if parts else await asyncio.Future[Message]()

        async def send(message: Message) -> None:
            raise AssertionError(message)

        scope: Message = {"type": kind, "method": "POST", "path": "/v1/realtime", "headers": [], "app": self.app}
        return asyncio.ensure_future(self.middleware(scope, receive, send))

    async def probes(self, *after: int) -> list[tuple[int, int]]:
        """What readiness and liveness are answered after so many seconds each."""
        answers = []
        for seconds in after:
            for _ in range(3):
                await asyncio.sleep(0)
            self.now[0] += seconds
            statuses: list[int] = []
            for path in ("/-/ready", "/health"):
                await self.ask(path, statuses)
            ready, live = statuses
            answers.append((ready, live))
        return answers


WELL, UNREADY, DEAD = (200, 200), (504, 200), (504, 504)


@pytest.fixture(params=[1, 2])
def count(request: pytest.FixtureRequest, engine: tuple[Gauge, Histogram]) -> int:
    """Of engines, none of which has told of a request."""
    number: int = request.param
    for name in range(number):
        engine[0].labels(str(name)).set(0)
    return number


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, which the test moves."""
    seconds = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    return seconds


async def left(*requests: asyncio.Future[None]) -> None:
    """Their clients go away."""
    for request in requests:
        request.cancel()
    await asyncio.wait(requests)


def test_a_request_whose_media_vllm_fetches_is_no_hang_also_once_its_client_has_left(
    count: int, now: list[float]
) -> None:
    async def fetch() -> None:
        engines = Engines(count, now)
        fetching = engines.ask("/v1/chat/completions", [])
        assert await engines.probes(0, 34, 1, 85, 500) == [WELL] * 5
        await left(fetching)
        assert await engines.probes(0, 35, 85) == [WELL] * 3

    asyncio.run(fetch())


def test_an_engine_hangs_from_when_it_has_the_request_also_once_its_client_has_left(
    count: int, now: list[float], engine: tuple[Gauge, Histogram]
) -> None:
    async def hang() -> None:
        engines = Engines(count, now)
        asked = engines.ask("/v1/chat/completions", [])
        assert await engines.probes(0, 100) == [WELL] * 2
        engines.fetched.set()
        assert await engines.probes(0, 34, 1) == [WELL, WELL, UNREADY]
        await left(asked)
        assert await engines.probes(84, 1) == [UNREADY, DEAD]
        engine[1].labels(str(count - 1)).observe(8)
        if count > 1:
            engines.in_flight.clear()
        assert await engines.probes(1, 300) == [WELL] * 2

    asyncio.run(hang())


def test_a_request_that_vllm_forgets_to_take_away_is_no_hang_and_hides_none(
    count: int, now: list[float], engine: tuple[Gauge, Histogram]
) -> None:
    async def leak() -> None:
        engines = Engines(count, now)
        await engines.ask("/odd", [])
        assert await engines.probes(0, 35, 85) == [WELL] * 3
        # Another one while a request is open: that one's steps show that the engine is well, until it ends as well.
        asked = engines.ask("/v1/chat/completions", [])
        engines.fetched.set()
        assert await engines.probes(0, 34) == [WELL] * 2
        engines.leak("/odd, too")
        engine[1].labels(str(count - 1)).observe(8)
        engines.stepped.set()
        await asked
        if count > 1:
            engines.in_flight[engines.last] -= 1
        assert await engines.probes(1, 300) == [WELL] * 2
        # A hang beside them is one, also once its client has left.
        engines.stepped.clear()
        asked = engines.ask("/v1/completions", [])
        assert await engines.probes(0, 34, 1) == [WELL, WELL, UNREADY]
        await left(asked)
        assert await engines.probes(84, 1) == [UNREADY, DEAD]

    asyncio.run(leak())


@pytest.mark.parametrize("beside", [["websocket"], ["http"], ["websocket", "http"]])
def test_a_request_that_vllm_forgets_to_take_away_is_no_hang_beside_what_no_engine_has(
    count: int, now: list[float], beside: list[str]
) -> None:
    async def leak() -> None:
        engines = Engines(count, now)
        opened = [engines.open(kind) for kind in beside]
        await asyncio.sleep(0)
        await engines.ask("/odd", [])
        assert await engines.probes(0, 35, 85) == [WELL] * 3
        # A hang beside them is one.
        engines.fetched.set()
        asked = engines.ask("/v1/completions", [])
        assert await engines.probes(0, 34, 1) == [WELL, WELL, UNREADY]
        await left(asked, *opened)
        assert engines.middleware.arrived == 0

    asyncio.run(leak())


def test_an_answer_to_what_was_said_over_a_websocket_is_waited_for_also_if_requests_end_meanwhile(
    count: int, now: list[float]
) -> None:
    async def talk() -> None:
        engines = Engines(count, now)
        opened = engines.open("websocket")
        engines.states["spoken"] = said = SimpleNamespace(streaming_input=True)
        await engines.ask("/odd", [])
        assert await engines.probes(0, 300) == [WELL] * 2
        said.streaming_input = False  # its client has said its last word
        assert await engines.probes(0, 34, 1) == [WELL, WELL, UNREADY]
        await left(opened)

    asyncio.run(talk())


def test_a_request_whose_client_gave_up_is_still_known_to_be_with_the_engine_that_hangs(now: list[float]) -> None:
    """What balances the engines hears of its end from them alone: it was not forgotten with what vLLM keeps."""
    held = Engines(2, now)
    held.leak("/given up")
    held.middleware.held.forget(held.app)  # vLLM takes it away a moment after its HTTP request has ended
    assert held.middleware.held.of_each(held.app) == [0, 0]
    del held.states["/given up"]
    assert held.middleware.held.of_each(held.app) == [0, 1]


@pytest.fixture
def deferred(count: int) -> Iterator[Callable[[int], None]]:
    """Sets vLLM's gauge of requests that an engine holds back, as its steps do: of the last engine."""
    gauge = Gauge("vllm:num_requests_waiting_by_reason", "", ["engine", "reason"])
    for number in range(count):
        gauge.labels(str(number), "capacity").set(0)
        gauge.labels(str(number), "deferred").set(0)
    yield gauge.labels(str(count - 1), "deferred").set
    REGISTRY.unregister(gauge)


@pytest.mark.parametrize("whose", [True, False])
def test_a_grammar_that_takes_long_is_no_hang_and_an_engine_that_makes_no_step_is_one(
    count: int, now: list[float], deferred: Callable[[int], None], *, whose: bool
) -> None:
    async def compile_() -> None:
        engines = Engines(count, now)
        if count > 1 and not whose:
            del engines.app.state.engine_client.engine_core.engine_inflight
        engines.fetched.set()
        asked = engines.ask("/v1/chat/completions", [])
        for _ in range(30):
            deferred(1)
            assert await engines.probes(5) == [WELL]
        # It is compiled, and the engine hangs in its first step with it: the gauge says what it last said.
        assert await engines.probes(5, 29, 6) == [WELL, WELL, UNREADY]
        await left(asked)

    asyncio.run(compile_())


def test_a_hang_beside_a_request_that_was_held_back_once_is_one(
    count: int, now: list[float], deferred: Callable[[int], None]
) -> None:
    async def hang() -> None:
        engines = Engines(count, now)
        engines.fetched.set()
        asked = engines.ask("/v1/chat/completions", [])
        deferred(1)
        assert await engines.probes(5) == [WELL]
        await left(asked)  # an engine without requests makes no step, and so the gauge stays
        if count > 1:
            engines.in_flight.clear()
        assert await engines.probes(5, 300) == [WELL] * 2
        asked = engines.ask("/v1/chat/completions", [])
        assert await engines.probes(5, 29, 6) == [WELL, WELL, UNREADY]
        await left(asked)

    asyncio.run(hang())


def test_a_request_that_an_engine_makes_no_step_for_is_a_hang_beside_one_that_it_holds_back(
    count: int, now: list[float], deferred: Callable[[int], None]
) -> None:
    async def hang() -> None:
        engines = Engines(count, now)
        engines.fetched.set()
        asked = [engines.ask(path, []) for path in ("/v1/completions", "/v1/chat/completions")]
        statuses = []
        for _ in range(8):
            deferred(1)
            statuses += await engines.probes(5)
        assert statuses == [WELL] * 7 + [UNREADY]
        await left(*asked)

    asyncio.run(hang())


def test_an_engine_whose_steps_let_nothing_run_hangs(count: int, now: list[float]) -> None:
    waiting = Gauge("vllm:num_requests_waiting", "", ["engine"])

    async def hang() -> None:
        engines = Engines(count, now)
        engines.fetched.set()
        asked = engines.ask("/v1/chat/completions", [])
        statuses = []
        for _ in range(9):
            for number in range(count):
                waiting.labels(str(number)).set(int(number == count - 1))
            statuses += await engines.probes(5)
        assert statuses == [WELL] * 7 + [UNREADY] * 2
        await left(asked)

    try:
        asyncio.run(hang())
    finally:
        REGISTRY.unregister(waiting)


def test_media_that_cannot_be_fetched_do_not_end_a_hang(count: int, now: list[float]) -> None:
    async def hang() -> None:
        engines = Engines(count, now)
        statuses: list[int] = []
        failing = engines.ask("/fails", statuses)
        asked = asyncio.ensure_future(engines.step("hangs"))
        assert await engines.probes(0, 40) == [WELL, UNREADY]
        engines.fetched.set()
        await failing
        assert statuses == [200]
        assert await engines.probes(1, 79) == [UNREADY, DEAD]
        await left(asked)

    asyncio.run(hang())


def test_a_silent_websocket_beside_media_that_are_fetched_is_no_hang(count: int, now: list[float]) -> None:
    async def talk() -> None:
        engines = Engines(count, now)
        engines.states["spoken"] = SimpleNamespace(streaming_input=True)
        engines.middleware.sockets = 1
        fetching = engines.ask("/v1/chat/completions", [])
        assert await engines.probes(0, 35, 85) == [WELL] * 3
        await left(fetching)

    asyncio.run(talk())


@pytest.mark.parametrize("tells", [True, False])
def test_a_comment_that_keeps_a_stream_alive_does_not_end_a_hang(
    count: int, now: list[float], engine: tuple[Gauge, Histogram], *, tells: bool
) -> None:
    async def hang() -> None:
        engines = Engines(count, now)
        if not tells:
            del engines.app.state.engine_client
        statuses: list[int] = []
        asked = engines.ask("/stream", statuses)
        assert await engines.probes(0, 36) == [WELL, UNREADY]
        for _ in range(2):
            await engines.comment()
            assert await engines.probes(1) == [UNREADY]
            engines.now[0] += 39
        await engines.comment()
        assert await engines.probes(4) == [DEAD]
        for number in range(count):
            engine[1].labels(str(number)).observe(8)
        engines.stepped.set()
        await asked
        if count > 1:
            engines.in_flight.clear()
        assert await engines.probes(1, 300) == [WELL] * 2

    asyncio.run(hang())


def project(files: Path, version: str, values: dict[str, str]) -> None:
    """Writes a projected volume as the kubelet does: a folder for each version, and links that are switched at once."""
    volume = files / "configuration"
    for path, value in values.items():
        file = volume / f"..{version}" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
    link = volume / "..data"
    link.unlink(missing_ok=True)
    link.symlink_to(f"..{version}")
    for kind in {path.partition("/")[0] for path in values}:
        if not (volume / kind).is_symlink():
            (volume / kind).symlink_to(f"..data/{kind}")


def test_a_changed_secret_is_told_to_who_knows_the_service_and_neither_name_nor_content_to_others(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = files / "service-uid"
    uid.write_text("4a8e")
    monkeypatch.setattr(middleware, "UID_FILE", uid)
    values = {"Secret/hf-token/token": "hf_old", "Secret/same/a": "1", "ConfigMap/templates/llama.jinja": "{{ old }}"}
    project(files, "one", values)
    app = Middleware(vllm)

    def stale() -> list[str]:
        text = ask(app, "/-/state")[1]
        assert not [word for word in ("hf", "templates", "Secret", "ConfigMap") if word in text]
        names: list[str] = json.loads(text)["stale"]
        return names

    assert stale() == []
    project(files, "two", values)
    assert stale() == []
    project(files, "three", {**values, "Secret/hf-token/token": "hf_new"})
    assert stale() == [hidden("4a8e", "Secret/hf-token")]
    project(files, "four", {key: value for key, value in values.items() if "templates" not in key})
    assert stale() == [hidden("4a8e", "ConfigMap/templates")]


def test_without_the_uid_of_the_service_nothing_stands_for_a_name(files: Path) -> None:
    project(files, "one", {"Secret/hf-token/token": "hf_old"})
    app = Middleware(vllm)
    project(files, "two", {"Secret/hf-token/token": "hf_new"})
    assert app.state()["stale"] == []
    assert hidden("a", "Secret/x") != hidden("b", "Secret/x")


class Spoken:
    """A WebSocket whose client says these texts, and to which vLLM sends so many words as soon as it may speak."""

    def __init__(self, words: int, *texts: str) -> None:
        said: list[Message] = [{"type": "websocket.receive", "text": text} for text in texts]
        self.coming: list[Message] = [{"type": "websocket.connect"}, *said]
        self.words, self.sent, self.heard = words, list[Message](), list[Message]()
        self.may_speak = asyncio.Event()

    async def receive(self) -> Message:
        return self.coming.pop(0) if self.coming else await asyncio.Future[Message]()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def vllm(self, scope: Message, receive: Receive, send: Send) -> None:
        """Sends its words while it waits for the client, as vLLM does, and one when the client has gone."""

        async def talk() -> None:
            await self.may_speak.wait()
            for _ in range(self.words):
                await asyncio.sleep(0.05)
                await send({"type": "websocket.send", "text": "word"})

        talking = asyncio.ensure_future(talk())
        while not self.heard or self.heard[-1]["type"] != "websocket.disconnect":
            self.heard.append(await receive())
        talking.cancel()
        await send({"type": "websocket.send", "text": "to nobody"})

    def open(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Middleware, asyncio.Future[None]]:
        monkeypatch.setattr(middleware, "SILENCE_SECONDS", 0.2)
        monkeypatch.setattr(middleware, "LOOK_SECONDS", 0.02)
        app = Middleware(self.vllm)
        scope: Message = {"type": "websocket", "path": "/v1/realtime", "headers": []}
        return app, asyncio.ensure_future(app(scope, self.receive, self.send))


@pytest.mark.parametrize("words", [0, 24])
def test_a_silent_websocket_is_closed_once_the_pod_drains_and_its_pause_is_over(
    words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = Spoken(words)
    spoken.may_speak.set()

    async def drain() -> None:
        app, asked = spoken.open(monkeypatch)
        await asyncio.sleep(0.3)
        middleware.MARK.write_text(str(time.monotonic() + 0.3))
        await asyncio.sleep(0.25)
        assert not asked.done()  # as ever until the pause is over
        await asyncio.wait_for(asked, 10)
        assert (app.sockets, app.requests) == (0, 0)

    asyncio.run(drain())
    assert spoken.heard[1:] == [{"type": "websocket.disconnect", "code": 1012}]
    assert spoken.sent == [
        *[{"type": "websocket.send", "text": "word"}] * words,
        {"type": "websocket.close", "code": 1012},
    ]


MODEL, AUDIO, LAST = (
    json.dumps({"type": kind}) for kind in ("session.update", "input_audio_buffer.append", "input_audio_buffer.commit")
)


@pytest.mark.parametrize(
    ("texts", "waits"), [([MODEL], False), ([AUDIO], True), ([MODEL, AUDIO, LAST], True), ([LAST, MODEL], True)]
)
def test_a_websocket_whose_client_waits_for_its_answer_is_not_silent(
    texts: list[str], monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    spoken = Spoken(1, *texts)

    async def drain() -> None:
        _, asked = spoken.open(monkeypatch)
        middleware.MARK.write_text(str(time.monotonic()))
        if waits:
            await asyncio.sleep(0.6)
            assert not asked.done()
            spoken.may_speak.set()
        await asyncio.wait_for(asked, 10)

    asyncio.run(drain())
    answer = [{"type": "websocket.send", "text": "word"}] if waits else []
    assert spoken.sent == [*answer, {"type": "websocket.close", "code": 1012}]


def test_a_message_over_a_websocket_goes_through_as_it_is() -> None:
    async def echo() -> list[Message]:
        said: list[Message] = [{"type": "websocket.receive", "text": "a"}, {"type": "websocket.disconnect"}]
        sent: list[Message] = []

        async def receive() -> Message:
            return said.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        async def echoes(scope: Message, receive: Receive, send: Send) -> None:
            while (message := await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": message["text"]})

        await Middleware(echoes)({"type": "websocket", "path": "/v1/realtime", "headers": []}, receive, send)
        return sent

    assert asyncio.run(echo()) == [{"type": "websocket.send", "text": "a"}]


class Server(threading.Thread):
    """Answers /-/state on a port of its own, with what the test says."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        self.state = {"requests": 1, "quietSeconds": 0.0}
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection:
                connection.recv(4096)
                body = json.dumps(self.state).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture
def short_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time between the hook's looks is a tenth of what it is in a pod."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 10))


@pytest.mark.usefixtures("short_sleep")
def test_the_hook_waits_for_requests_and_for_connections_to_close() -> None:
    server = Server()
    hook = threading.Thread(target=middleware.drain, args=(server.port, 30, 0.1))
    hook.start()
    hook.join(0.4)
    assert hook.is_alive()
    assert middleware.MARK.exists()
    server.state = {"requests": 0, "quietSeconds": 4.0}
    hook.join(0.4)
    assert hook.is_alive()
    server.state = {"requests": 0, "quietSeconds": 6.5}
    hook.join(20)
    assert not hook.is_alive()


@pytest.mark.usefixtures("short_sleep")
def test_the_hook_ends_when_its_time_is_up_or_nothing_listens() -> None:
    server = Server()
    start = time.monotonic()
    middleware.drain(server.port, 0.2, 0.1)
    assert 0.3 <= time.monotonic() - start < 15
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    start = time.monotonic()
    middleware.drain(port, 30, 0.1)
    assert time.monotonic() - start < 15


@pytest.mark.usefixtures("short_sleep")
def test_the_hook_pauses_for_as_long_as_it_is_told() -> None:
    server = Server()
    server.state = {"requests": 0, "quietSeconds": 60.0}
    start = time.monotonic()
    middleware.drain(server.port, 30, 0.6)
    assert 0.6 <= time.monotonic() - start < 15


def test_the_hook_runs_with_the_standard_library_alone(files: Path) -> None:
    program = files / "middleware.py"
    program.write_text(middleware_text())
    command = [sys.executable, "-I", "-S", str(program), "1", "5", "0"]
    try:
        assert subprocess.run(command, check=False, timeout=10).returncode == 0
        assert Path("/tmp/draining").exists()
    finally:
        Path("/tmp/draining").unlink()

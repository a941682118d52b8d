"""What a pod that answers as it likes can do to the operator that asks it: nothing. Real sockets, on the loopback."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from time import process_time
from typing import TypeVar

import pytest
from aiohttp import web

from vllm_operator.api.limits import OverLimitError
from vllm_operator.readers import pod_http
from vllm_operator.readers.pod_http import EngineError, OddAnswerError, State, parse_metrics, read_engine, read_state
from vllm_operator.status.evidence import Engine
from vllm_operator.vllm.middleware import STATE

MIB = 1 << 20
INFO = 'vllm:cache_config_info{kv_cache_max_concurrency="%s",kv_cache_size_tokens="%s"} 1.0\n'
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Answer = TypeVar("Answer")


def says(body: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


VLLM: dict[str, Handler] = {
    "/version": says('{"version": "0.32.0"}'),
    "/metrics": says(INFO % ("2.0", "1024")),
    STATE: says('{"stale": ["Secret/a"], "hang": "it hangs"}'),
}


def asked(
    monkeypatch: pytest.MonkeyPatch, pod: dict[str, Handler], ask: Callable[[str], Awaitable[Answer]]
) -> tuple[Answer, list[str]]:
    """What the operator makes of a pod that answers so, and the paths that were asked for."""
    paths: list[str] = []

    async def one(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.path)
        return await pod.get(request.path, says("not there", 404))(request)

    async def run() -> Answer:
        runner = web.ServerRunner(web.Server(one))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setattr(pod_http, "PORT", runner.addresses[0][1])
        try:
            return await ask("127.0.0.1")
        finally:
            await runner.cleanup()

    return asyncio.run(run()), paths


def test_vllm_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, VLLM, read_engine)[0] == Engine("0.32.0", 1024, 512)
    assert asked(monkeypatch, VLLM, read_state)[0] == State(frozenset({"Secret/a"}), hangs=True)


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65536)
    except ConnectionError:
        return response


ODD: dict[str, Handler] = {
    "endless": endless,
    "packed": says(gzip.compress(b"x" * (64 * MIB)), headers={"Content-Encoding": "gzip"}),
    "a list": says("[1, 2]"),
    "deep": says("[" * 100_000),
    "deep and closed": says('{"version":' * 500 + "1" + "}" * 500),
    "a number of many digits": says('{"version": ' + "1" * 5000 + "}"),
    "many values": says("[" + "1," * 400_000 + "1]"),
    "no UTF-8": says(b"\xff\xfe"),
    "nothing": says(""),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_answer_of_vllm_is_told_and_costs_little(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(OddAnswerError, match="/version: it "):
            asked(monkeypatch, {**VLLM, "/version": ODD[kind]}, read_engine)
        assert asked(monkeypatch, {**VLLM, STATE: ODD[kind]}, read_state)[0] is None
        # The server of the test is in the same process.
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["endless", "packed", "no UTF-8"])
def test_metrics_that_are_none_are_told(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with pytest.raises(OddAnswerError, match="/metrics: it "):
        asked(monkeypatch, {**VLLM, "/metrics": ODD[kind]}, read_engine)


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    away = says("", 302, {"Location": "/elsewhere"})
    with pytest.raises(EngineError, match="status 302"):
        asked(monkeypatch, {**VLLM, "/version": away}, read_engine)
    answer, paths = asked(monkeypatch, {**VLLM, STATE: away}, read_state)
    assert (answer, paths) == (None, [STATE])


def test_nothing_packed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for = []

    async def version(request: web.BaseRequest) -> web.Response:
        asked_for.append(request.headers["Accept-Encoding"])
        return web.Response(text='{"version": "1"}')

    asked(monkeypatch, {**VLLM, "/version": version}, read_engine)
    assert asked_for == ["identity"]


@pytest.mark.parametrize("concurrency", ["1e-320", "0", "-1", "nan", "inf", "1e308"])
def test_an_odd_concurrency_gives_no_length(concurrency: str) -> None:
    assert parse_metrics(INFO % (concurrency, "1024")) == (1024, None)


@pytest.mark.parametrize("tokens", ["-1", "9" * 4000, str(1 << 63)])
def test_an_odd_number_of_tokens_is_told(tokens: str) -> None:
    with pytest.raises(ValueError, match="tokens of KV cache"):
        parse_metrics(INFO % ("1", tokens))


def test_only_the_line_that_is_needed_is_parsed() -> None:
    page = "broken {{{ line\n" * 60_000 + INFO % ("2.0", "1024")
    start = process_time()
    assert parse_metrics(page) == (1024, 512)
    assert process_time() - start < 0.05
    with pytest.raises(ValueError, match="longer than"):
        parse_metrics(INFO.replace("{", '{a="' + "x" * MIB + '",', 1) % ("2.0", "1024"))


def test_the_caches_of_all_engines_count() -> None:
    one = INFO % ("2.0", "1024")
    assert parse_metrics(f"{one}\n{one}") == (2048, 512)
    assert parse_metrics("\n".join([one, INFO % ("x", "1024")])) == (None, 512)
    with pytest.raises(OverLimitError, match="more than 64 engines"):
        parse_metrics("\n".join([one] * 65))


def test_names_that_a_pod_tells_are_few_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = json.dumps({"stale": ["Secret/" + "x" * 5000, 7, None, *map(str, range(500))], "hang": ""})
    answer, _ = asked(monkeypatch, {**VLLM, STATE: says(stale)}, read_state)
    assert answer is not None
    assert len(answer.stale) <= 64
    assert max(map(len, answer.stale)) <= 253


def test_a_pod_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "TIMEOUT_SECONDS", 0.2)

    async def silent(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    with pytest.raises(EngineError, match="TimeoutError"):
        asked(monkeypatch, {**VLLM, "/version": silent}, read_engine)

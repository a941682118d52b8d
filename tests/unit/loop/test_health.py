"""The health port: whoever connects and says nothing ends no operator, and one whose event loop is stuck is ended."""

import asyncio
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from vllm_operator.loop import answering, health


def served(
    asked: Callable[[int], Awaitable[None]], trouble: Callable[[], str] = str, unready: Callable[[], str] = str
) -> None:
    """Serves, and asks of the port."""

    async def run() -> None:
        async with health.serve(0, {"/healthz": trouble, "/readyz": unready}) as port:
            await asked(port)

    asyncio.run(run())


def probe(port: int, path: str = "/healthz") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_probe_is_told_what_the_event_loop_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PULSE_SECONDS", 0.01)
    found = [""]

    async def asked(port: int) -> None:
        assert await asyncio.to_thread(probe, port) == (200, "ok")
        assert await asyncio.to_thread(probe, port, "/other") == (404, "")
        found[0] = "a watch is dead"
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(probe, port) == (503, "a watch is dead")

    served(asked, lambda: found[0])


def test_each_path_has_a_look_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PULSE_SECONDS", 0.01)
    found = ["not all has been listed"]

    async def asked(port: int) -> None:
        assert await asyncio.to_thread(probe, port, "/readyz") == (503, "not all has been listed")
        assert await asyncio.to_thread(probe, port) == (200, "ok")
        found[0] = ""
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(probe, port, "/readyz") == (200, "ok")

    served(asked, unready=lambda: found[0])


def test_an_event_loop_that_is_stuck_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PULSE_SECONDS", 0.01)
    monkeypatch.setattr(health, "LATE_SECONDS", 0.2)
    told: list[tuple[int, str]] = []

    async def asked(port: int) -> None:
        asking = threading.Timer(0.4, lambda: told.append(probe(port)))
        asking.start()
        time.sleep(1)  # noqa: ASYNC251 - the event loop is blocked
        asking.join()
        await asyncio.sleep(0.1)
        told.append(await asyncio.to_thread(probe, port))

    served(asked)
    assert told == [(503, "the event loop has not run for 0 s"), (200, "ok")]


def test_many_silent_connections_hold_few_files_and_the_kubelet_gets_in() -> None:
    before = threading.active_count()

    async def asked(port: int) -> None:
        with ExitStack() as held:
            opened = [
                held.enter_context(await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 10))
                for _ in range(200)
            ]
            assert await asyncio.to_thread(probe, port) == (200, "ok")
            assert await asyncio.to_thread(opened[0].recv, 1) == b"", "the oldest makes room"
            others = 8  # of asyncio.to_thread, and the port's own
            assert threading.active_count() <= before + answering.MOST_CONNECTIONS + others

    served(asked)


def test_a_port_that_is_taken_is_told() -> None:
    async def asked(port: int) -> None:
        with pytest.raises(OSError, match="in use"):
            async with health.serve(port, {"/healthz": str}):
                pass

    served(asked)

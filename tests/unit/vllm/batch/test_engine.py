"""How vLLM's application is asked without a port, and what becomes of an engine that has died."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from vllm_operator.vllm.batch.engine import VllmEngine
from vllm_operator.vllm.batch.faults import EngineDiedError


class App:
    """An application as vLLM's: it waits for a client that goes away, and answers meanwhile."""

    def __init__(self, client: Any, answers: dict[str, tuple[int, bytes]]) -> None:
        self._client = client
        self._answers = answers
        self.bodies: list[bytes] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        self.bodies.append((await receive())["body"])
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0.001)
        assert not waiting.done()
        waiting.cancel()
        self._client.errored = "dead" in scope["path"]
        if scope["path"].endswith("/raises"):
            raise RuntimeError("a fault")
        status, body = self._answers[scope["path"]]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": body[3:]})


def engine(answers: dict[str, tuple[int, bytes]]) -> VllmEngine:
    """One that answers so."""
    scheduler = SimpleNamespace(max_num_seqs=4)
    client = SimpleNamespace(errored=False, vllm_config=SimpleNamespace(scheduler_config=scheduler))
    return VllmEngine(App(client, answers), client)


def test_an_answer_comes_whole_with_its_status() -> None:
    asked = engine({"/ok": (200, b'{"a": 1}'), "/wrong": (400, b"{}"), "/busy": (500, b"{}")})
    assert asked.sequences == 4
    assert asyncio.run(asked.ask("/ok", b"{}")) == (200, b'{"a": 1}')
    assert asyncio.run(asked.ask("/wrong", b"{}"))[0] == 400
    assert asyncio.run(asked.ask("/busy", b"{}"))[0] == 500


@pytest.mark.parametrize("path", ["/dead", "/dead/raises"])
def test_a_dead_engine_is_told_from_a_request_that_fails(path: str) -> None:
    with pytest.raises(EngineDiedError):
        asyncio.run(engine({"/dead": (500, json.dumps({"error": {}}).encode())}).ask(path, b"{}"))


def test_a_fault_of_a_handler_is_that_of_its_request() -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        asyncio.run(engine({}).ask("/raises", b"{}"))

"""Clients of a service at a constant rate: pooled kept-alive connections, no retries, every second answer streamed."""

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

# Longer than any answer takes while a pod of the same two cores starts.
TIMEOUT_SECONDS = 120.0
# Of those who ask for more than there is, and wait in vLLM's queue meanwhile.
PATIENCE_SECONDS = 600.0
# vLLM closes a connection that is idle for 5 s, which may cross with a request on it.
KEEPALIVE_SECONDS = 3.0


@dataclass
class Tally:
    """What became of the requests."""

    sent: int = 0
    # No answer, an error, or an answer that was cut.
    failures: list[str] = field(default_factory=list)
    # Answers that vLLM itself ended early.
    aborted: int = 0
    seconds: list[float] = field(default_factory=list)

    def line(self, case: str) -> str:
        """One line for people and scripts."""
        p99 = sorted(self.seconds)[int(0.99 * len(self.seconds))] if self.seconds else 0.0
        return f"{case} sent={self.sent} failed={len(self.failures)} aborted={self.aborted} p99_ms={round(1000 * p99)}"


class Load:
    """Asks from entering to leaving, `rate` times a second whatever the answers do, and at least `least` times."""

    def __init__(self, url: str, model: str, *, rate: float, least: int, tokens: int = 8) -> None:
        self.tally = Tally()
        self._url, self._rate, self._least = f"{url}/completions", rate, least
        self._body = {"model": model, "prompt": "Once upon a time", "max_tokens": tokens, "ignore_eos": True}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error:
            self._least = 0
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as tasks:
            start = time.monotonic()
            while not self._stop.is_set() or self.tally.sent < self._least:
                tasks.create_task(self._one(session, stream=self.tally.sent % 2 == 0))
                self.tally.sent += 1
                await asyncio.sleep(max(0.0, start + self.tally.sent / self._rate - time.monotonic()))

    async def _answer(self, session: aiohttp.ClientSession, *, stream: bool) -> str:
        """The body of an answer with status 200. Raises ValueError for another status."""
        async with session.post(self._url, json={**self._body, "stream": stream}) as response:
            text = await response.text()
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}: {text[:200]}")
        return text

    async def _one(self, session: aiohttp.ClientSession, *, stream: bool) -> None:
        start = time.monotonic()
        try:
            text = await self._answer(session, stream=stream)
            reason = _end_of_stream(text) if stream else json.loads(text)["choices"][0]["finish_reason"]
            self.tally.aborted += reason == "abort"
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError) as error:
            after = time.monotonic() - start
            self.tally.failures.append(f"{'stream' if stream else 'answer'} after {after:.1f} s: {error!r}")
        else:
            self.tally.seconds.append(time.monotonic() - start)


class Crowd(Load):
    """As many clients as `clients` says, which may change: each asks again as soon as it has its answer.

    Every second one keeps its connection, and so its pod; the others meet a pod by chance each time.
    """

    def __init__(self, url: str, model: str, clients: int, *, tokens: int = 8) -> None:
        super().__init__(url, model, rate=1, least=0, tokens=tokens)
        self.clients = clients

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        kept = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=kept) as keeping,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as fresh,
            asyncio.TaskGroup() as tasks,
        ):
            there: dict[int, asyncio.Task[None]] = {}
            while not self._stop.is_set():
                for number in range(self.clients):
                    if number not in there or there[number].done():
                        there[number] = tasks.create_task(self._client(number, fresh if number % 2 else keeping))
                await asyncio.sleep(0.1)

    async def _client(self, number: int, session: aiohttp.ClientSession) -> None:
        while number < self.clients and not self._stop.is_set():
            self.tally.sent += 1
            await self._one(session, stream=self.tally.sent % 3 == 0)


def _end_of_stream(text: str) -> str:
    """The reason for which a stream ended. Raises ValueError where it was cut."""
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        raise ValueError(f"the stream was cut after {len(events)} events")
    chunks: list[dict[str, Any]] = [json.loads(event) for event in events[:-1]]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    if len(reasons) != 1:
        raise ValueError(f"the stream ended without a reason, after {chunks[-1:]}")
    return str(reasons[0])

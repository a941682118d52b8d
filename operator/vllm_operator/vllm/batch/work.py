"""The share of one pod: which requests it asks, in which order, how many at once, and what becomes of each.

A share is every COUNT-th request. So which pod has which needs no claims: it follows from the number.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine import Engine
from .faults import BatchError, EngineDiedError
from .journal import ANSWERED, BACK, DIED, ENDED, FAILED, SENT, History, Journal, Record
from .lines import InvalidLineError, Request, input_files, raw_lines, request_of
from .survey import Survey, duplicates

# Statuses that may be others next time: a time-out, too early, too many, and the engine's own failures.
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.5, 30.0
_LINES_OF_A_TURN = 1000
# The engine makes steps of below a second; a first one may compile for minutes.
HANG_SECONDS, _LOOK_SECONDS = 600.0, 15.0


@dataclass(frozen=True, slots=True)
class Share:
    """What a pod is to do."""

    source: Path
    parts: Path
    uid: str
    index: int
    count: int
    retries: int
    inflight: int
    """Requests in flight at most; 0: twice what the engine works on, so that it never waits."""
    grace_seconds: float


class Worker:
    """Works on a share with an engine, and writes into a journal."""

    def __init__(self, share: Share, survey: Survey, known: History, journal: Journal) -> None:
        self._share = share
        self._survey = survey
        self._known = known
        self._journal = journal
        self._durable = self._counts()
        self._answers = self._flying = 0
        self._since = time.monotonic()
        self._until: float | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Takes no further requests; those in flight have the grace period to come back."""
        self._stop.set()

    def progress(self) -> dict[str, Any]:
        """How far the share is: what is on the disk, by earlier attempts too. Seconds are those of this one."""
        total = len(range(self._share.index, self._survey.total, self._share.count))
        seconds = round((self._until or time.monotonic()) - self._since, 2)
        now = {"inFlight": self._flying, "seconds": seconds}
        return {"index": self._share.index, "total": total, **self._durable, **now}

    async def work(self, engine: Engine) -> bool:
        """Whether the share is done. Raises BatchError."""
        self._since = time.monotonic()
        inflight = self._share.inflight or 2 * engine.sequences
        guards = [asyncio.ensure_future(self._keep_syncing()), asyncio.ensure_future(self._watch(engine))]
        main, writable = asyncio.ensure_future(self._phases(engine, inflight)), True
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([main, stopping, *guards], return_when=asyncio.FIRST_COMPLETED)
            if not main.done() and self._stop.is_set():
                grace = self._share.grace_seconds
                await asyncio.wait([main, *guards], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            for task in (*guards, main):
                if task.done():
                    task.result()
            done = main.done() and not self._stop.is_set()
            self._journal.write(ENDED, 0)
        except EngineDiedError as error:
            self._journal.write(DIED, 0, payload=json.dumps(str(error)).encode())
            raise
        except BatchError:
            writable = False  # or brought to its bucket: that has been waited for
            with suppress(BatchError):  # the engine is not to blame
                self._journal.write(ENDED, 0)
            raise
        finally:
            await _cancelled(main, stopping, *guards)
            if writable:
                self._sync()
            self._until = time.monotonic()
        return done or self.finished()

    def finished(self) -> bool:
        """Whether nothing of the share is left to ask."""
        counts = self.progress()
        return bool(counts["done"] + counts["failed"] == counts["total"])

    async def _phases(self, engine: Engine, inflight: int) -> None:
        """Suspects last, the most suspect at the very end: what ends the engine takes as little as can be with it."""
        suspects = self._known.suspects
        ranks = {number: (-one.width(inflight), one.alone) for number, one in suspects.items()}
        await self._crowd(engine, self._open(lambda number: number not in ranks), inflight)
        for rank in sorted(set(ranks.values())):
            chosen = {number for number in ranks if ranks[number] == rank}
            await self._crowd(engine, self._open(chosen.__contains__), -rank[0])

    async def _crowd(self, engine: Engine, requests: Iterator[Request | None], width: int) -> None:
        """Asks all of them, `width` at once: whoever is free takes the next one."""

        async def ask_on() -> None:
            for request in requests:
                if self._stop.is_set():
                    return
                if request:
                    await self._one(engine, request)
                else:
                    await asyncio.sleep(0)

        askers = [asyncio.ensure_future(ask_on()) for _ in range(width)]
        try:
            await asyncio.gather(*askers)
        finally:
            await _cancelled(*askers)

    def _open(self, wanted: Callable[[int], bool]) -> Iterator[Request | None]:
        """Those wanted of the share's requests that nobody has finished. What cannot be asked is failed here.

        None: lines were skipped for long enough, and others in this thread want a turn.
        """
        twice = duplicates(self._share.parts)
        number, first = next(twice, (-1, -1))
        for path, file in zip(input_files(self._share.source), self._survey.files, strict=True):
            for raw in raw_lines(path, file.first):
                while 0 <= number < raw.number:
                    number, first = next(twice, (-1, -1))
                if raw.number % _LINES_OF_A_TURN == 0:
                    yield None
                if raw.number % self._share.count != self._share.index or not wanted(raw.number):
                    continue
                if raw.number in self._known.finished:
                    continue
                try:
                    request = request_of(raw)
                except InvalidLineError as error:
                    self._fail(raw.number, error.custom_id, "invalid", f"line {raw.line}: {error}")
                    continue
                suspicion = self._known.suspects.get(raw.number)
                if raw.number == number:
                    why = f"line {raw.line}: custom_id is that of request {first + 1}"
                    self._fail(raw.number, request.custom_id, "duplicate", why)
                elif suspicion and suspicion.condemned():
                    why = f"line {raw.line}: the engine ended twice while it worked on this request"
                    self._fail(raw.number, request.custom_id, "ends_engine", why)
                else:
                    yield request

    async def _one(self, engine: Engine, request: Request) -> None:
        """Asks until there is an answer, or an error that does not pass."""
        for attempt in range(self._share.retries + 1):
            self._journal.write(SENT, request.number)
            self._flying += 1
            try:
                status, content = await self._ask(engine, request)
            finally:
                self._flying -= 1
            if status == 200:
                self._answer(request, content)
                return
            answer = _json(content)
            if status not in _PASSING or attempt == self._share.retries:
                self._fail(request.number, request.custom_id, "refused", _why(answer, status), (status, answer))
                return
            self._journal.write(BACK, request.number)
            pause = min(_BACKOFF_SECONDS * 2**attempt, _LONGEST_BACKOFF_SECONDS)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            if self._stop.is_set():
                return

    @staticmethod
    async def _ask(engine: Engine, request: Request) -> tuple[int, bytes]:
        try:
            return await engine.ask(request.url, request.body)
        except (EngineDiedError, asyncio.CancelledError):
            raise
        except Exception as error:  # a fault in a handler of vLLM fails this request alone
            return 500, json.dumps({"error": {"message": f"{type(error).__name__}: {error}"}}).encode()

    def _answer(self, request: Request, content: bytes) -> None:
        usage, answer_id = _member(content, content.rfind(b'"usage":')), _member(content, content.find(b'"id":'))
        usage = usage if isinstance(usage, dict) else {}
        tokens = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        head = {"id": f"batch-{self._share.uid}-{request.number}", "custom_id": request.custom_id}
        response = {"status_code": 200, "request_id": answer_id if isinstance(answer_id, str) else ""}
        # The answer goes as it is: only its line breaks, which JSON has between its words alone, would end the record.
        text = content.replace(b"\n", b" ").replace(b"\r", b" ")
        payload = b'%b, "response": %b, "body": %b}, "error": null}' % (
            json.dumps(head).encode()[:-1],
            json.dumps(response).encode()[:-1],
            text,
        )
        self._write(ANSWERED, request.number, tokens, payload)

    def _fail(
        self, number: int, custom_id: str | None, code: str, why: str, response: tuple[int, Any] | None = None
    ) -> None:
        row = error_row(f"batch-{self._share.uid}-{number}", custom_id, code, why, response)
        self._write(FAILED, number, (0, 0), row)

    def _write(self, kind: bytes, number: int, tokens: tuple[int, int], payload: bytes) -> None:
        self._journal.write(kind, number, tokens, payload)
        self._answers += 1
        self._known.count(Record(kind, number, *tokens, 0, 0))

    def _counts(self) -> dict[str, int]:
        known = self._known
        return {
            "done": known.done,
            "failed": known.failed,
            "promptTokens": known.prompt_tokens,
            "outputTokens": known.output_tokens,
        }

    def _sync(self) -> None:
        counts = self._counts()
        self._journal.sync()
        self._durable = counts

    async def _keep_syncing(self) -> None:
        while True:
            await asyncio.sleep(self._journal.pause())
            if self._counts() != self._durable:
                counts = self._counts()
                await asyncio.get_running_loop().run_in_executor(None, self._journal.sync)
                self._durable = counts

    async def _watch(self, engine: Engine) -> None:
        """Ends an engine that hangs: requests are in flight, and for minutes it makes no step."""
        seen, since = None, time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            steps = engine.steps()
            now = (steps, self._answers)
            if now != seen or not self._flying:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > HANG_SECONDS:
                raise EngineDiedError(f"the engine made no step for {HANG_SECONDS:g} s while requests were in flight")


def error_row(
    row_id: str, custom_id: str | None, code: str, why: str, response: tuple[int, Any] | None = None
) -> bytes:
    """A line of the file of errors, as OpenAI has them."""
    said = None if response is None else {"status_code": response[0], "request_id": "", "body": response[1]}
    row = {"id": row_id, "custom_id": custom_id, "response": said, "error": {"code": code, "message": why}}
    return json.dumps(row).encode()


_DECODER = json.JSONDecoder()
_MEMBER_BYTES = 4096


def _member(content: bytes, at: int) -> Any:
    """The value of the member whose key stands at `at`; None: there is none.

    Only that is parsed: embeddings are long. Within a text, a key could not stand so: its quotes would be escaped.
    """
    if at < 0:
        return None
    text = content[at : at + _MEMBER_BYTES].decode(errors="replace").partition(":")[2]
    try:
        return _DECODER.raw_decode(text.lstrip())[0]
    except ValueError:
        return None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _why(answer: Any, status: int) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or f"vLLM answered with the status {status}")


async def _cancelled(*tasks: "asyncio.Future[Any]") -> None:
    """Ends tasks, whatever they raise: what matters was raised already."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

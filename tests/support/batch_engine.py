"""An engine to run a batch with where vLLM would take too long. As a command, the batch's program with this engine.

What it answers follows from the request alone. A prompt says what is to happen: `die` ends the engine with all that it
has, `crash` ends the process, `stop` sends it SIGTERM; `refuse` is refused, `fail N` fails N times, `raise` is a fault.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vllm_operator.vllm.batch.command import main
from vllm_operator.vllm.batch.engine import Engine
from vllm_operator.vllm.batch.faults import EngineDiedError


def answer_to(prompt: str) -> dict[str, Any]:
    """What it answers."""
    usage = {"prompt_tokens": len(prompt), "completion_tokens": 2}
    return {"id": f"cmpl-{prompt}", "choices": [{"text": prompt[::-1]}], "usage": usage}


class StandIn:
    """The engine; `asked` counts how often it was asked each prompt, unless it is to take no memory."""

    sequences = 8

    def __init__(self, seconds: float = 0.0, *, counting: bool = True) -> None:
        self.seconds = seconds
        self._counting = counting
        self.asked: Counter[str] = Counter()
        self.flying = self.most = 0
        self.dead = False

    async def ask(self, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """The answer, after a while."""
        prompt = body["prompt"]
        if self._counting or prompt.startswith("fail "):
            self.asked[prompt] += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        if prompt == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(0 if prompt == "die" else self.seconds)
            return self._outcome(prompt)
        finally:
            self.flying -= 1

    def _outcome(self, prompt: str) -> tuple[int, bytes]:
        word, _, rest = prompt.partition(" ")
        if self.dead or word == "die":
            self.dead = True
            raise EngineDiedError("the engine died")
        if word == "crash":
            os._exit(137)
        if word == "raise":
            raise RuntimeError("a fault in a handler")
        if word == "refuse":
            return 400, json.dumps({"error": {"message": "no such parameter"}}).encode()
        if word == "fail" and self.asked[prompt] <= int(rest.split()[0]):
            return 503, json.dumps({"error": {"message": "busy"}}).encode()
        return 200, json.dumps(answer_to(prompt), indent=1).encode()

    def steps(self) -> int:
        """One step per question."""
        return self.asked.total()

    def metrics(self) -> bytes:
        """None of its own."""
        return b""


@asynccontextmanager
async def open_stand_in(arguments: list[str]) -> AsyncIterator[Engine]:
    """The stand-in; its argument is the time that an answer takes, in seconds."""
    yield StandIn(float(arguments[0]) if arguments else 0.0, counting=False)


if __name__ == "__main__":
    sys.exit(main(open_engine=open_stand_in))

"""vLLM in this process: its engine, and its own HTTP application, which is called as a function and listens nowhere.

The application is what `vllm serve` serves, so requests are checked, rendered and answered as they are there. It is the
only module that imports vLLM, and must not decide what becomes of an answer.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any, Protocol

from .faults import EngineDiedError

_DEAD = "the engine died; its own words are in the log above"
_PROGRESS = ("vllm:iteration_tokens_total_count", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc")


class Engine(Protocol):
    """What is asked."""

    sequences: int
    """Requests that it works on at once."""

    async def ask(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Status and JSON of an answer. Raises EngineDiedError."""

    def steps(self) -> tuple[float, ...]:
        """Changes with each step; empty: unknown."""

    def metrics(self) -> bytes:
        """Metrics in Prometheus' text format."""


class OpenEngine(Protocol):
    """Loads an engine from the arguments of `vllm serve`, and ends it."""

    def __call__(self, arguments: list[str], /) -> AbstractAsyncContextManager[Engine]: ...


class VllmEngine:
    """The Engine of vLLM: its application, and the client of its engine's process."""

    def __init__(self, app: Any, client: Any) -> None:
        self._app = app
        self._client = client
        self.sequences: int = client.vllm_config.scheduler_config.max_num_seqs

    async def ask(self, url: str, body: bytes) -> tuple[int, bytes]:
        """One request through the application."""
        status, chunks, given = 500, [], False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if given:  # the application waits here for a client that goes away
                await asyncio.get_running_loop().create_future()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                chunks.append(message.get("body", b""))

        try:
            await self._app(_scope(url, len(body)), receive, send)
        except Exception as error:
            if self._client.errored:
                raise EngineDiedError(_DEAD) from error
            raise
        if status >= 500 and self._client.errored:
            raise EngineDiedError(_DEAD)
        return status, b"".join(chunks)

    def steps(self) -> tuple[float, ...]:
        """vLLM's counters."""
        from prometheus_client import REGISTRY  # noqa: PLC0415

        samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
        return tuple(sample.value for sample in samples if sample.name in _PROGRESS)

    def metrics(self) -> bytes:
        """vLLM's metrics."""
        from prometheus_client import generate_latest  # noqa: PLC0415

        text: bytes = generate_latest()
        return text


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Runs in the event loop that `vllm serve` runs in, if it is there."""
    try:
        from uvloop import run  # noqa: PLC0415
    except ImportError:
        return asyncio.run(work)
    return int(run(work))


@asynccontextmanager
async def open_vllm(arguments: list[str]) -> AsyncIterator[Engine]:
    """Starts vLLM as `vllm serve` would, but for what guards its port."""
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state  # noqa: PLC0415
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client  # noqa: PLC0415
    from vllm.entrypoints.launchers.app import build_app  # noqa: PLC0415
    from vllm.reasoning import ReasoningParserManager  # noqa: PLC0415
    from vllm.tool_parsers import ToolParserManager  # noqa: PLC0415

    args = _parsed_arguments(arguments)
    if args.tool_parser_plugin:
        ToolParserManager.import_tool_parser(args.tool_parser_plugin)
    if args.reasoning_parser_plugin:
        ReasoningParserManager.import_reasoning_parser(args.reasoning_parser_plugin)
    async with build_async_engine_client(args) as client:
        tasks = await client.get_supported_tasks()
        app = build_app(args, tasks, client.model_config)
        await init_app_state(client, app.state, args, tasks)
        app.state.server = SimpleNamespace(should_exit=False)  # vLLM tells its server when the engine is dead
        async with app.router.lifespan_context(app):
            yield VllmEngine(app, client)


def _parsed_arguments(arguments: list[str]) -> Any:
    """vLLM's own namespace of a command line of `vllm serve`."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args  # noqa: PLC0415
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    cli_env_setup()
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    args.model = getattr(args, "model_tag", None) or args.model
    # Nobody reaches the application but this process.
    args.middleware, args.api_key = [], None
    os.environ.pop("VLLM_API_KEY", None)
    validate_parsed_serve_args(args)
    return args


def _scope(url: str, length: int) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length), (b"host", b"batch")]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": url,
        "raw_path": url.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": None,
        "server": None,
    }

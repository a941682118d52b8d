"""vLLM's engine in this process, asked by the handlers of vLLM's own server, without a server.

Requests are checked, rendered and answered as by `vllm serve`. HTTP, or its application without a port, would cost
tokens: it competes with the engine for the CPU. This is the only module that imports vLLM; it must not decide what
becomes of an answer.
"""

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from typing import Any, NamedTuple, Protocol

from .faults import EngineDiedError

_DEAD = "the engine died; its own words are in the log above"


class Engine(Protocol):
    """What is asked."""

    sequences: int
    """Requests that it works on at once."""

    async def ask(self, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and JSON of an answer. Raises EngineDiedError."""

    def steps(self) -> int:
        """Grows with the steps that it makes."""

    def metrics(self) -> bytes:
        """Metrics in Prometheus' text format."""


class OpenEngine(Protocol):
    """Loads an engine from the arguments of `vllm serve`, and ends it."""

    def __call__(self, arguments: list[str], /) -> AbstractAsyncContextManager[Engine]: ...


class Handler(NamedTuple):
    """What answers requests of one URL."""

    parse: Callable[[Any], Any]
    """A body as vLLM's own request. Raises ValueError."""
    answer: Callable[[Any], Awaitable[Any]]
    """Gives a model of pydantic, or a response of starlette."""


class VllmEngine:
    """The Engine of vLLM: the client of its process, and handlers by URL. `refusal`: an exception as vLLM's error."""

    def __init__(self, client: Any, handlers: Mapping[str, Handler], refusal: Callable[[Exception], Any]) -> None:
        self._client = client
        self._steps, self._outputs = 0, client.engine_core.get_output_async
        client.engine_core.get_output_async = self._counted
        self._handlers = handlers
        self._refusal = refusal
        self.sequences: int = client.vllm_config.scheduler_config.max_num_seqs

    async def ask(self, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """One request through its handler."""
        handler = self._handlers.get(url)
        if handler is None:
            return 404, json.dumps({"error": {"message": f"the model does not serve {url}"}}).encode()
        try:
            # vLLM writes into what it gets, and the request may be asked again.
            answer = await handler.answer(handler.parse(deepcopy(body)))
        except Exception as error:
            if self._client.errored:
                raise EngineDiedError(_DEAD) from error
            answer = self._refusal(error)
        if hasattr(answer, "status_code"):
            status, content = int(answer.status_code), bytes(answer.body)
        else:
            said = getattr(answer, "error", None)
            status, content = int(said.code) if said else 200, answer.model_dump_json().encode()
        if status >= 500 and self._client.errored:
            raise EngineDiedError(_DEAD)
        return status, content

    def steps(self) -> int:
        """What vLLM's engine has sent: an answer, or a token of each that it works on."""
        return self._steps

    async def _counted(self) -> Any:
        outputs = await self._outputs()
        self._steps += 1
        return outputs

    def metrics(self) -> bytes:
        """vLLM's metrics, but for those of its engine."""
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
    from starlette.datastructures import State  # noqa: PLC0415
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state  # noqa: PLC0415
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client  # noqa: PLC0415
    from vllm.entrypoints.serve import create_error_response  # noqa: PLC0415
    from vllm.reasoning import ReasoningParserManager  # noqa: PLC0415
    from vllm.tool_parsers import ToolParserManager  # noqa: PLC0415

    args = _parsed_arguments(arguments)
    if args.tool_parser_plugin:
        ToolParserManager.import_tool_parser(args.tool_parser_plugin)
    if args.reasoning_parser_plugin:
        ReasoningParserManager.import_reasoning_parser(args.reasoning_parser_plugin)
    async with build_async_engine_client(args) as client:
        state = State()
        await init_app_state(client, state, args, await client.get_supported_tasks())
        gc.collect()
        gc.freeze()  # as vLLM's server does: what it has loaded stays
        yield VllmEngine(client, _handlers(state), create_error_response)


def _handlers(state: Any) -> dict[str, Handler]:
    """Of all URLs that the model serves."""
    from pydantic import TypeAdapter  # noqa: PLC0415
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest  # noqa: PLC0415
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest  # noqa: PLC0415
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingRequest  # noqa: PLC0415
    from vllm.entrypoints.pooling.scoring.protocol import ScoreRequest  # noqa: PLC0415

    chat = getattr(getattr(state, "openai_serving_chat", None), "create_chat_completion", None)
    completion = getattr(getattr(state, "openai_serving_completion", None), "create_completion", None)
    found = {
        "/v1/chat/completions": (ChatCompletionRequest.model_validate, chat),
        "/v1/completions": (CompletionRequest.model_validate, completion),
        "/v1/embeddings": (TypeAdapter(EmbeddingRequest).validate_python, getattr(state, "serving_embedding", None)),
        "/v1/score": (TypeAdapter(ScoreRequest).validate_python, getattr(state, "serving_scores", None)),
    }
    return {url: Handler(parse, answer) for url, (parse, answer) in found.items() if answer}


def _parsed_arguments(arguments: list[str]) -> Any:
    """vLLM's own namespace of a command line of `vllm serve`."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args  # noqa: PLC0415
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    cli_env_setup()
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    args.model = getattr(args, "model_tag", None) or args.model
    # Nobody reaches the handlers but this process.
    args.middleware, args.api_key = [], None
    # The runner keeps more in flight than the engine works on: a limit on what waits would have requests failed.
    args.max_num_queued_reqs = args.max_num_queued_tokens = None
    # Statistics of each step and request take a quarter of this process's CPU where steps are short.
    args.disable_log_stats = True
    os.environ.pop("VLLM_API_KEY", None)
    validate_parsed_serve_args(args)
    return args

"""How vLLM's handlers are asked without a server, and what becomes of an engine that has died."""

import asyncio
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from vllm_operator.vllm.batch.engine import Handler, VllmEngine, _parsed_arguments
from vllm_operator.vllm.batch.faults import EngineDiedError


class Answer(SimpleNamespace):
    """As one of vLLM's models."""

    def model_dump_json(self) -> str:
        """Its fields."""
        return json.dumps(vars(self), default=vars)


def refusal(error: Exception) -> Answer:
    """An exception as vLLM's error."""
    code = 400 if isinstance(error, ValueError) else 500
    return Answer(error=SimpleNamespace(code=code, message=str(error)))


async def outputs() -> str:
    """What the engine sends after a step."""
    return "outputs"


def engine(*, dead: bool = False) -> tuple[Any, VllmEngine]:
    """vLLM's client, and an engine whose handler does what the body says."""
    client: Any = SimpleNamespace(vllm_config=SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=4)))
    client.errored = dead
    client.engine_core = SimpleNamespace(get_output_async=outputs)

    async def answer(body: dict[str, Any]) -> Any:
        body["touched"] = True
        await asyncio.sleep(0)
        if "status" in body:
            return SimpleNamespace(status_code=body["status"], body=b"[1]")
        if "error" in body:
            return refusal(body["error"])
        if "raises" in body:
            raise body["raises"]
        return Answer(text=body["prompt"])

    def parse(body: dict[str, Any]) -> dict[str, Any]:
        if not body:
            raise ValueError("no prompt")
        return body

    return client, VllmEngine(client, {"/v1/completions": Handler(parse, answer)}, refusal)


def ask(body: dict[str, Any], url: str = "/v1/completions", *, dead: bool = False) -> tuple[int, Any]:
    """Status and answer."""
    status, content = asyncio.run(engine(dead=dead)[1].ask(url, body))
    return status, json.loads(content)


def test_answers_and_errors_have_the_status_that_a_server_would_give() -> None:
    assert ask({"prompt": "a"}) == (200, {"text": "a"})
    assert ask({"status": 200}) == (200, [1])
    assert ask({}) == (400, {"error": {"code": 400, "message": "no prompt"}})
    assert ask({"error": ValueError("wrong")})[0] == 400
    assert ask({"raises": RuntimeError("a fault")}) == (500, {"error": {"code": 500, "message": "a fault"}})
    assert ask({"prompt": "a"}, "/v1/score") == (404, {"error": {"message": "the model does not serve /v1/score"}})


def test_a_request_can_be_asked_again_as_it_was() -> None:
    body = {"prompt": "a"}
    ask(body)
    assert body == {"prompt": "a"}


@pytest.mark.parametrize("body", [{"raises": RuntimeError("dead")}, {"error": RuntimeError("dead")}, {"status": 500}])
def test_a_dead_engine_is_told_from_a_request_that_fails(body: dict[str, Any]) -> None:
    assert ask(body)[0] == 500
    with pytest.raises(EngineDiedError):
        ask(body, dead=True)


def test_steps_are_counted_where_vllm_takes_what_its_engine_sends() -> None:
    client, made = engine()
    assert made.steps() == 0
    assert asyncio.run(client.engine_core.get_output_async()) == "outputs"
    assert made.steps() == 1


def test_nothing_guards_a_port_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys, nor limits on the requests that wait: the runner decides how many there are."""
    given = {"middleware": ["a.B"], "api_key": ["sk"], "max_num_queued_reqs": 500, "max_num_queued_tokens": 9}
    parser = SimpleNamespace(parse_args=lambda words: SimpleNamespace(model=words[0], max_num_seqs=8, **given))
    modules: dict[str, dict[str, Any]] = {
        "launchers.cli_args": {"make_arg_parser": lambda _: parser, "validate_parsed_serve_args": lambda _: None},
        "serve.utils.api_utils": {"cli_env_setup": lambda: None},
    }
    for name, contents in modules.items():
        monkeypatch.setitem(sys.modules, f"vllm.entrypoints.{name}", SimpleNamespace(**contents))
    utils = SimpleNamespace(FlexibleArgumentParser=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "vllm.utils.argparse_utils", utils)
    for package in ("vllm", "vllm.entrypoints", "vllm.entrypoints.launchers", "vllm.entrypoints.serve",
                    "vllm.entrypoints.serve.utils", "vllm.utils"):  # fmt: skip
        monkeypatch.setitem(sys.modules, package, SimpleNamespace(__path__=[]))
    monkeypatch.setenv("VLLM_API_KEY", "sk")
    found = vars(_parsed_arguments(["org/m"]))
    assert {name: found[name] or None for name in given} == dict.fromkeys(given)
    assert (found["model"], found["max_num_seqs"]) == ("org/m", 8)
    assert "VLLM_API_KEY" not in os.environ

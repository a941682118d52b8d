"""What the middleware reads of vLLM and its engines is there in the pinned version."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.real_vllm.environment import oldest
from support.real_vllm.source import code_of, packages, words_of
from vllm_operator.vllm.middleware import CLOSED


def test_vllm_counts_the_requests_of_each_engine_where_the_middleware_looks() -> None:
    client = code_of("vllm/v1/engine/core_client.py")
    balancing = client[client.index("class DPLBAsyncMPClient") :]
    assert "self.engine_inflight: Counter[EngineIdentity] = Counter()" in balancing
    assert "self.engine_inflight[self.core_engines[idx]]" in balancing
    assert "self.reqs_in_flight: dict[str, EngineIdentity] = {}" in balancing
    assert "self.engine_core = EngineCoreClient.make_async_mp_client(" in code_of("vllm/v1/engine/async_llm.py")
    assert "app.state.engine_client" in code_of("vllm/entrypoints/serve/instrumentator/basic.py")


def test_vllm_knows_what_its_engines_have_where_the_middleware_looks() -> None:
    outputs, engine = code_of("vllm/v1/engine/output_processor.py"), code_of("vllm/v1/engine/async_llm.py")
    assert "self.request_states: dict[str, RequestState] = {}" in outputs
    assert "self.streaming_input = stream_input" in outputs
    assert "self.output_processor = OutputProcessor(" in engine
    adds = "self.output_processor.add_request(request, prompt, parent_req, index, queue)"
    assert f"{adds}\n        await self.engine_core.add_request_async(request)" in engine


def test_vllm_starts_a_process_of_its_api_for_each_engine_unless_told_otherwise() -> None:
    assert "args.api_server_count = args.data_parallel_size" in code_of("vllm/entrypoints/cli/serve.py")


def test_vllm_says_in_each_step_how_many_requests_it_holds_back() -> None:
    scheduler, loggers = code_of("vllm/v1/core/sched/scheduler.py"), code_of("vllm/v1/metrics/loggers.py")
    assert "num_skipped_waiting_reqs=num_deferred" in scheduler
    assert "name='vllm:num_requests_waiting_by_reason'" in loggers
    assert "self.gauge_waiting_by_reason[WAITING_REASON_DEFERRED][engine_idx].set(" in loggers
    assert "WAITING_REASON_DEFERRED = 'deferred'" in loggers


def test_vllm_takes_the_model_that_a_websocket_names_without_a_word() -> None:
    handling = code_of("vllm/entrypoints/speech_to_text/realtime/connection.py")
    named = handling[handling.index("if event_type == 'session.update':") :].partition("elif")[0]
    assert named.rstrip().endswith("return\n            self._is_model_validated = True")


def test_a_label_tells_the_metrics_of_each_engine_apart() -> None:
    assert {"engine", "model_name"} <= {*words_of("vllm/v1/metrics/loggers.py").splitlines()}


# Routers of vLLM that are no client's, and of its oldest version, which has them all in one file, what a client asks.
_MANAGEMENT = ("serve/dev", "serve/elastic_ep", "serve/fault_tolerance", "serve/profile", "rl")
_OF_CLIENTS = (
    *("/v1", "/v2", "/health", "/load", "/ping", "/version", "/metrics", "/tokenize", "/detokenize"),
    *("/pooling", "/classify", "/score", "/rerank", "/invocations", "/inference/v1/generate"),
)


def routes(file: Path) -> Iterator[str]:
    """The paths that a file registers: of decorators, and of add_api_route."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            path = node.args[0]
            if isinstance(path, ast.Constant) and isinstance(path.value, str) and path.value.startswith("/"):
                yield path.value


def test_nothing_that_manages_the_server_is_open_to_a_client() -> None:
    entrypoints = packages() / "vllm" / "entrypoints"
    managing = {path for part in _MANAGEMENT for file in (entrypoints / part).rglob("*.py") for path in routes(file)}
    managing |= set(routes(oldest() / "vllm" / "entrypoints" / "openai" / "api_server.py"))
    managing = {path for path in managing if not path.startswith(_OF_CLIENTS)}
    assert {"/scale_elastic_ep", "/pause", "/sleep", "/collective_rpc", "/fault_tolerance/apply"} <= managing
    assert {path for path in managing if not path.endswith(CLOSED)} <= {"/tokenizer_info"}

"""What the middleware reads of vLLM and its engines is there in the pinned version."""

from support.real_vllm.source import code_of, words_of


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


def test_a_label_tells_the_metrics_of_each_engine_apart() -> None:
    assert {"engine", "model_name"} <= {*words_of("vllm/v1/metrics/loggers.py").splitlines()}

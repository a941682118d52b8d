"""Reading vLLM's own metrics page."""

from vllm_operator.engine import parse_metrics

# As vLLM 0.32 prints it, with other labels left out.
PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 0.0
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",engine="0",kv_cache_max_concurrency="%s",kv_cache_size_tokens="%s"} 1.0
"""


def test_tokens_and_length_come_from_vllms_cache_config() -> None:
    assert parse_metrics(PAGE % ("256.0", "131072")) == (131072, 512)


def test_a_concurrency_that_is_no_whole_number_still_gives_the_length() -> None:
    assert parse_metrics(PAGE % ("1.1428571428571428", "1024")) == (1024, 896)


def test_a_page_without_the_figures_says_so() -> None:
    assert parse_metrics(PAGE % ("None", "None")) == (None, None)
    assert parse_metrics("") == (None, None)

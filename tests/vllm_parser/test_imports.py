"""What `kubectl vllm import` makes of its cases reaches vLLM's own parser, and means the same there."""

from typing import Any

import pytest

from support.imports import CASES, services
from support.real_vllm.environment import Parser
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.cli.importing.documents import Sources
from vllm_operator.cli.importing.imports import imported
from vllm_operator.cli.importing.sources.command_line import document_of
from vllm_operator.settings import Settings
from vllm_operator.vllm.argv import argv


def parsed(vllm: Parser, service: dict[str, Any]) -> dict[str, Any]:
    """What vLLM understands of the command line that the operator would write."""
    spec = InferenceServiceSpec.model_validate(service["spec"])
    namespace = vllm.parse(argv(spec, service["metadata"]["name"]))
    assert "error" not in namespace, namespace
    return namespace


@pytest.mark.parametrize("name", CASES)
def test_vllm_takes_the_command_line(vllm: Parser, name: str) -> None:
    assert all(parsed(vllm, service) for service in services(name))


# As the source has them, but for what the operator owns and what is gone.
LINES = [
    "org/m --max-model-len 32k --max-num-batched-tokens 8K --kv-cache-memory-bytes 2G -tp 2 -pp=2",
    "org/m --gpu-memory-utilization 0.87 --kv-offloading-size 12.5 --kv_cache_dtype fp8 --block-size 32",
    "org/m --no-enable-prefix-caching --enforce-eager --enable-expert-parallel -O1 --max-model-len -1",
    "--model org/m --revision main --tokenizer org/t --dtype half --quantization awq --trust-remote-code",
    "org/m --speculative-config.method=ngram --speculative-config.num_speculative_tokens=4",
    'org/m --limit-mm-per-prompt {"image":2} --reasoning-parser qwen3 --tool-call-parser hermes --max-logprobs 5',
]


@pytest.mark.parametrize("line", LINES)
def test_an_imported_command_line_means_the_same_to_vllm(vllm: Parser, line: str) -> None:

    sources = Sources(documents=[document_of(["vllm", "serve", *line.split()], 0)])
    (service,) = imported(sources, Settings()).documents
    before, after = vllm.parse(line.split()), parsed(vllm, service)
    owned = {
        "host", "port", "served_model_name", "shutdown_timeout", "middleware", "disable_access_log_for_endpoints",
        "model", "model_tag", "enable_auto_tool_choice", "speculative_config",
    }  # fmt: skip
    changed = {key: (before[key], after[key]) for key in after if before.get(key) != after[key]}
    assert {key: pair for key, pair in changed.items() if key not in owned} == {}

"""What Ray Serve is told for a command line of vLLM."""

import pytest

from support.snapshots import spec
from vllm_operator.vllm.argv import argv
from vllm_operator.vllm.ray import Serving, application

ON_GPUS = Serving(2, gpus=True, deployment={"num_replicas": 3}, patience=900)


def test_the_model_its_name_and_its_engine_are_told() -> None:
    given = spec(tensorParallelSize=2, quantization="awq", toolCallParser="hermes", extraArgs=["--seed=7"])
    (config,) = application(argv(given, "llama"), ON_GPUS)["llm_configs"]
    assert config["model_loading_config"] == {"model_id": "llama", "model_source": "org/model"}
    assert config["engine_kwargs"] == {
        "tensor_parallel_size": 2,
        "quantization": "awq",
        "tool_call_parser": "hermes",
        "enable_auto_tool_choice": True,
        "seed": 7,
    }
    assert config["deployment_config"] == {"num_replicas": 3}


@pytest.mark.parametrize("device", ["GPU", "CPU"])
def test_all_ranks_are_in_one_pod(device: str) -> None:
    serving = Serving(2, gpus=device == "GPU", deployment={}, patience=900)
    (config,) = application(argv(spec(), "llama"), serving)["llm_configs"]
    assert config["accelerator_config"] == {"kind": device.lower()}
    assert config["placement_group_config"] == {"bundle_per_worker": {device: 1}, "strategy": "STRICT_PACK"}


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        (["--enforce-eager", "--no-enable-prefix-caching"], {"enforce_eager": True, "enable_prefix_caching": False}),
        (["--revision=1234567"], {"revision": "1234567"}),
        (["--max-model-len=auto"], {"max_model_len": -1}),
        (['--compilation-config={"mode": "NONE"}'], {"compilation_config": {"mode": "NONE"}}),
        (["--allowed-media-domains", "a.example", "b.example"], {"allowed_media_domains": ["a.example", "b.example"]}),
        (["--kv-cache-dtype=fp8", "--gpu-memory-utilization=0.9"], {"kv_cache_dtype": "fp8"}),
        (["--host=0.0.0.0", "--port=8000", "--middleware=m.M", "--shutdown-timeout=120", "--nnodes=1"], {}),
    ],
)
def test_values_are_what_the_engine_takes_and_those_of_the_server_are_left_out(
    words: list[str], engine: dict[str, object]
) -> None:
    (config,) = application(["org/model", "--served-model-name", "llama", *words], ON_GPUS)["llm_configs"]
    assert engine.items() <= config["engine_kwargs"].items()
    assert len(config["engine_kwargs"]) == len([word for word in words if word.startswith("--")]) or not engine
    assert engine or not config["engine_kwargs"]

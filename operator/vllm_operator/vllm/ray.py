"""What Ray Serve's OpenAI app is told: a command line of `vllm serve`, as the arguments of ray.serve.llm.

The engine gets what `vllm serve` would get, by the names of its arguments. What belongs to vLLM's own server is left
out: Ray has its own. Source: Ray 2.60, llm/_internal/serve (core/configs/llm_config.py, engines/vllm/vllm_models.py).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from .ranks import number_of

RAY_VERSION = "2.60.0"
"""That images/vllm-ray has; an image with another one from 2.52 on does as well."""
IMPORT_PATH = "ray.serve.llm:build_openai_app"
START_TIMEOUT = "RAYLLM_ENGINE_START_TIMEOUT_S"
"""How long Ray waits for an engine, in seconds: 3,600 by default."""
PROXY_STAYS = "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S"
"""How long a proxy is kept on a worker where no replica runs, in seconds: 30 by default."""
# Of vLLM's own server, and what Ray decides by itself.
_OF_SERVER = frozenset(
    {
        "--api-server-count",
        "--disable-access-log-for-endpoints",
        "--distributed-executor-backend",
        "--host",
        "--max-num-queued-reqs",
        "--middleware",
        "--nnodes",
        "--data-parallel-size",
        "--port",
        "--shutdown-timeout",
    }
)
# Texts, whatever they look like: a commit may be a number.
_TEXTS = frozenset({"--revision", "--code-revision", "--tokenizer-revision"})
# Values follow these as words of their own.
_LISTS = frozenset({"--served-model-name", "--allowed-media-domains"})
_SERVED = "--served-model-name"
# vLLM's command line has words for some numbers: engine/arg_utils.py, human_readable_int_or_auto.
_WORDS: dict[tuple[str, str], Any] = {("--max-model-len", "auto"): -1}


class Serving(NamedTuple):
    """How a model is served, beside its engine."""

    ranks: int
    """Processes with a device each."""
    gpus: bool
    """Whether these devices are GPUs; else they are CPUs."""
    deployment: dict[str, Any]
    """Options of the Serve deployment."""
    patience: int
    """Seconds that requests may take which wait for an engine that starts."""


def application(arguments: Sequence[str], serving: Serving) -> dict[str, Any]:
    """The arguments of `build_openai_app` for a command line of `vllm serve`."""
    model, *others = arguments
    engine = dict(_arguments(others))
    (name,) = engine.pop(_SERVED)
    device = "GPU" if serving.gpus else "CPU"
    config = {
        "model_loading_config": {"model_id": name, "model_source": model},
        "accelerator_config": {"kind": device.lower()},
        # All ranks of a replica in one pod.
        "placement_group_config": {"bundle_per_worker": {device: 1}, "strategy": "STRICT_PACK"},
        "engine_kwargs": {_keyword(flag): value for flag, value in engine.items()},
        "deployment_config": serving.deployment,
    }
    return {
        "llm_configs": [config],
        # Only a way through: with a CPU of its own, a second one would need a larger pod. It is replaced with the
        # engine, and the old one has requests that wait for the new engine: Serve would end it after 20 s.
        "ingress_deployment_config": {
            "num_replicas": 1,
            "ray_actor_options": {"num_cpus": 0},
            "graceful_shutdown_timeout_s": serving.patience,
        },
    }


def ranks_of(arguments: Sequence[str]) -> int:
    """Processes with a device each, of a command line."""
    sizes = (number_of(arguments, flag) for flag in ("--tensor-parallel-size", "--pipeline-parallel-size"))
    return prod(size or 1 for size in sizes)


def deployment_name(args: Mapping[str, Any]) -> str:
    """What Serve calls the deployment of the model that the arguments of `build_openai_app` have."""
    name: str = args["llm_configs"][0]["model_loading_config"]["model_id"]
    return f"LLMServer:{name.replace('/', '--').replace('.', '_')}"


def _arguments(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Flags and values; the values of a list are one."""
    held: list[str] = []
    for word in words:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--"):
            held.append(word)
        elif flag in _LISTS:
            held = []
            yield flag, held
        elif flag not in _OF_SERVER:
            yield _said(flag, value if equals else None)


def _said(flag: str, value: str | None) -> tuple[str, Any]:
    if value is None:
        return (f"--{flag.removeprefix('--no-')}", False) if flag.startswith("--no-") else (flag, True)
    if flag in _TEXTS:
        return flag, value
    return flag, _WORDS.get((flag, value), _value(value))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _keyword(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")

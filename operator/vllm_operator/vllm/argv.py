"""From the spec to vLLM's argv and environment. The only module that spells a vLLM flag.

An omitted field omits the flag, so that vLLM's own default stands. Arguments are a list and never meet a shell.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from ..api import InferenceServiceSpec
from ..api.base import bytes_of
from ..api.spec import KvCache, Speculative
from ..settings import Settings
from .middleware import READY, STATE

PORT = 8000
MODELS_DIR = "/models"
CACHE_DIR = "/cache"
TEMPLATE_PATH = "/etc/vllm/chat-template/template.jinja"
CA_PATH = "/etc/vllm/ca/ca.crt"
MIDDLEWARE_PATH = "/etc/vllm/operator/vllm_operator_middleware.py"
# vLLM finishes requests in flight for this long after SIGTERM, then stops its engine. Without it, streams are cut.
DRAIN_TIMEOUT_SECONDS = 120

_SWITCHES: dict[bool, str] = {True: "--", False: "--no-"}
Flag = Callable[[InferenceServiceSpec], Any]

# Field of the spec -> the flag that carries it. A value of None, and so an omitted field, omits the flag; a bool picks
# the flag's --no- form. The order is the order of argv.
FLAGS: dict[str, tuple[str, Flag]] = {
    "model.revision": ("revision", lambda s: s.model.revision),
    "model.tokenizer.uri": ("tokenizer", lambda s: s.model.tokenizer and location(s.model.tokenizer.uri)),
    "model.tokenizer.revision": ("tokenizer-revision", lambda s: s.model.tokenizer and s.model.tokenizer.revision),
    "model.trustRemoteCode": ("trust-remote-code", lambda s: s.model.trust_remote_code),
    "quantization": ("quantization", lambda s: s.quantization),
    "dtype": ("dtype", lambda s: s.dtype),
    "tensorParallelSize": ("tensor-parallel-size", lambda s: s.tensor_parallel_size),
    "pipelineParallelSize": ("pipeline-parallel-size", lambda s: s.pipeline_parallel_size),
    "expertParallel": ("enable-expert-parallel", lambda s: s.expert_parallel),
    "maxModelLen": ("max-model-len", lambda s: s.max_model_len),
    "maxNumSeqs": ("max-num-seqs", lambda s: s.max_num_seqs),
    "maxNumBatchedTokens": ("max-num-batched-tokens", lambda s: s.max_num_batched_tokens),
    "maxQueuedRequests": ("max-num-queued-reqs", lambda s: s.max_queued_requests),
    "enforceEager": ("enforce-eager", lambda s: s.enforce_eager),
    "kvCache.dtype": ("kv-cache-dtype", lambda s: s.kv_cache and s.kv_cache.dtype),
    "kvCache.gpuMemoryUtilizationPercent": ("gpu-memory-utilization", lambda s: _fraction(s.kv_cache)),
    "kvCache.memoryPerGPU": (
        "kv-cache-memory-bytes",
        lambda s: _bytes(s.kv_cache.memory_per_gpu if s.kv_cache else None),
    ),
    "kvCache.blockSize": ("block-size", lambda s: s.kv_cache and s.kv_cache.block_size),
    "kvCache.prefixCaching": ("enable-prefix-caching", lambda s: s.kv_cache and s.kv_cache.prefix_caching),
    "kvCache.cpuOffload": ("kv-offloading-size", lambda s: _gib(s.kv_cache.cpu_offload if s.kv_cache else None)),
    "lora": ("enable-lora", lambda s: True if s.lora else None),
    "lora.maxRank": ("max-lora-rank", lambda s: s.lora and s.lora.max_rank),
    "speculative": ("speculative-config", lambda s: _speculative_config(s.speculative)),
    "toolCallParser": ("tool-call-parser", lambda s: s.tool_call_parser),
    "reasoningParser": ("reasoning-parser", lambda s: s.reasoning_parser),
    "chatTemplate": ("chat-template", lambda s: TEMPLATE_PATH if s.chat_template else None),
}


def location(uri: str) -> str:
    """What vLLM is told for a URI: the repository of hf://, or the path at which a claim is mounted."""
    scheme, rest = uri.split("://", 1)
    return rest if scheme == "hf" else f"{MODELS_DIR}/{rest}"


def claims(spec: InferenceServiceSpec) -> list[str]:
    """Names of the claims that the spec's pvc:// URIs refer to, each once, in a stable order."""
    uris = [spec.model.uri]
    if spec.model.tokenizer:
        uris.append(spec.model.tokenizer.uri)
    if spec.lora:
        uris += [adapter.uri for adapter in spec.lora.adapters]
    if spec.speculative and spec.speculative.model:
        uris.append(spec.speculative.model)
    return sorted({uri.removeprefix("pvc://").split("/", 1)[0] for uri in uris if uri.startswith("pvc://")})


def ranks(spec: InferenceServiceSpec) -> int:
    """Processes with a device each, in one pod."""
    return (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1)


def drain_timeout_seconds(spec: InferenceServiceSpec) -> int:
    """Seconds that requests in flight get to finish after SIGTERM."""
    return (spec.rollout.drain_timeout_seconds if spec.rollout else None) or DRAIN_TIMEOUT_SECONDS


def _fraction(cache: KvCache | None) -> str | None:
    percent = cache.gpu_memory_utilization_percent if cache else None
    return f"{percent / 100:g}" if percent else None


def _bytes(quantity: str | None) -> int | None:
    return bytes_of(quantity) if quantity else None


def _gib(quantity: str | None) -> str | None:
    return f"{bytes_of(quantity) / 2**30:g}" if quantity else None


def _speculative_config(speculative: Speculative | None) -> str | None:
    if not speculative:
        return None
    config: dict[str, Any] = {"method": speculative.method}
    if speculative.model:
        config["model"] = location(speculative.model)
    config["num_speculative_tokens"] = speculative.num_speculative_tokens
    return json.dumps(config)


def _flags(spec: InferenceServiceSpec, commit: str | None) -> Iterator[str]:
    for flag, value_of in FLAGS.values():
        value = commit if commit and flag == "revision" else value_of(spec)
        if isinstance(value, bool):
            yield f"{_SWITCHES[value]}{flag}"
        elif value is not None:
            yield f"--{flag}={value}"


def argv(spec: InferenceServiceSpec, name: str, commit: str | None = None) -> list[str]:
    """Arguments of `vllm serve` for a service called `name`; `commit` is what the model's branch stands for."""
    arguments = [location(spec.model.uri), "--served-model-name", *(spec.model.served_model_names or [name])]
    arguments += ["--host=0.0.0.0", f"--port={PORT}", f"--shutdown-timeout={drain_timeout_seconds(spec)}"]
    arguments += [f"--middleware={PurePosixPath(MIDDLEWARE_PATH).stem}.Middleware"]
    # Probes and scrapes would fill the log that `kubectl logs` shows.
    arguments += [f"--disable-access-log-for-endpoints=/health,/metrics,{READY},{STATE}"]
    arguments += _flags(spec, commit)
    if spec.tool_call_parser:
        arguments.append("--enable-auto-tool-choice")
    if spec.lora:
        arguments += ["--lora-modules", *(f"{adapter.name}={location(adapter.uri)}" for adapter in spec.lora.adapters)]
    return [*arguments, *(spec.extra_args or [])]


def configuration(spec: InferenceServiceSpec) -> dict[tuple[str, str], set[str]]:
    """Keys of the Secrets and ConfigMaps that a pod reads once, when it starts, by kind and name."""
    found: dict[tuple[str, str], set[str]] = {}
    variables = [variable.value_from for variable in spec.env or [] if variable.value_from]
    refs: list[tuple[str, Any]] = [("Secret", spec.model.token_secret_ref), ("Secret", spec.api_key_secret_ref)]
    refs += [("Secret", source.secret_key_ref) for source in variables]
    refs += [("ConfigMap", source.config_map_key_ref) for source in variables]
    refs += [("ConfigMap", spec.chat_template.config_map_key_ref if spec.chat_template else None)]
    for kind, ref in refs:
        if ref:
            found.setdefault((kind, ref.name), set()).add(ref.key)
    return found


def _secret(name: str, ref: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def hub_environment(spec: InferenceServiceSpec, settings: Settings) -> list[dict[str, Any]]:
    """How a pod reaches the model hub: the operator's settings, and the user's token."""
    hub = {
        "HF_ENDPOINT": settings.hub_endpoint,
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
        "NO_PROXY": settings.no_proxy,
        "SSL_CERT_FILE": CA_PATH if settings.ca_config_map else None,
        "REQUESTS_CA_BUNDLE": CA_PATH if settings.ca_config_map else None,
    }
    variables: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in hub.items() if value]
    return [*variables, *([_secret("HF_TOKEN", spec.model.token_secret_ref)] if spec.model.token_secret_ref else [])]


def environment(spec: InferenceServiceSpec, settings: Settings) -> list[dict[str, Any]]:
    """Environment of vLLM's container, as in a PodSpec: the operator's, the hub settings, then the user's own."""
    owned = {
        # The user has no name in upstream's image; torch and getpass look here before they give up.
        "HOME": f"{CACHE_DIR}/home",
        "USER": "vllm",
        "HF_HOME": f"{CACHE_DIR}/huggingface",
        "VLLM_CACHE_ROOT": f"{CACHE_DIR}/vllm",
        "VLLM_CONFIG_ROOT": f"{CACHE_DIR}/vllm-config",
        "TRITON_CACHE_DIR": f"{CACHE_DIR}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_DIR}/torchinductor",
        "XDG_CACHE_HOME": f"{CACHE_DIR}/xdg",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(PurePosixPath(MIDDLEWARE_PATH).parent),
    }
    variables = [{"name": key, "value": value} for key, value in owned.items()]
    variables += hub_environment(spec, settings)
    if spec.api_key_secret_ref:
        variables.append(_secret("VLLM_API_KEY", spec.api_key_secret_ref))
    return variables + [variable.to_manifest() for variable in spec.env or []]

"""From the spec to vLLM's argv and environment.

The flag of a field stands on the field (api/fields.py); here is how its value is written. An omitted field omits the
flag, so that vLLM's own default stands. Arguments are a list and never meet a shell.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from ..api import InferenceServiceSpec
from ..api.base import bytes_of
from ..api.fields import Passed, fields
from ..api.spec import Speculative
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
_FIELDS = tuple(fields(InferenceServiceSpec))


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


def _speculative_config(speculative: Speculative) -> str:
    config: dict[str, Any] = {"method": speculative.method}
    if speculative.model:
        config["model"] = location(speculative.model)
    config["num_speculative_tokens"] = speculative.num_speculative_tokens
    return json.dumps(config)


# What vLLM gets of a field's value, by what the field says of its flag. What is `otherwise` is in `argv`.
_CONVERTERS: dict[Passed, Callable[[Any], Any]] = {
    "value": lambda value: value,
    "fraction": lambda percent: f"{percent / 100:g}",
    "bytes": bytes_of,
    "GiB": lambda quantity: f"{bytes_of(quantity) / 2**30:g}",
    "location": location,
    "JSON": _speculative_config,
    "presence": lambda _: True,
    "path": lambda _: TEMPLATE_PATH,
}


def flag_values(spec: InferenceServiceSpec, commit: str | None = None) -> dict[str, Any]:
    """What each flag of a field gets, in the order of the fields; a field that is left out leaves its flags out.

    `commit` is what the model's branch stands for: it takes the place of the branch.
    """
    values = {}
    for field in _FIELDS:
        value = commit if commit and field.path == "model.revision" else field.value_in(spec)
        for flag in field.flags:
            if value is not None and flag.passed != "otherwise":
                values[flag.name] = _CONVERTERS[flag.passed](value)
    return values


def _flags(spec: InferenceServiceSpec, commit: str | None) -> Iterator[str]:
    for flag, value in flag_values(spec, commit).items():
        yield f"{_SWITCHES[value]}{flag}" if isinstance(value, bool) else f"--{flag}={value}"


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

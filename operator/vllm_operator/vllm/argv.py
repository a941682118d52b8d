"""From the spec to vLLM's argv.

The flag of a field stands on the field (api/fields.py); here is how its value is written. An omitted field omits the
flag, so that vLLM's own default stands. Arguments are a list and never meet a shell.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from ..api import InferenceServiceSpec
from ..api.base import bytes_of
from ..api.fields import Passed, fields
from ..api.flags.versions import needs
from ..api.kv_cache import EVENTS_PORT, KvEvents
from ..api.loading import STREAMERS, LoaderOptions
from ..api.speculation import Speculative
from ..api.storage import BUCKETS
from .listening import IPV4
from .middleware import PAUSE_SECONDS, READY, STATE
from .paths import MIDDLEWARE_PATH, file_path, location, model_location
from .ranks import rank_arguments

PORT = 8000
# vLLM finishes requests in flight for this long after SIGTERM, then stops its engine. Without it, streams are cut.
DRAIN_TIMEOUT_SECONDS = 120
# Names of the ports of KV cache events: of what they tell, and of what they tell again.
EVENT_PORTS = ("kv-events", "kv-replay")

# vLLM takes an empty list for "any". No host can have this name; vLLM shows it to whoever sends an address.
NO_HOST = "no-host-see-allowed-media-domains.invalid"

_SWITCHES: dict[bool, str] = {True: "--", False: "--no-"}
_FIELDS = tuple(fields(InferenceServiceSpec))


def ranks(spec: InferenceServiceSpec) -> int:
    """Processes with a device each, in one pod; of tensorParallelSize auto, as if it were 1."""
    return ranks_of_replica(spec) // spec.nodes


def ranks_of_replica(spec: InferenceServiceSpec) -> int:
    """Processes with a device each, in all pods of a replica."""
    return spec.tensor_size * (spec.pipeline_parallel_size or 1) * engines(spec)


def engines(spec: InferenceServiceSpec) -> int:
    """Engines in one pod, one for each data parallel rank."""
    return spec.data_parallel_size or 1


def event_ports(spec: InferenceServiceSpec) -> dict[str, int]:
    """First port of each kind that KV cache events have, by a name for it; the other engines have the next ones."""
    events = spec.kv_cache.events if spec.kv_cache else None
    if events is None:
        return {}
    ports = zip(EVENT_PORTS, (events.port or EVENTS_PORT, events.replay_port), strict=True)
    return {name: port for name, port in ports if port}


def devices_of(spec: InferenceServiceSpec) -> int:
    """Devices of one pod: one for each rank, or so many slices of one GPU."""
    return spec.accelerator.count or ranks(spec)


def drain_delay_seconds(spec: InferenceServiceSpec) -> int:
    """Seconds for which a pod that ends takes requests as ever. On Ray, pods have no server of vLLM's to wait for."""
    said = spec.rollout.drain_delay_seconds if spec.rollout and not spec.on_ray else None
    return int(PAUSE_SECONDS) if said is None else said


def drain_timeout_seconds(spec: InferenceServiceSpec) -> int:
    """Seconds that requests in flight get to finish after SIGTERM."""
    return (spec.rollout.drain_timeout_seconds if spec.rollout else None) or DRAIN_TIMEOUT_SECONDS


def _speculative_config(speculative: Speculative) -> str:
    """The fields are called as vLLM's keys are."""
    config: dict[str, Any] = speculative.model_dump(exclude_none=True)
    return json.dumps({**config, "model": location(speculative.model)} if speculative.model else config)


def _events_config(events: KvEvents) -> str:
    config: dict[str, Any] = {"enable_kv_cache_events": True, "publisher": "zmq"}
    config["endpoint"] = f"tcp://*:{events.port or EVENTS_PORT}"
    if events.replay_port:
        config["replay_endpoint"] = f"tcp://*:{events.replay_port}"
    return json.dumps({**config, "topic": events.topic} if events.topic else config)


def _as_json(value: Any) -> str:
    return _events_config(value) if isinstance(value, KvEvents) else _speculative_config(value)


def _loader_config(options: LoaderOptions) -> str:
    """With the keys of vLLM's loaders: model_executor/model_loader, vLLM 0.32."""
    config: dict[str, Any] = {"concurrency": options.concurrency, "distributed": options.distributed}
    config["memory_limit"] = bytes_of(options.memory_limit) if options.memory_limit else None
    if options.num_threads:
        config |= {"enable_multithread_load": True, "num_threads": options.num_threads}
    return json.dumps({key: value for key, value in config.items() if value is not None})


# What vLLM gets of a field's value, by what the field says of its flag. What is `otherwise` is in `argv`.
_CONVERTERS: dict[Passed, Callable[[Any], Any]] = {
    "value": lambda value: value,
    "fraction": lambda percent: f"{percent / 100:g}",
    "bytes": bytes_of,
    "GiB": lambda quantity: f"{bytes_of(quantity) / 2**30:g}",
    "location": location,
    "keys": lambda value: json.dumps(value.model_dump(exclude_none=True)),
    "JSON": _as_json,
    "loader": _loader_config,
    "presence": lambda _: True,
}


def load_format(spec: InferenceServiceSpec) -> str | None:
    """How vLLM is told to load the weights: by a field, or by extraArgs; None: it looks for itself."""
    flag = "--load-format="
    passed = [one.removeprefix(flag) for one in spec.extra_args or () if one.startswith(flag)]
    return spec.model.load_format or spec.model.format or next(iter(passed), None)


def loader(spec: InferenceServiceSpec) -> str:
    """The load format that vLLM comes to: of a bucket, where nothing else is said, the streamer (config/vllm.py)."""
    said = load_format(spec) or "auto"
    return STREAMERS[0] if said == "auto" and spec.model.uri.startswith(BUCKETS) else said


def flag_values(spec: InferenceServiceSpec, commit: str | None = None) -> dict[str, Any]:
    """What each flag of a field gets, in the order of the fields; a field that is left out leaves its flags out.

    `commit` is what the model's branch stands for: it takes the place of the branch.
    """
    values = {}
    for field in _FIELDS:
        value = commit if commit and field.path == "model.revision" else field.value_in(spec)
        for flag in field.flags:
            if value is not None and flag.passed == "path":
                values[flag.name] = file_path(spec, flag.name)
            elif value is not None and flag.passed != "otherwise":
                values[flag.name] = _CONVERTERS[flag.passed](value)
    return values


def _flags(spec: InferenceServiceSpec, commit: str | None) -> Iterator[str]:
    for flag, value in flag_values(spec, commit).items():
        yield f"{_SWITCHES[value]}{flag}" if isinstance(value, bool) else f"--{flag}={value}"


def _if_known(spec: InferenceServiceSpec, flag: str, value: str) -> list[str]:
    """A flag of the operator's own, where the image's vLLM has it."""
    said = f"{flag}={value}"
    return [] if needs(said, spec.image) else [said]


def argv(
    spec: InferenceServiceSpec,
    name: str,
    commit: str | None = None,
    media: Sequence[str] | None = None,
    host: str = IPV4,
) -> list[str]:
    """Arguments of `vllm serve` for a service called `name`; `commit` is what the model's branch stands for.

    `media`: hosts that media may come from, where the spec names none; None: any. An empty list stands for no host.
    `host`: the address to listen on.
    """
    arguments = [model_location(spec.model), "--served-model-name", *(spec.model.served_model_names or [name])]
    arguments += [f"--host={host}", f"--port={PORT}"]
    # Where vLLM does not wait by itself after SIGTERM, the preStop hook has waited before it.
    arguments += _if_known(spec, "--shutdown-timeout", str(drain_timeout_seconds(spec)))
    arguments += [f"--middleware={PurePosixPath(MIDDLEWARE_PATH).stem}.Middleware"]
    domains = media if spec.allowed_media_domains is None else spec.allowed_media_domains
    if domains is not None:
        arguments += ["--allowed-media-domains", *(domains or [NO_HOST])]
    # Probes and scrapes would fill the log that `kubectl logs` shows.
    arguments += _if_known(spec, "--disable-access-log-for-endpoints", f"/health,/metrics,{READY},{STATE}")
    arguments += _flags(spec, commit)
    if whose := spec.model.format:
        arguments += [] if spec.model.load_format else _if_known(spec, "--load-format", whose)
        arguments += _if_known(spec, "--tokenizer-mode", whose)
    if engines(spec) > 1:
        # vLLM would start as many API processes: one alone knows all requests, and which engine has them.
        arguments.append("--api-server-count=1")
    if spec.tool_call_parser:
        arguments.append("--enable-auto-tool-choice")
    if spec.lora:
        arguments += ["--lora-modules", *(f"{adapter.name}={location(adapter.uri)}" for adapter in spec.lora.adapters)]
    return [*arguments, *(spec.extra_args or []), *rank_arguments(spec.nodes)]

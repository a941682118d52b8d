"""What a pod template asks for that the platform team decides on, and what it brings into its pods: of two templates,
whether one asks for no more than the other.

Pure. Whether it is allowed is decided in assess/kept.py. Nothing that the API server fills in by itself is looked at.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ..api import GROUP
from ..api.flags.allowed import LOG_LEVEL_VARIABLE, logs_requests
from .names import CONTAINER, MIDDLEWARE_ANNOTATION, OF_QUEUED_SET, TOPOLOGY_ANNOTATION, is_gpu

_OURS = ("app.kubernetes.io/", f"{GROUP}/")
# The one is looked at by its value; the others bring nothing in, and the deployed template has them where Kueue is.
_NO_MERE_KEYS = (TOPOLOGY_ANNOTATION, *OF_QUEUED_SET)
_REMOTE_CODE = "--trust-remote-code"
# Flags that name models, files or hosts.
_PLACES = frozenset({"--chat-template", "--hf-config-path", "--lora-modules", "--speculative-config", "--tokenizer"})
_PLUGINS = ("--reasoning-parser-plugin", "--tool-parser-plugin")
# Of each field, a hash of this many bytes of each thing, one after the other.
Digests = tuple[bytes, ...]
_BYTES = 8
# What variables there are, `Contents.variables` says with their values.
_OF_VARIABLES = ("environment", "log_levels")


class Privileges(NamedTuple):
    """What may be allowed or not."""

    image: str
    remote_code: bool
    """Whether vLLM runs code from the model's repository."""
    parser_plugins: bool
    """Whether vLLM runs code of the team's own."""
    request_logs: tuple[str, ...]
    """Flags that write what clients send into the log, with their values."""
    log_levels: tuple[str | None, ...]
    """The levels of vLLM's log that a variable sets; None: one that comes from elsewhere."""
    environment: tuple[str, ...]
    """Names of variables."""
    labels: tuple[str, ...]
    annotations: tuple[str, ...]
    """Keys of labels and annotations that are not the operator's own."""
    priority_class: str | None
    runtime_class: str | None
    service_account: str | None
    groups: tuple[int, ...]
    """Groups beside the pod's own."""
    capabilities: tuple[str, ...]
    devices: tuple[str, ...]
    """Extended resources beside GPUs."""
    model_images: tuple[str, ...] = ()
    """Images that are mounted as volumes."""
    topology: str | None = None
    """The label of nodes whose domains groups have to themselves."""
    neighbours: tuple[str, ...] = ()
    """Terms of affinity that name pods of other namespaces: the field, and the term as JSON."""


class Contents(NamedTuple):
    """What a template brings into its pods, as words: all of it follows from the spec and the settings."""

    claims: tuple[str, ...]
    configuration: tuple[str, ...]
    """Secrets and ConfigMaps, by kind and name."""
    paths: tuple[str, ...]
    """Where volumes are mounted."""
    variables: tuple[str, ...]
    """Variables, with their values or where these come from."""
    words: tuple[str, ...]
    """Of the command line what is no flag: the model, adapters, hosts; and flags that name places."""
    gpus: tuple[str, ...]
    """GPUs of a pod, with their number."""
    middleware: tuple[str, ...]
    """The digest of the program that vLLM is given."""


def privileges(template: Mapping[str, Any]) -> Privileges:
    """What a pod template asks for. Raises KeyError, IndexError, TypeError or AttributeError for what is none."""
    meta, spec = template["metadata"], template["spec"]
    container = _container(spec)
    arguments = [str(argument) for argument in container.get("args") or ()]
    flags = [argument.partition("=")[0] for argument in arguments]
    variables = container.get("env") or ()
    limits = (container.get("resources") or {}).get("limits") or {}
    return Privileges(
        image=container["image"],
        remote_code=any(flag.startswith(_REMOTE_CODE) for flag in flags),
        parser_plugins=any(flag in _PLUGINS for flag in flags),
        request_logs=tuple(sorted({argument for argument in arguments if logs_requests(argument)})),
        log_levels=tuple(one.get("value") for one in variables if one["name"] == LOG_LEVEL_VARIABLE),
        environment=tuple(sorted({str(one["name"]) for one in variables})),
        labels=_keys(meta.get("labels")),
        annotations=tuple(key for key in _keys(meta.get("annotations")) if key not in _NO_MERE_KEYS),
        priority_class=spec.get("priorityClassName"),
        runtime_class=spec.get("runtimeClassName"),
        service_account=spec.get("serviceAccountName"),
        model_images=tuple(str(one["image"]["reference"]) for one in spec.get("volumes") or () if "image" in one),
        topology=(meta.get("annotations") or {}).get(TOPOLOGY_ANNOTATION),
        neighbours=tuple(sorted(_neighbours(spec.get("affinity") or {}))),
        groups=tuple(sorted((spec.get("securityContext") or {}).get("supplementalGroups") or ())),
        capabilities=tuple((container.get("securityContext") or {}).get("capabilities", {}).get("add") or ()),
        devices=tuple(sorted(name for name in limits if "/" in name and not is_gpu(name))),
    )


def _container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The server's: of a pod, or a workload, others may have put containers before it."""
    containers: list[Mapping[str, Any]] = spec["containers"]
    return next((one for one in containers if one["name"] == CONTAINER), None) or containers[0]


def contents(template: Mapping[str, Any]) -> Contents:
    """What a pod template brings in. Raises as `privileges`."""
    meta, spec = template["metadata"], template["spec"]
    container = _container(spec)
    volumes = spec.get("volumes") or ()
    limits = (container.get("resources") or {}).get("limits") or {}
    arguments = [str(argument) for argument in container.get("args") or ()]
    program = (meta.get("annotations") or {}).get(MIDDLEWARE_ANNOTATION)
    return Contents(
        claims=tuple(one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one),
        configuration=tuple(sorted({word for one in volumes for word in _sources(one)})),
        paths=tuple(sorted(str(one["mountPath"]) for one in container.get("volumeMounts") or ())),
        variables=tuple(sorted(_variable(one) for one in container.get("env") or ())),
        words=tuple(one for one in arguments if not one.startswith("-") or one.partition("=")[0] in _PLACES),
        gpus=tuple(sorted(f"{name}={amount}" for name, amount in limits.items() if is_gpu(name))),
        middleware=(hashlib.sha256(str(program).encode()).hexdigest()[:16],) if program else (),
    )


def digests(template: Mapping[str, Any]) -> Digests:
    """What it asks for and brings in, hashed. Raises as `privileges`."""
    fields = privileges(template)._asdict() | contents(template)._asdict()
    return tuple(_hashed(name, _things(value)) for name, value in fields.items() if value and name not in _OF_VARIABLES)


def _things(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@lru_cache(maxsize=12)
def _hashed(name: str, things: tuple[Any, ...]) -> bytes:
    """One value for all services with the same: most fields of one are as those of the one before."""
    return b"".join(hashlib.sha256(repr((name, one)).encode()).digest()[:_BYTES] for one in things)


def is_within(asked: Digests, has: Digests) -> bool:
    """Whether what has the digests `has` asks for all that what has `asked` does."""
    return _each(asked) <= _each(has)


def _each(found: Digests) -> set[bytes]:
    return {field[start : start + _BYTES] for field in found for start in range(0, len(field), _BYTES)}


def _sources(volume: Mapping[str, Any]) -> Iterator[str]:
    """The Secrets and ConfigMaps of a volume."""
    if "configMap" in volume:
        yield f"ConfigMap {volume['configMap']['name']}"
    for source in volume.get("projected", {}).get("sources") or ():
        for kind, told in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if kind in source:
                yield f"{told} {source[kind]['name']}"


def _neighbours(affinity: Mapping[str, Any]) -> Iterator[str]:
    for field in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(field) or {}
        weighed = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms = [*(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ()), *weighed]
        for term in (one.get("podAffinityTerm", one) for one in terms):
            if any(term.get(name) is not None for name in ("namespaces", "namespaceSelector")):
                yield f"{field} {json.dumps(term, sort_keys=True)}"


def _variable(variable: Mapping[str, Any]) -> str:
    """A variable as a text, without what the API server fills in."""
    source = variable.get("valueFrom") or {}
    parts = [f"{kind} {ref.get('name', '')} {ref.get('key', ref.get('fieldPath', ''))}" for kind, ref in source.items()]
    return "=".join([str(variable["name"]), *(parts or [str(variable.get("value") or "")])])


def _keys(keys: Mapping[str, str] | None) -> tuple[str, ...]:
    return tuple(sorted(key for key in keys or () if not key.startswith(_OURS)))

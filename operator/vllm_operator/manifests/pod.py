"""The pod template: vLLM's container, its probes, its volumes, and how it ends.

Rendered once per change of the spec and kept (revision.py): a change here reaches a running service only with its next
change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import PurePosixPath
from typing import Any

from ..api import GROUP
from ..api.base import KeyRef, bytes_of, gibibytes
from ..api.pod import PodSettings
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..settings import Settings
from ..vllm import middleware
from ..vllm.argv import PORT, argv, devices_of, drain_delay_seconds, drain_timeout_seconds, engines, event_ports, ranks
from ..vllm.carried import carried, middleware_text
from ..vllm.environment import POD_VARIABLES, configuration, environment, media_hosts
from ..vllm.listening import address
from ..vllm.paths import (
    CA_PATH,
    CACHE_DIR,
    HOME_DIR,
    MIDDLEWARE_PATH,
    MODELS_DIR,
    PLUGINS_DIR,
    TEMPLATE_PATH,
    claims,
    model_image,
    plugins,
)
from ..vllm.ranks import REFERENCES
from .affinity import node_affinity
from .amounts import (
    STARTUP_TIMEOUT_SECONDS,
    STOP_SECONDS,
    GiB,
    memory_beside_bytes,
    memory_limit_bytes,
    shared_memory_bytes,
)
from .devices import CLAIM, REQUEST_ANNOTATION, device_request, pod_claims
from .hardening import VERSION, VERSION_ANNOTATION
from .image_volume import IMAGE_MOUNT, image_volume
from .literal import literal, literal_values
from .metadata import Manifest, compact, identity, labels
from .names import (
    CLASS_LABEL,
    CONTAINER,
    MIDDLEWARE_ANNOTATION,
    PORT_NAME,
    REVISION_LABEL,
    RUNTIME_ANNOTATION,
    SERVICE_UID_LABEL,
    TOPOLOGY_ANNOTATION,
)
from .placement import node_selector, tolerations
from .security import FOR_RDMA, container_security, pod_security

# Rolls the pods even where a fresh rendering comes out the same.
RESTARTED_ANNOTATION = f"{GROUP}/restarted-at"
_MOST_OF_A_TIME = 40
PROBE_PERIOD_SECONDS = 5
# An engine that hangs, or that is still loading, drains nothing: waiting for it would hold its GPUs for longer.
KILL_GRACE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a rendering takes from the moment it is made in, beside spec and settings."""

    commit: str | None = None
    """The commit that the model's branch stands for now: all pods of the rendering serve it."""
    products: tuple[str, ...] = ()
    """GPU products that the pods are pinned to, where others would not do; empty: no restriction."""


def pod_template(service: InferenceService, settings: Settings, rendering: Rendering = Rendering()) -> Manifest:
    """The PodTemplateSpec of a service, labelled with the service's revision."""
    spec, pod = service.spec, service.spec.pod or PodSettings.model_validate({})
    of_class = {CLASS_LABEL: spec.serving_class_name} if spec.serving_class_name else {}
    of_service = {SERVICE_UID_LABEL: service.uid} if service.uid else {}
    template = {
        "metadata": {
            "labels": {
                **(pod.labels or {}),
                **labels(service),
                **of_service,
                **of_class,
                REVISION_LABEL: service.revision,
            },
            "annotations": _annotations(spec, pod),
        },
        "spec": {
            "containers": [_container(service, settings, rendering)],
            "volumes": _volumes(service, settings),
            # A Service called `vllm` would otherwise set VLLM_PORT to an URL, which vLLM refuses to start with.
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            # The preStop hook (vllm/middleware.py) pauses, then drains.
            "terminationGracePeriodSeconds": drain_delay_seconds(spec) + drain_timeout_seconds(spec) + STOP_SECONDS,
            "securityContext": pod_security(pod.fs_group, settings.pod_security, spec.accelerator.resource),
            "resourceClaims": pod_claims(service),
            **_scheduling(service, pod, rendering),
        },
    }
    return compact(template)


def restarted_in(template: Mapping[str, Any]) -> str:
    """The rollout.restartedAt that a pod template was made with; empty where it was made with none."""
    said = (template["metadata"].get("annotations") or {}).get(RESTARTED_ANNOTATION, "")
    return said if isinstance(said, str) and len(said) <= _MOST_OF_A_TIME else ""


@cache
def middleware_source() -> str:
    """Our middleware, as it goes into every template."""
    return carried(middleware_text(), "vllm/middleware.py")


def _annotations(spec: InferenceServiceSpec, pod: PodSettings) -> dict[str, str]:
    restarted = {RESTARTED_ANNOTATION: spec.rollout.restarted_at} if spec.rollout and spec.rollout.restarted_at else {}
    request = device_request(spec)
    ours = {VERSION_ANNOTATION: str(VERSION), MIDDLEWARE_ANNOTATION: middleware_source()}
    claimed = {REQUEST_ANNOTATION: request} if request else {}
    # LeaderWorkerSet goes by the one on the set, which is made of this one (group.py): so the template that is kept
    # says where groups are, and a changed class rolls none.
    topology = pod.exclusive_topology if spec.nodes > 1 else None
    placed = {TOPOLOGY_ANNOTATION: topology} if topology else {}
    run = {RUNTIME_ANNOTATION: spec.runtime} if spec.runtime else {}
    return {**(pod.annotations or {}), **restarted, **ours, **claimed, **placed, **run}


def _container(service: InferenceService, settings: Settings, rendering: Rendering) -> Manifest:
    spec = service.spec
    budget = spec.startup_timeout_seconds or STARTUP_TIMEOUT_SECONDS
    health = _get("/health")
    return {
        "name": CONTAINER,
        "image": settings.image_of(spec),
        "imagePullPolicy": "IfNotPresent",
        "command": ["vllm", "serve"],
        "args": [_argument(argument) for argument in command_line(service, settings, rendering)],
        "env": literal_values(environment(spec, settings)),
        "ports": server_ports(spec),
        "resources": _resources(spec),
        "volumeMounts": _mounts(service, settings),
        # vLLM listens only once its engine is ready, so the start-up probe is exact.
        "startupProbe": {
            **health,
            "periodSeconds": PROBE_PERIOD_SECONDS,
            "failureThreshold": ceil(budget / PROBE_PERIOD_SECONDS),
            "terminationGracePeriodSeconds": KILL_GRACE_SECONDS,
        },
        "readinessProbe": {**_get(middleware.READY), "periodSeconds": PROBE_PERIOD_SECONDS, "failureThreshold": 2},
        "livenessProbe": {
            **health,
            "timeoutSeconds": 10,
            "periodSeconds": 10,
            "failureThreshold": 3,
            "terminationGracePeriodSeconds": KILL_GRACE_SECONDS,
        },
        # Endpoints learn of the deletion while the pod still takes requests; only then vLLM gets SIGTERM.
        "lifecycle": {"preStop": {"exec": {"command": _drain(spec)}}},
        # A failed container's last lines then stand in its status, where the diagnosis finds them.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(FOR_RDMA if spec.accelerator.rdma else ()),
    }


def _drain(spec: InferenceServiceSpec) -> list[str]:
    """The preStop hook: no shell, and nothing of the user's."""
    delay = drain_delay_seconds(spec)
    # Without -I, Python would take modules from the current folder.
    command = ["python3", "-I", MIDDLEWARE_PATH, str(PORT), str(drain_timeout_seconds(spec))]
    return command if delay == middleware.PAUSE_SECONDS else [*command, str(delay)]


def command_line(service: InferenceService, settings: Settings, rendering: Rendering) -> list[str]:
    """vLLM's argv, not yet as it must stand in `args`."""
    return argv(service.spec, service.name, rendering.commit, media_hosts(settings), address(settings))


def _argument(argument: str) -> str:
    """As it must stand in `args`. The topic of KV cache events, and ranks, alone refer to variables: the pod's own."""
    if argument in REFERENCES:
        return argument
    text = literal(argument)
    for name in POD_VARIABLES if argument.startswith("--kv-events-config=") else ():
        text = text.replace(f"$$({name})", f"$({name})")
    return text


def server_ports(spec: InferenceServiceSpec) -> list[Manifest]:
    """The ports of the server's container: of the API, and of KV cache events for each engine."""
    of_events = [
        (f"{name}-{engine}" if engine else name, first + engine)
        for name, first in event_ports(spec).items()
        for engine in range(engines(spec))
    ]
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in [(PORT_NAME, PORT), *of_events]]


def _get(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": PORT_NAME}, "timeoutSeconds": 5}


def _resources(spec: InferenceServiceSpec) -> Manifest:
    """Requests are always there. /dev/shm and the KV cache offload live in memory, so they are added to them."""
    count = ranks(spec)
    given = spec.resources
    requests = given.requests if given else None
    limits = given.limits if given else None
    cpu_limit, memory_limit = (limits.cpu, limits.memory) if limits else (None, None)
    # Without a request, Kubernetes takes the limit; so do we, before a default that could lie above it.
    cpu = (requests.cpu if requests else None) or cpu_limit or str(2 + count)
    memory = (requests.memory if requests else None) or memory_limit or gibibytes((8 + 4 * count) * GiB)
    devices = _devices(spec)
    disk, disk_limit = (given.ephemeral_storage if given else None for given in (requests, limits))
    return {
        "claims": [{"name": CLAIM}] if spec.accelerator.device_class else None,
        "requests": {
            "cpu": cpu,
            "memory": gibibytes(bytes_of(memory) + memory_beside_bytes(spec)),
            "ephemeral-storage": disk,
            **devices,
        },
        "limits": {
            "cpu": cpu_limit,
            "memory": gibibytes(whole) if (whole := memory_limit_bytes(spec)) else None,
            "ephemeral-storage": disk_limit,
            **devices,
        },
    }


def _devices(spec: InferenceServiceSpec) -> dict[str, str]:
    """What is asked for by number. Devices of a class are claimed (devices.py)."""
    own, rdma = spec.accelerator, spec.accelerator.rdma
    claimed = own.resource == "cpu" or own.device_class
    devices = {} if claimed else {own.resource: str(devices_of(spec))}
    return devices | ({rdma.resource: str(rdma.count)} if rdma else {})


_MIDDLEWARE_FILE = {
    "path": PurePosixPath(MIDDLEWARE_PATH).name,
    "fieldRef": {"fieldPath": f"metadata.annotations['{MIDDLEWARE_ANNOTATION}']"},
}


_UID_FILE = {
    "path": middleware.UID_FILE.name,
    "fieldRef": {"fieldPath": f"metadata.labels['{SERVICE_UID_LABEL}']"},
}


def _volumes(service: InferenceService, settings: Settings) -> list[Manifest]:
    spec = service.spec
    cache = service.cache_claim_name
    volumes: list[Manifest] = [
        {"name": "cache", **({"persistentVolumeClaim": {"claimName": cache}} if cache else {"emptyDir": {}})},
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": gibibytes(shared_memory_bytes(spec))}},
        {"name": "middleware", "downwardAPI": {"items": [_MIDDLEWARE_FILE, *([_UID_FILE] if service.uid else [])]}},
    ]
    if sources := _configuration(spec):
        volumes.append({"name": "configuration", "projected": {"sources": sources}})
    if keys := spec.api_key_secret_refs:
        volumes.append({"name": "api-keys", "projected": {"sources": [_api_key(ref) for ref in keys]}})
    volumes.extend(
        {"name": _volume_name(spec, claim), "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for claim in claims(spec)
    )
    if image := model_image(spec.model):
        volumes.append(image_volume(image))
    if spec.chat_template and (ref := spec.chat_template.config_map_key_ref):
        volumes.append(
            {
                "name": "chat-template",
                "configMap": {"name": ref.name, "items": [{"key": ref.key, "path": TEMPLATE_PATH.rsplit("/", 1)[1]}]},
            }
        )
    volumes += [
        {"name": flag, "configMap": {"name": ref.name, "items": [{"key": ref.key, "path": "plugin.py"}]}}
        for flag, ref in plugins(spec).items()
    ]
    if settings.ca_config_map:
        volumes.append(
            {
                "name": "ca",
                "configMap": {"name": settings.ca_config_map, "items": [{"key": "ca.crt", "path": "ca.crt"}]},
            }
        )
    return volumes


def _configuration(spec: InferenceServiceSpec) -> list[Manifest]:
    """What the middleware compares, as kind/name/key. Optional: it is the environment that a missing one keeps away."""
    return [
        {
            kind[0].lower() + kind[1:]: {
                "name": name,
                "items": [{"key": key, "path": f"{kind}/{name}/{key}"} for key in sorted(keys)],
                "optional": True,
            }
        }
        for (kind, name), keys in configuration(spec).items()
    ]


def _api_key(ref: KeyRef) -> Manifest:
    """A key that clients may send, as Secret/key. Optional: one that is gone counts no more, and stops no pod."""
    item = {"key": ref.key, "path": f"{ref.name}/{ref.key}"}
    return {"secret": {"name": ref.name, "items": [item], "optional": True}}


def _volume_name(spec: InferenceServiceSpec, claim: str) -> str:
    # A claim's name may be longer than a volume's, and may hold dots.
    return f"models-{claims(spec).index(claim)}"


def _mounts(service: InferenceService, settings: Settings) -> list[Manifest]:
    spec = service.spec
    mounts: list[Manifest] = [
        {"name": "cache", "mountPath": CACHE_DIR},
        {"name": "home", "mountPath": HOME_DIR},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the container, not ours
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        {"name": "middleware", "mountPath": str(PurePosixPath(MIDDLEWARE_PATH).parent), "readOnly": True},
    ]
    if configuration(spec):
        mounts.append({"name": "configuration", "mountPath": str(middleware.CONFIGURATION), "readOnly": True})
    if spec.api_key_secret_refs:
        mounts.append({"name": "api-keys", "mountPath": str(middleware.API_KEYS), "readOnly": True})
    mounts += [
        {"name": _volume_name(spec, claim), "mountPath": f"{MODELS_DIR}/{claim}", "readOnly": True}
        for claim in claims(spec)
    ]
    if model_image(spec.model):
        mounts.append(IMAGE_MOUNT)
    if spec.chat_template and spec.chat_template.config_map_key_ref:
        mounts.append({"name": "chat-template", "mountPath": TEMPLATE_PATH.rsplit("/", 1)[0], "readOnly": True})
    mounts += [{"name": flag, "mountPath": f"{PLUGINS_DIR}/{flag}", "readOnly": True} for flag in plugins(spec)]
    if settings.ca_config_map:
        mounts.append({"name": "ca", "mountPath": CA_PATH.rsplit("/", 1)[0], "readOnly": True})
    return mounts


def _scheduling(service: InferenceService, pod: PodSettings, rendering: Rendering) -> dict[str, Any]:
    spread = [
        {**constraint.to_manifest(), "labelSelector": {"matchLabels": identity(service)}}
        for constraint in pod.topology_spread_constraints or []
    ]
    return {
        "nodeSelector": node_selector(service.spec),
        "tolerations": tolerations(service.spec),
        "affinity": node_affinity(service.spec, pod, rendering.products),
        "topologySpreadConstraints": spread or None,
        "priorityClassName": pod.priority_class_name,
        "runtimeClassName": pod.runtime_class_name,
        "schedulerName": pod.scheduler_name,
        "imagePullSecrets": [secret.to_manifest() for secret in pod.image_pull_secrets or []] or None,
        "serviceAccountName": pod.service_account_name,
    }

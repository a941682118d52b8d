"""The RayService of KubeRay: a Ray cluster of a head and of a worker for each replica, and the OpenAI app in it.

Made of the kept pod template of any service, and of nothing else but how many replicas there are: a spec that is
withheld changes none. Workers are its pods, with Ray in the place of vLLM's server, whose command line becomes the
app's configuration. Serve takes another configuration in place; other pods are another
RayService, so that the GPUs are never taken twice unless the spec says so.
"""

import hashlib
import json
from typing import Any

import yaml

from ..api.ray import RAY_SERVE
from ..api.resource import InferenceService
from ..vllm.argv import PORT
from ..vllm.environment import without_gpus
from ..vllm.listening import told
from ..vllm.middleware import PAUSE_SECONDS
from ..vllm.ranks import number_of
from ..vllm.ray import (
    IMPORT_PATH,
    PROXY_STAYS,
    RAY_VERSION,
    START_TIMEOUT,
    Serving,
    application,
    deployment_name,
    ranks_of,
)
from .amounts import STOP_SECONDS
from .literal import plain
from .metadata import Manifest, compact, metadata
from .names import (
    METRICS_PORT,
    METRICS_PORT_NAME,
    MIDDLEWARE_ANNOTATION,
    PORT_NAME,
    RAY_API,
    RAY_KIND,
    REVISION_LABEL,
    RUNTIME_ANNOTATION,
    SERVICE_UID_LABEL,
    is_gpu,
)

_APPLICATION = "llm"
_WORKERS = "workers"
_MIDDLEWARE, _CACHE = "middleware", "cache"
# The head runs Ray's own services, and no model.
_HEAD_RESOURCES = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
_AUTOSCALER_RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
# What the head has of the pod's volumes: the model and vLLM's configuration are the workers'. The application is made
# there, for which vLLM is imported, which writes into its cache.
_OF_HEAD = ("home", "tmp", "shm", "ca", _CACHE)
# Of vLLM's own server: KubeRay starts Ray instead, whose processes end by themselves.
_OF_SERVER = ("command", "args", "lifecycle", "livenessProbe", "startupProbe")
# KubeRay looks for them by these names.
_PORTS_OF_HEAD = {"gcs-server": 6379, "dashboard": 8265, "serve": PORT, METRICS_PORT_NAME: METRICS_PORT}
# While all replicas of a worker are replaced, Serve's proxy there says that it is drained, and holds requests all the
# same: until the new way through has started, which takes seconds, and half a minute where cores are few.
_PROXY_STAYS_SECONDS = 120
# Where pods lie is said of workers.
_OF_WORKERS = ("affinity", "topologySpreadConstraints")
# Of head and workers: KubeRay's own probes need a program that images may lack.
_ALIVE = {
    "httpGet": {"path": "/api/local_raylet_healthz", "port": 52365},
    "periodSeconds": 10,
    "timeoutSeconds": 5,
    "failureThreshold": 12,
}


def is_on_ray(template: Manifest) -> bool:
    """Whether a kept template is for a RayService."""
    return bool(template["metadata"].get("annotations", {}).get(RUNTIME_ANNOTATION) == RAY_SERVE)


def ray_service(service: InferenceService, template: Manifest) -> Manifest | None:
    """The RayService of a service with its kept pod template; None while it is to have no pods."""
    if service.wanted_replicas == 0:
        return None
    name = f"{service.name}-r{_digest(_cluster(service, _labelled(template, {})))}"
    about = metadata(service, name)
    labels = template["metadata"]["labels"]
    uid = {SERVICE_UID_LABEL: labels[SERVICE_UID_LABEL]} if SERVICE_UID_LABEL in labels else {}
    return {
        "apiVersion": RAY_API,
        "kind": RAY_KIND,
        "metadata": {**about, "labels": {**about["labels"], REVISION_LABEL: labels[REVISION_LABEL]}},
        "spec": {
            # KubeRay makes no second cluster: another one is another RayService.
            "upgradeStrategy": {"type": "None"},
            "serveConfigV2": _configuration(service, template),
            # The revision of its pods is its name, as they outlive what Serve is told.
            "rayClusterConfig": _cluster(service, _labelled(template, {**uid, REVISION_LABEL: name})),
        },
    }


def _labelled(template: Manifest, own: dict[str, str]) -> Manifest:
    """The template with these labels in the place of those that tell services and renderings apart."""
    meta = template["metadata"]
    others = {key: value for key, value in meta["labels"].items() if key not in (REVISION_LABEL, SERVICE_UID_LABEL)}
    return {**template, "metadata": {**meta, "labels": {**others, **own}}}


def _digest(cluster: Manifest) -> str:
    """Short hash of a cluster. KubeRay changes nothing of one that is there, not even how many workers it has."""
    return hashlib.sha256(json.dumps(cluster, sort_keys=True).encode()).hexdigest()[:5]


def _cluster(service: InferenceService, template: Manifest) -> Manifest:
    scaled = service.spec.autoscaling is not None
    cluster = {
        # KubeRay goes by it, and not by the image: token authentication needs 2.52.
        "rayVersion": RAY_VERSION,
        "enableInTreeAutoscaling": True if scaled else None,
        "autoscalerOptions": _autoscaler(template) if scaled else None,
        # Ray's ports run code for whoever reaches them (network.py closes them as well).
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            # No CPUs of the head are Ray's to give: engines run in workers.
            "rayStartParams": {"num-cpus": "0", "num-gpus": "0", "dashboard-host": _host(template)},
            "template": _head(template, with_token=scaled),
        },
        "workerGroupSpecs": [_workers(service, template)],
    }
    return compact(cluster)


def _host(template: Manifest) -> str:
    """What Ray listens on: as vLLM would."""
    (container,) = template["spec"]["containers"]
    return told(container["args"])


def _autoscaler(template: Manifest) -> Manifest:
    """The container of Ray's autoscaler, beside the head: it may do no more than the head."""
    (container,) = template["spec"]["containers"]
    return {
        "securityContext": container["securityContext"],
        "imagePullPolicy": container["imagePullPolicy"],
        "env": without_gpus([variable for variable in container["env"] if variable["name"] == "HOME"]),
        "volumeMounts": [mount for mount in container["volumeMounts"] if mount["name"] in ("home", "tmp")],
        "resources": _AUTOSCALER_RESOURCES,
    }


def _workers(service: InferenceService, template: Manifest) -> Manifest:
    """A worker for each replica."""
    (container,), scaling, fixed = template["spec"]["containers"], service.spec.autoscaling, service.wanted_replicas
    least, most = (scaling.min_replicas, scaling.max_replicas) if scaling else (fixed, fixed)
    ranks = ranks_of(container["args"])
    return {
        "groupName": _WORKERS,
        # What KubeRay's API fills in is said as well: else the list is not as it was applied (snapshots/owned.py).
        "numOfHosts": 1,
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": most,
        # One for each rank, and one for what passes requests on: exactly one replica has room.
        "rayStartParams": {"num-cpus": str(ranks + 1), "num-gpus": str(_gpus(container))},
        "template": _worker(template),
    }


def _gpus(container: Manifest) -> int:
    """GPUs, or slices of them, that a container asks for."""
    limits = container["resources"].get("limits") or {}
    return sum(int(count) for name, count in limits.items() if is_gpu(name))


def _configuration(service: InferenceService, template: Manifest) -> str:
    """What Serve is told. How many replicas there are stands beside `args`, whose every change starts all anew."""
    (container,) = template["spec"]["containers"]
    arguments = [plain(argument) for argument in container["args"]]
    drain = template["spec"]["terminationGracePeriodSeconds"] - int(PAUSE_SECONDS) - STOP_SECONDS
    options = {"graceful_shutdown_timeout_s": drain}
    most = number_of(arguments, "--max-num-queued-reqs")
    if most:
        options["max_queued_requests"] = most
    patience = _startup_seconds(container) + drain
    args = application(arguments, Serving(ranks_of(arguments), _gpus(container) > 0, options, patience))
    app = {
        "name": _APPLICATION,
        "route_prefix": "/",
        "import_path": IMPORT_PATH,
        "args": args,
        "deployments": [{"name": deployment_name(args), **_numbers(service), **_taken(most)}],
    }
    config = {
        "proxy_location": "EveryNode",
        "http_options": {"host": _host(template), "port": PORT},
        "applications": [app],
    }
    return str(yaml.safe_dump(config, sort_keys=False))


def _numbers(service: InferenceService) -> dict[str, Any]:
    """How many replicas there are, or by what Serve decides it."""
    scaling = service.spec.autoscaling
    if scaling is None:
        return {"num_replicas": service.wanted_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.targets.running_requests,
            "upscale_delay_s": scaling.scale_up.stabilization_seconds,
            "downscale_delay_s": scaling.scale_down.stabilization_seconds,
        }
    }


def _taken(most: int | None) -> dict[str, int]:
    """How many requests a replica takes at once. Ray's own default is 10^9, by which none is ever queued, or refused.

    Source: Ray 2.60, llm/_internal/serve (constants.py, core/server/builder.py). Serve takes it from here in place:
    serve/_private/config.py.
    """
    return {"max_ongoing_requests": most} if most else {}


def _worker(template: Manifest) -> Manifest:
    """A pod with Ray in the place of vLLM's server.

    It is ready once Serve's proxy knows of the app, and stays so while replicas are replaced: the proxy holds requests.
    """
    (container,) = template["spec"]["containers"]
    own = {name: value for name, value in container.items() if name not in _OF_SERVER}
    ready = {
        **container["readinessProbe"],
        "httpGet": {"path": "/-/healthz", "port": PORT_NAME},
        "failureThreshold": _PROXY_STAYS_SECONDS // container["readinessProbe"]["periodSeconds"],
    }
    metrics = {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"}
    return _pod(
        template,
        {
            **own,
            "env": [*container["env"], {"name": START_TIMEOUT, "value": str(_startup_seconds(container))}],
            "ports": [*container["ports"], metrics],
            "readinessProbe": ready,
            "livenessProbe": _ALIVE,
        },
    )


def _startup_seconds(container: Manifest) -> int:
    """How long vLLM may take until it serves."""
    probe = container["startupProbe"]
    return int(probe["failureThreshold"] * probe["periodSeconds"])


def _head(template: Manifest, *, with_token: bool) -> Manifest:
    """A pod for Ray's own services. `with_token`: Ray's autoscaler asks the API server for workers."""
    (container,) = template["spec"]["containers"]
    own = {name: value for name, value in container.items() if name not in (*_OF_SERVER, "readinessProbe")}
    own |= {
        "resources": _HEAD_RESOURCES,
        "env": [*without_gpus(container["env"]), {"name": PROXY_STAYS, "value": str(_PROXY_STAYS_SECONDS)}],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _PORTS_OF_HEAD.items()],
        "volumeMounts": [mount for mount in container["volumeMounts"] if mount["name"] in _OF_HEAD],
        "readinessProbe": _ALIVE,
        "livenessProbe": _ALIVE,
    }
    pod = _pod(template, own)
    held = [volume for volume in pod["spec"]["volumes"] if volume["name"] in _OF_HEAD and volume["name"] != _CACHE]
    held.append({"name": _CACHE, "emptyDir": {}})  # the workers' may be for one node only
    spec = {name: value for name, value in pod["spec"].items() if name not in _OF_WORKERS}
    return {**pod, "spec": {**spec, "volumes": held, "automountServiceAccountToken": with_token}}


def _pod(template: Manifest, container: Manifest) -> Manifest:
    """The template with another container, and without our middleware: Ray's app is none of vLLM's."""
    meta, spec = template["metadata"], template["spec"]
    annotations = {key: value for key, value in meta["annotations"].items() if key != MIDDLEWARE_ANNOTATION}
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] != _MIDDLEWARE]
    volumes = [volume for volume in spec["volumes"] if volume["name"] != _MIDDLEWARE]
    return {
        "metadata": {**meta, "annotations": annotations},
        "spec": {**spec, "containers": [{**container, "volumeMounts": mounts}], "volumes": volumes},
    }

"""The download Job, which fetches a model into the cache's claim before any pod takes a GPU.

It runs where the service's pods may run, so that a claim that waits for its first consumer is made in the right zone,
and beside those that run already, as most volumes can be on one node only. It has no token of the API server.
"""

import hashlib
import json

from ..api.resource import InferenceService
from ..settings import Settings
from ..vllm.argv import load_format
from ..vllm.environment import hub_environment
from ..vllm.paths import CA_PATH, CACHE_DIR, location
from .inspection import placement
from .literal import literal, literal_values
from .metadata import Manifest, compact, identity, metadata
from .names import DOWNLOAD_LABEL, INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from .security import container_security

# A Job that failed goes by itself, and is then made again: it goes on with what is there.
RETRY_SECONDS = 600
DEADLINE_SECONDS = 24 * 3600
DOWNLOADER = "download"
"""The container's name."""
_TMP = "/tmp"  # noqa: S108 - a volume of the container
_FAILED = 1
"""The exit status of a download that failed; anything else is the node's."""


def is_downloaded(service: InferenceService, settings: Settings) -> bool:
    """Whether the service's model is fetched by a Job: from the hub, into a claim, by the operator's own image."""
    spec = service.spec
    offline = any(one.name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") for one in spec.env or ())
    from_hub = spec.model.uri.startswith("hf://") and load_format(spec) != "dummy"
    return bool(settings.images.operator) and bool(spec.cache) and from_hub and not offline


def download_key(service: InferenceService, commit: str) -> str:
    """Names what is fetched, and where to: 8 hexadecimal digits."""
    parts = [service.cache_claim_name, service.inspected, commit, load_format(service.spec)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def download_name(service: InferenceService, key: str) -> str:
    """Name of the Job."""
    return f"{service.name}-download-{key}"


def download(service: InferenceService, commit: str, products: tuple[str, ...], settings: Settings) -> Manifest:
    """The Job that fetches a commit of the model. `products`: as of the pods' rendering."""
    key = download_key(service, commit)
    labels = {
        "app.kubernetes.io/name": "vllm-download",
        INSTANCE_LABEL: service.name,
        MANAGED_BY_LABEL: MANAGED_BY,
        DOWNLOAD_LABEL: key,
    }
    # A pod that a node takes away costs no try; one that says why it failed is not tried at once.
    policy = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [_FAILED]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    return compact(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**metadata(service, download_name(service, key)), "labels": labels},
            "spec": {
                "backoffLimit": 3,
                "podFailurePolicy": {"rules": policy},
                "activeDeadlineSeconds": DEADLINE_SECONDS,
                "ttlSecondsAfterFinished": RETRY_SECONDS,
                "template": {"metadata": {"labels": labels}, "spec": _pod(service, commit, products, settings)},
            },
        }
    )


def _pod(service: InferenceService, commit: str, products: tuple[str, ...], settings: Settings) -> Manifest:
    volumes: list[Manifest] = [
        {"name": "cache", "persistentVolumeClaim": {"claimName": service.cache_claim_name}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[Manifest] = [{"name": "cache", "mountPath": CACHE_DIR}, {"name": "tmp", "mountPath": _TMP}]
    if settings.ca_config_map:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        volumes.append({"name": "ca", "configMap": {"name": settings.ca_config_map, "items": items}})
        mounts.append({"name": "ca", "mountPath": CA_PATH.rsplit("/", 1)[0], "readOnly": True})
    home = {"HOME": _TMP, "HF_HOME": f"{CACHE_DIR}/huggingface", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment = [{"name": name, "value": value} for name, value in home.items()]
    container = {
        "name": DOWNLOADER,
        "image": settings.images.operator,
        "imagePullPolicy": "IfNotPresent",
        "args": [literal(argument) for argument in _arguments(service, commit)],
        "env": literal_values([*environment, *hub_environment(service.spec, settings)]),
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "4", "memory": "4Gi"}},
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
    }
    placed = placement(service, settings, products)
    neighbour = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": identity(service)}}
    beside = {"weight": 100, "podAffinityTerm": neighbour}
    near = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [beside]}}
    affinity = {**(placed["affinity"] or {}), **near}
    return {**placed, "affinity": affinity, "restartPolicy": "Never", "containers": [container], "volumes": volumes}


def _arguments(service: InferenceService, commit: str) -> list[str]:
    wanted = load_format(service.spec)
    return [
        "download",
        f"--hub={location(service.spec.model.uri)}",
        f"--revision={commit}",
        *([f"--load-format={wanted}"] if wanted else []),
        "--output=/dev/termination-log",
    ]

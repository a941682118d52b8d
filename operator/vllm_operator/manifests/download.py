"""The download Job, which fetches a model into the cache's claim before any pod takes a GPU.

It runs where the service's pods may run, so that a claim that waits for its first consumer is made in the right zone,
and beside those that run already, as most volumes can be on one node only. It has no token of the API server.
"""

import hashlib
import json

from ..api.loading import is_offline
from ..api.pod import PodSettings
from ..api.resource import InferenceService
from ..settings import Settings
from ..vllm.argv import load_format
from ..vllm.environment import hub_environment
from ..vllm.paths import CACHE_DIR, location
from .affinity import node_affinity
from .job import Amounts, Program, job, job_labels, job_pod
from .metadata import Manifest, identity
from .names import DOWNLOAD_LABEL, DOWNLOADER

# A Job that failed goes by itself, and is then made again: it goes on with what is there.
RETRY_SECONDS = 600
DEADLINE_SECONDS = 24 * 3600
AMOUNTS = Amounts(cpu=("500m", "4"), memory=("1Gi", "4Gi"), ephemeral_storage=("64Mi", "256Mi"))
# The Job's own.
_HOME = {"HF_HOME": f"{CACHE_DIR}/huggingface", "HF_HUB_DISABLE_TELEMETRY": "1"}
# The user's, by which huggingface_hub and hf_xet fetch: timeouts, and whether Xet's stores are asked.
_OF_CLIENT = ("HF_HUB_", "HF_XET_")
# With it hf_xet takes more memory than the Job has.
_NEVER = (*_HOME, "HF_XET_HIGH_PERFORMANCE")
_FAILED = 1
"""The exit status of a download that failed; anything else is the node's."""


def is_downloaded(service: InferenceService, settings: Settings) -> bool:
    """Whether the service's model is fetched by a Job: from the hub, into a claim, by the operator's own image."""
    spec = service.spec
    offline = any(is_offline(one.name, one.value) for one in spec.env or ())
    from_hub = spec.model.uri.startswith("hf://") and load_format(spec) != "dummy"
    return bool(settings.images.operator) and bool(spec.cache) and from_hub and not offline


def download_key(service: InferenceService, commit: str) -> str:
    """Names what is fetched, where to, and how the user has it fetched: 8 hexadecimal digits."""
    parts = [service.cache_claim_name, service.inspected, commit, load_format(service.spec)]
    if client := _client(service):  # what failed for want of one is tried at once with it
        parts.append(json.dumps(client, sort_keys=True))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def download_name(service: InferenceService, key: str) -> str:
    """Name of the Job."""
    return f"{service.name}-download-{key}"


def download(service: InferenceService, commit: str, products: tuple[str, ...], settings: Settings) -> Manifest:
    """The Job that fetches a commit of the model. `products`: as of the pods' rendering."""
    key = download_key(service, commit)
    labels = job_labels(service, "vllm-download", **{DOWNLOAD_LABEL: key})
    # A pod that a node takes away costs no try; one that says why it failed is not tried at once.
    policy = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [_FAILED]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    spec = {
        "backoffLimit": 3,
        "podFailurePolicy": {"rules": policy},
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": RETRY_SECONDS,
    }
    pod = {**job_pod(service, settings, _program(service, commit, settings)), "affinity": _affinity(service, products)}
    return job(service, download_name(service, key), labels, spec, pod)


def _program(service: InferenceService, commit: str, settings: Settings) -> Program:
    environment = [{"name": name, "value": value} for name, value in {**_HOME, **_client(service)}.items()]
    return Program(
        name=DOWNLOADER,
        arguments=_arguments(service, commit),
        environment=[*environment, *hub_environment(service.spec, settings)],
        amounts=AMOUNTS,
        volumes=[{"name": "cache", "persistentVolumeClaim": {"claimName": service.cache_claim_name}}],
        mounts=[{"name": "cache", "mountPath": CACHE_DIR}],
    )


def _client(service: InferenceService) -> dict[str, str]:
    """Variables of `env` that vLLM's own download would go by, as values: a Job is not made anew for another object."""
    given = {variable.name: variable.value for variable in service.spec.env or ()}
    return {
        name: value
        for name, value in given.items()
        if value is not None and name.startswith(_OF_CLIENT) and name not in _NEVER
    }


def _affinity(service: InferenceService, products: tuple[str, ...]) -> Manifest:
    """To the nodes of the service's pods, and rather to those that have one."""
    pod = service.spec.pod or PodSettings.model_validate({})
    own = node_affinity(service.spec, pod, products) or {}
    neighbour = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": identity(service)}}
    beside = {"weight": 100, "podAffinityTerm": neighbour}
    near = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [beside]}}
    return {**({"nodeAffinity": own["nodeAffinity"]} if "nodeAffinity" in own else {}), **near}


def _arguments(service: InferenceService, commit: str) -> list[str]:
    wanted = load_format(service.spec)
    return [
        "download",
        f"--hub={location(service.spec.model.uri)}",
        f"--revision={commit}",
        *([f"--load-format={wanted}"] if wanted else []),
        "--output=/dev/termination-log",
    ]

"""A service on Ray Serve: which of its fields Ray cannot do, field by field. What the others become: manifests/ray.py.

A field that carries flags of vLLM's engine needs no line here: the engine gets the same argument. `SEEN_TO` are those
that are done in another way than in a pod of vLLM's own server, and `REFUSED` those that are not done at all.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .base import Rule, rule
from .storage import BUCKETS

RAY_SERVE = "RayServe"
# <name>-r<5>-<5>-workers-worker-<5>: KubeRay takes no longer name of a RayService than 47.
MOST_CHARACTERS = 40


class Refusal(NamedTuple):
    """Of a field that Ray Serve cannot do: when it is asked for, and what to do instead."""

    asked: str
    """In CEL, of the spec."""
    asks: Callable[[Any], object]
    """The same of a spec that was read: a class may have filled it in."""
    why: str


# Flags that vLLM's server alone reads, and Ray takes without a word. Source: Ray 2.60 and vLLM 0.32, entrypoints.
_OF_SERVER = (
    "allow-credentials|allowed-(headers|methods|origins)|disable-access-log-for-endpoints|disable-fastapi-docs"
    "|disable-uvicorn-access-log|enable-offline-docs|enable-request-id-headers|enable-tokenizer-info-endpoint"
    "|h11-max-header-count|h11-max-incomplete-event-size|root-path|uvicorn-log-level"
)
_NO_KEYS = "Ray's OpenAI app checks no keys: set networkPolicy, and let a gateway check them"
_TARGETS = "has(self.autoscaling) && !(has(self.autoscaling.targets) && has(self.autoscaling.targets.runningRequests)"
REFUSED = {
    "nodesPerReplica": Refusal(
        "has(self.nodesPerReplica) && self.nodesPerReplica > 1",
        lambda s: s.nodes > 1,
        "each replica is one pod of the Ray cluster, so leave it out",
    ),
    "dataParallelSize": Refusal(
        "has(self.dataParallelSize) && self.dataParallelSize > 1",
        lambda s: (s.data_parallel_size or 1) > 1,
        "leave it out, and set replicas",
    ),
    "lora": Refusal("has(self.lora)", lambda s: s.lora, "Ray loads adapters from buckets alone, in a way of its own"),
    "apiKeySecretRef": Refusal("has(self.apiKeySecretRef)", lambda s: s.api_key_secret_ref, _NO_KEYS),
    "apiKeySecretRefs": Refusal("has(self.apiKeySecretRefs)", lambda s: s.api_key_secret_refs, _NO_KEYS),
    "parserPlugins": Refusal("has(self.parserPlugins)", lambda s: s.parser_plugins, "use an image that has the parser"),
    "kvCache.events": Refusal(
        "has(self.kvCache) && has(self.kvCache.events)",
        lambda s: s.kv_cache and s.kv_cache.events,
        "Ray's routers have a way of their own to the prefix cache",
    ),
    "accelerator.count": Refusal(
        "has(self.accelerator) && has(self.accelerator.count)",
        lambda s: s.accelerator.count,
        "Ray counts whole GPUs, so ask for one slice or for GPUs",
    ),
    "accelerator.deviceClass": Refusal(
        "has(self.accelerator) && has(self.accelerator.deviceClass)",
        lambda s: s.accelerator.device_class,
        "Ray counts GPUs by their resource",
    ),
    "model.uri s3:// or gs://": Refusal(
        "self.model.uri.startsWith('s3://') || self.model.uri.startsWith('gs://')",
        lambda s: s.model.uri.startswith(BUCKETS),
        "Ray would copy the bucket by itself, so use hf://, pvc:// or oci://",
    ),
    "model.servedModelNames": Refusal(
        "has(self.model.servedModelNames) && size(self.model.servedModelNames) > 1",
        lambda s: len(s.model.served_model_names or ()) > 1,
        "Ray serves a model under one name",
    ),
    "extraArgs for vLLM's own server": Refusal(
        f"has(self.extraArgs) && self.extraArgs.exists(a, a.matches('^--(no-)?({_OF_SERVER})(=|$)'))",
        lambda s: [one for one in s.extra_args or () if re.match(f"^--(no-)?({_OF_SERVER})(=|$)", one)],
        "Ray has a server of its own, which would take the flag and do nothing",
    ),
    "rollout.maxUnavailable": Refusal(
        "has(self.rollout) && has(self.rollout.maxUnavailable)",
        lambda s: s.rollout and s.rollout.max_unavailable is not None,
        "a Ray cluster is replaced as a whole",
    ),
    "autoscaling.provider KEDA": Refusal(
        "has(self.autoscaling) && self.autoscaling.provider == 'KEDA'",
        lambda s: s.autoscaling and s.autoscaling.provider == "KEDA",
        "Ray Serve's own autoscaler decides, so leave it out",
    ),
    "autoscaling without targets.runningRequests": Refusal(
        f"{_TARGETS} && self.autoscaling.targets.runningRequests > 0)",
        lambda s: s.autoscaling and not s.autoscaling.targets.running_requests,
        "Ray Serve scales by the requests in flight alone",
    ),
}
"""Refused with a sentence that names the field."""

SEEN_TO = {
    "replicas": "replicas of the Serve deployment, and as many workers; another number is another Ray cluster, as "
    "KubeRay changes none; with 0, or `suspend`, there is no RayService",
    "suspend": "deletes the RayService; all else stays",
    "maxQueuedRequests": "`max_ongoing_requests` and `max_queued_requests` of the Serve deployment: each replica takes "
    "so many requests at once, waiting or running; when all have them, Serve's way through to the engines holds so "
    "many again, and answers 503 above that",
    "rollout.drainDelaySeconds": "counts for nothing: Serve's way through sends what comes meanwhile to other replicas",
    "rollout.drainTimeoutSeconds": "`graceful_shutdown_timeout_s`: how long a replica that Serve takes away may finish "
    "its requests; a worker that is deleted takes them along",
    "rollout.maxSurge": "counts where other pods are asked for: above 0, their RayService is made beside the old one, "
    "which goes once all new workers serve; else the old one goes first, and the service is down meanwhile",
    "rollout.restartedAt": "asks for other pods",
    "startupTimeoutSeconds": "`RAYLLM_ENGINE_START_TIMEOUT_S`",
    "autoscaling.minReplicas": "`min_replicas` of Serve's autoscaler, and of the workers",
    "autoscaling.maxReplicas": "`max_replicas` of Serve's autoscaler, and of the workers",
    "autoscaling.targets.runningRequests": "`target_ongoing_requests`: requests in flight of each replica, waiting too"
    "; the other targets count for nothing",
    "autoscaling.scaleUp.stabilizationSeconds": "`upscale_delay_s`",
    "autoscaling.scaleDown.stabilizationSeconds": "`downscale_delay_s`",
    "autoscaling.scaleUp.maxReplicasPerStep": "not done: Ray adds all that it wants at once",
    "networkPolicy": "the same for the port of the OpenAI API; Ray's own ports are for the service's pods and KubeRay "
    "in any case",
    "extraArgs": "the engine gets each as an argument; a value that is JSON as what it stands for",
    "resources": "of each worker; the head has half a core and 2 GiB",
    "pod": "of workers and head alike, but for `topologySpreadConstraints`, which count for workers",
    "model.trustRemoteCode": "in the workers alone",
}
"""Done in another way, or not at all where that is no harm: how."""


def _refusal(field: str, refused: Refusal) -> Rule:
    return rule(
        f"!(has(self.runtime) && self.runtime == '{RAY_SERVE}') || !({refused.asked})",
        f"{field} is not for runtime {RAY_SERVE}: {refused.why}",
    )


RULES = {field: _refusal(field, refused) for field, refused in REFUSED.items()}
NAME_RULE = rule(
    f"!has(self.spec.runtime) || self.spec.runtime != '{RAY_SERVE}' || size(self.metadata.name) <= {MOST_CHARACTERS}",
    f"metadata.name must have at most {MOST_CHARACTERS} characters with runtime {RAY_SERVE}: KubeRay's are longer",
)

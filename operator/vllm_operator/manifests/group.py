"""The LeaderWorkerSet: replicas that are groups of pods, one pod for each node, which live and die together.

Leader and workers are made of the one template that is kept: what a worker is follows from it. So a change of
`_worker` rolls groups at an upgrade of the operator; what is to reach new groups only belongs into the template.
"""

from typing import Any

from ..api import QUEUE_LABEL
from ..api.resource import InferenceService
from ..vllm.ranks import HEADLESS, nodes_of
from .amounts import surge
from .metadata import Manifest, compact, metadata
from .names import GROUP_API, GROUP_KIND, TOPOLOGY_ANNOTATION, group_name

# Seconds that a rank above 0 gets to end: it has no requests of its own to finish.
_WORKER_GRACE_SECONDS = 30
# A worker has no HTTP server: that its container runs is all that can be asked. The leader's probes are those of all.
_OF_SERVER = ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")


def pods_of_replica(template: Manifest) -> int:
    """Pods that each replica of a kept template has: 1 where it is for a Deployment."""
    containers = template.get("spec", {}).get("containers") or [{}]
    return nodes_of(containers[0].get("args") or [])


def leader_worker_set(service: InferenceService, template: Manifest) -> Manifest:
    """The LeaderWorkerSet of a service whose kept template is that of a leader."""
    spec = compact(
        {
            "replicas": service.wanted_replicas,
            # The leader is ready once all ranks are there: to wait for it before they are made would be for ever.
            "startupPolicy": "LeaderCreated",
            "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": _steps(service)},
            "networkConfig": {"subdomainPolicy": "Shared"},
        }
    )
    of_pods = _without_queue(template)
    spec["leaderWorkerTemplate"] = {
        "size": pods_of_replica(template),
        # Ranks do not find each other again: one that ends, ends all.
        "restartPolicy": "RecreateGroupOnPodRestart",
        "leaderTemplate": of_pods,
        "workerTemplate": _worker(of_pods),
    }
    return {
        "apiVersion": GROUP_API,
        "kind": GROUP_KIND,
        "metadata": _metadata(service, template),
        "spec": spec,
    }


def _metadata(service: InferenceService, template: Manifest) -> Manifest:
    """What LeaderWorkerSet and Kueue go by on the set, as the template has it: so what is deployed decides.

    Kueue admits groups as a whole only where the set names the queue: by a label of pods, it queues each pod alone.
    Source: Kueue v0.17, pkg/controller/jobs/leaderworkerset.
    """
    of_pods, meta = template["metadata"], metadata(service, group_name(service.name))
    queue = of_pods.get("labels", {}).get(QUEUE_LABEL)
    topology = of_pods.get("annotations", {}).get(TOPOLOGY_ANNOTATION)
    meta["labels"] = {**meta["labels"], **({QUEUE_LABEL: queue} if queue else {})}
    return {**meta, "annotations": {TOPOLOGY_ANNOTATION: topology}} if topology else meta


def _without_queue(template: Manifest) -> Manifest:
    """A pod that names a queue itself, Kueue 0.17 takes for one that is grouped already, and holds it for ever."""
    meta = template["metadata"]
    named = {key: value for key, value in meta.get("labels", {}).items() if key != QUEUE_LABEL}
    return {**template, "metadata": {**meta, "labels": named}} if QUEUE_LABEL in meta.get("labels", {}) else template


def _steps(service: InferenceService) -> dict[str, int]:
    """Groups, not pods. As with a Deployment, GPUs for one more are not taken unless they are asked for.

    LeaderWorkerSet 0.8 makes no group more where maxSurge is not below the replicas, and then waits for it for ever.
    """
    spec, wanted = service.spec, service.wanted_replicas
    more = surge(spec) if wanted is None else min(surge(spec), max(wanted - 1, 0))
    given = spec.rollout.max_unavailable if spec.rollout else None
    # An autoscaler may ask for no more than maxSurge.
    always = more > 0 and wanted is not None
    return {"maxSurge": more, "maxUnavailable": (given or 0) if always else max(given or 1, 1)}


def _worker(template: Manifest) -> Manifest:
    spec: dict[str, Any] = template["spec"]
    container, *others = spec["containers"]
    worker = {name: value for name, value in container.items() if name not in _OF_SERVER}
    worker["args"] = [*container["args"], HEADLESS]
    grace = min(_WORKER_GRACE_SECONDS, spec["terminationGracePeriodSeconds"])
    return {**template, "spec": {**spec, "containers": [worker, *others], "terminationGracePeriodSeconds": grace}}

"""What the pods of all Jobs of a service have in common: where they may run, what they take, and as whom they run.

Such a pod runs a program of the operator's image for a service, with no GPU, before the service's own pods. It has to
be taken wherever those are: by the nodes that they select, past taints of GPU nodes, and by quotas, limits and queues
of the namespace. Decides nothing about what is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.pod import PodSettings
from ..api.resource import InferenceService
from ..settings import Settings
from ..vllm.paths import CA_PATH
from .literal import literal, literal_values
from .metadata import Manifest, compact, metadata
from .names import INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from .placement import node_selector, tolerations
from .security import container_security, pod_security

TMP = "/tmp"  # noqa: S108 - a volume of the container


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a container takes of a node. A quota may want requests and limits of all three, and a LimitRange may want
    that a limit is no more than some times the request."""

    cpu: tuple[str, str]
    """Request and limit, in cores."""
    memory: tuple[str, str]
    ephemeral_storage: tuple[str, str]
    """The container's log, and files in volumes of the pod's own."""

    def to_manifest(self) -> Manifest:
        """As in a container."""
        named = {"cpu": self.cpu, "memory": self.memory, "ephemeral-storage": self.ephemeral_storage}
        return {
            "requests": {name: request for name, (request, _) in named.items()},
            "limits": {name: limit for name, (_, limit) in named.items()},
        }


@dataclass(frozen=True, slots=True)
class Program:
    """What the one container of a Job runs, of the operator's image."""

    name: str
    """Of the container."""
    arguments: Sequence[str]
    environment: Sequence[Manifest]
    amounts: Amounts
    volumes: Sequence[Manifest] = ()
    mounts: Sequence[Manifest] = ()
    """Both beside /tmp, which is HOME, and the certificates to trust."""


def job_labels(service: InferenceService, what: str, **labels: str) -> dict[str, str]:
    """Labels of a Job called `what` (app.kubernetes.io/name) and of its pod, with those of the service's pods.

    A queue (kueue.x-k8s.io/queue-name), or a policy, goes by the labels of the pods. The Service selects none of them.
    """
    pod = service.spec.pod
    ours = {"app.kubernetes.io/name": what, INSTANCE_LABEL: service.name, MANAGED_BY_LABEL: MANAGED_BY}
    return {**((pod.labels if pod else None) or {}), **ours, **labels}


def job(service: InferenceService, name: str, labels: dict[str, str], spec: Manifest, pod: Manifest) -> Manifest:
    """A Job of the service; `spec` is all but its template, `pod` is of `job_pod`."""
    template = {"metadata": {"labels": labels}, "spec": pod}
    return compact(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**metadata(service, name), "labels": labels},
            "spec": {**spec, "template": template},
        }
    )


def job_pod(service: InferenceService, settings: Settings, program: Program) -> Manifest:
    """The spec of a Job's pod. Needs `settings.images.operator`."""
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}, *program.volumes]
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": TMP}, *program.mounts]
    if settings.ca_config_map:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        volumes.append({"name": "ca", "configMap": {"name": settings.ca_config_map, "items": items}})
        mounts.append({"name": "ca", "mountPath": CA_PATH.rsplit("/", 1)[0], "readOnly": True})
    container = {
        "name": program.name,
        "image": settings.images.operator,
        "imagePullPolicy": "IfNotPresent",
        "args": [literal(argument) for argument in program.arguments],
        "env": literal_values([{"name": "HOME", "value": TMP}, *program.environment]),
        "resources": program.amounts.to_manifest(),
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
    }
    return {**_placement(service, settings), "restartPolicy": "Never", "containers": [container], "volumes": volumes}


def _placement(service: InferenceService, settings: Settings) -> Manifest:
    """Nodes that the service's pods could be on, where its claim can be mounted; no GPU, and no place of theirs."""
    pod = service.spec.pod or PodSettings.model_validate({})
    affinity = pod.affinity.to_manifest() if pod.affinity else {}
    return {
        "nodeSelector": node_selector(service.spec),
        "tolerations": tolerations(service.spec),
        "affinity": {"nodeAffinity": affinity["nodeAffinity"]} if "nodeAffinity" in affinity else None,
        "schedulerName": pod.scheduler_name,
        "imagePullSecrets": pull_secrets(pod, settings) or None,
        "serviceAccountName": pod.service_account_name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(pod.fs_group, settings.pod_security),
    }


def pull_secrets(pod: PodSettings, settings: Settings) -> list[Manifest]:
    """The service's own, and those of the operator's image; each once."""
    own = [secret.name for secret in pod.image_pull_secrets or []]
    return [{"name": name} for name in dict.fromkeys([*own, *settings.image_pull_secrets])]

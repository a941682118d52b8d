"""The inspect Job, which reads what the model is made of, without a GPU, where the service may run; and what is kept.

What the Job says goes with its pod. A ControllerRevision keeps it: the operator writes those anyway, for pod templates,
nobody can edit its data, and it goes with the service.
"""

from typing import Any

from ..api.pod import PodSettings
from ..api.resource import InferenceService
from ..inspection.kept import unpack
from ..settings import Settings
from ..vllm.environment import hub_environment
from ..vllm.paths import CA_PATH, MODELS_DIR, model_image, model_location
from .affinity import node_affinity
from .image_volume import IMAGE_MOUNT, image_volume
from .literal import literal, literal_values
from .metadata import Manifest, compact, metadata
from .names import INSPECTION_LABEL, INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL, PRODUCT_LABELS
from .security import container_security, pod_security

DEADLINE_SECONDS = 300
# A Job that failed goes by itself, and is then made again: a token may be valid by then, or the hub be back.
RETRY_SECONDS = 600
_TMP = "/tmp"  # noqa: S108 - a volume of the container


def inspection_name(service: InferenceService) -> str:
    """Name of the Job that inspects the service's model."""
    return f"{service.name}-inspect-{service.inspected}"


def inspection(service: InferenceService, settings: Settings) -> Manifest:
    """The Job that inspects the service's model. Needs `settings.images.operator`."""
    labels = {
        "app.kubernetes.io/name": "vllm-inspect",
        INSTANCE_LABEL: service.name,
        MANAGED_BY_LABEL: MANAGED_BY,
        INSPECTION_LABEL: service.inspected,
    }
    meta = metadata(service, inspection_name(service))
    return compact(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**meta, "labels": labels},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": DEADLINE_SECONDS,
                "ttlSecondsAfterFinished": RETRY_SECONDS,
                "template": {"metadata": {"labels": labels}, "spec": _pod(service, settings)},
            },
        }
    )


def kept_model_name(service: InferenceService) -> str:
    """The name of the ControllerRevision that keeps what is known of the model that the spec names."""
    return f"{service.name}-model-{service.inspected}"


def kept_model(service: InferenceService, packed: bytes) -> Manifest:
    """The ControllerRevision that keeps what an inspection found; `packed` is of inspection/kept.py."""
    meta = metadata(service, kept_model_name(service))
    meta["labels"] = {**meta["labels"], INSPECTION_LABEL: service.inspected}
    kept: dict[str, Any] = {"model": unpack(packed)}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": 1, "data": kept}


def _pod(service: InferenceService, settings: Settings) -> Manifest:
    claim = model_claim(service)
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": _TMP}]
    if claim:
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append({"name": "model", "mountPath": f"{MODELS_DIR}/{claim}", "readOnly": True})
    if image := model_image(service.spec.model):
        volumes.append(image_volume(image))
        mounts.append(IMAGE_MOUNT)
    if settings.ca_config_map:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        volumes.append({"name": "ca", "configMap": {"name": settings.ca_config_map, "items": items}})
        mounts.append({"name": "ca", "mountPath": CA_PATH.rsplit("/", 1)[0], "readOnly": True})
    container = {
        "name": "inspect",
        "image": settings.images.operator,
        "imagePullPolicy": "IfNotPresent",
        "args": [literal(argument) for argument in _arguments(service)],
        "env": literal_values(_environment(service, settings)),
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
    }
    return {**placement(service, settings), "restartPolicy": "Never", "containers": [container], "volumes": volumes}


def _pull_secrets(pod: PodSettings, settings: Settings) -> list[Manifest]:
    """The service's own, and those of the operator's image; each once."""
    own = [secret.name for secret in pod.image_pull_secrets or []]
    return [{"name": name} for name in dict.fromkeys([*own, *settings.image_pull_secrets])]


def _environment(service: InferenceService, settings: Settings) -> list[Manifest]:
    hub = [] if _is_folder(service) else hub_environment(service.spec, settings)
    return [{"name": "HOME", "value": _TMP}, *hub]


def _arguments(service: InferenceService) -> list[str]:
    model = service.spec.model
    where = "--folder" if _is_folder(service) else "--hub"
    revision = [f"--revision={model.revision}"] if model.revision else []
    return ["inspect", f"{where}={model_location(model)}", *revision, "--output=/dev/termination-log"]


def _is_folder(service: InferenceService) -> bool:
    """Whether the Job has the model in a folder."""
    return bool(model_claim(service) or model_image(service.spec.model))


def model_claim(service: InferenceService) -> str | None:
    """The claim that the model is on; None for a model elsewhere."""
    scheme, _, rest = service.spec.model.uri.partition("://")
    return rest.split("/", 1)[0] if scheme == "pvc" else None


def placement(service: InferenceService, settings: Settings, products: tuple[str, ...] = ()) -> Manifest:
    """Nodes that the service's pods could be on, where its claim can be mounted; no GPU, and no place of theirs.

    `products`: the GPU products that the pods are pinned to, where they are.
    """
    spec, pod = service.spec, service.spec.pod or PodSettings.model_validate({})
    accelerator = spec.accelerator
    product = {PRODUCT_LABELS[accelerator.resource]: accelerator.product} if accelerator.product else {}
    affinity = node_affinity(spec, pod, products) or {}
    return {
        "nodeSelector": {**(pod.node_selector or {}), **product} or None,
        "tolerations": [toleration.to_manifest() for toleration in pod.tolerations] if pod.tolerations else None,
        "affinity": {"nodeAffinity": affinity["nodeAffinity"]} if "nodeAffinity" in affinity else None,
        "imagePullSecrets": _pull_secrets(pod, settings) or None,
        "serviceAccountName": pod.service_account_name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(pod.fs_group),
    }

"""The inspect Job, which reads what the model is made of, without a GPU, where the service may run; and what is kept.

What the Job says goes with its pod. A ControllerRevision keeps it: the operator writes those anyway, for pod templates,
nobody can edit its data, and it goes with the service.
"""

from typing import Any

from ..api.resource import InferenceService
from ..inspection.kept import unpack
from ..settings import Settings
from ..vllm.environment import hub_environment
from ..vllm.paths import MODELS_DIR, model_image, model_location
from .image_volume import IMAGE_MOUNT, image_volume
from .job import Amounts, Program, job, job_labels, job_pod
from .metadata import Manifest, metadata
from .names import INSPECTION_LABEL, INSPECTOR

DEADLINE_SECONDS = 300
# A Job that failed goes by itself, and is then made again: a token may be valid by then, or the hub be back.
RETRY_SECONDS = 600
AMOUNTS = Amounts(cpu=("100m", "1"), memory=("256Mi", "512Mi"), ephemeral_storage=("64Mi", "256Mi"))


def inspection_name(service: InferenceService) -> str:
    """Name of the Job that inspects the service's model."""
    return f"{service.name}-inspect-{service.inspected}"


def inspection(service: InferenceService, settings: Settings) -> Manifest:
    """The Job that inspects the service's model. Needs `settings.images.operator`."""
    labels = job_labels(service, "vllm-inspect", **{INSPECTION_LABEL: service.inspected})
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": RETRY_SECONDS,
    }
    pod = job_pod(service, settings, _program(service, settings))
    return job(service, inspection_name(service), labels, spec, pod)


def kept_model_name(service: InferenceService) -> str:
    """The name of the ControllerRevision that keeps what is known of the model that the spec names."""
    return f"{service.name}-model-{service.inspected}"


def kept_model(service: InferenceService, packed: bytes) -> Manifest:
    """The ControllerRevision that keeps what an inspection found; `packed` is of inspection/kept.py."""
    meta = metadata(service, kept_model_name(service))
    meta["labels"] = {**meta["labels"], INSPECTION_LABEL: service.inspected}
    kept: dict[str, Any] = {"model": unpack(packed)}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "revision": 1, "data": kept}


def _program(service: InferenceService, settings: Settings) -> Program:
    claim = model_claim(service)
    volumes: list[Manifest] = []
    mounts: list[Manifest] = []
    if claim:
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append({"name": "model", "mountPath": f"{MODELS_DIR}/{claim}", "readOnly": True})
    if image := model_image(service.spec.model):
        volumes.append(image_volume(image))
        mounts.append(IMAGE_MOUNT)
    return Program(
        name=INSPECTOR,
        arguments=_arguments(service),
        environment=[] if _is_folder(service) else hub_environment(service.spec, settings),
        amounts=AMOUNTS,
        volumes=volumes,
        mounts=mounts,
    )


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

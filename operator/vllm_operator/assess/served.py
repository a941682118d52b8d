"""What a spec needs of the cluster, and is not there: optional APIs, features, and nodes that may be seen. Pure."""

from collections.abc import Collection, Iterable

from ..api.reasons import Finding, Reason
from ..api.spec import AUTO, InferenceServiceSpec
from ..manifests.image_volume import IMAGE_VOLUMES
from ..manifests.names import RAY_KIND
from ..settings import Settings
from ..vllm.paths import model_image
from .resolution import OPERATOR, Resolved

_BLIND = (
    "tensorParallelSize: auto chooses among the GPUs of the nodes, and the operator may not read nodes, as it looks "
    "after some namespaces only: set a number"
)
_OLD = (
    "model.uri is an image (oci://), and this Kubernetes mounts none: it does from version 1.35 on; copy the model "
    "into a claim and use pvc://claim/path, or hf://"
)
_NO_CLAIMS = (
    "accelerator.deviceClass needs the API resource.k8s.io/v1 (Kubernetes 1.34 or newer), which the cluster does not "
    "serve: remove it, and use accelerator.resource"
)
_NO_GROUPS = (
    "nodesPerReplica needs the API leaderworkerset.x-k8s.io/v1, which the cluster does not serve: install "
    "LeaderWorkerSet (https://lws.sigs.k8s.io), or leave it out"
)
_NO_RAY = (
    "runtime: RayServe needs the API ray.io/v1, which the cluster does not serve: install KubeRay "
    "(https://docs.ray.io/en/latest/cluster/kubernetes), or leave runtime out"
)
_NO_RAY_IMAGE = (
    "runtime: RayServe needs an image with vLLM and Ray (images/vllm-ray makes one), and none is named: set image, or "
    "ask the platform team for a ServingClass that names it in images, or for the setting images.ray"
)


def blind(spec: InferenceServiceSpec, *, sees_nodes: bool) -> Finding | None:
    """That GPUs are to be chosen, and that nobody knows which there are."""
    undecided = spec.tensor_parallel_size == AUTO
    return (Reason.NODES_UNREADABLE, _BLIND) if undecided and not sees_nodes else None


def unserved(
    spec: InferenceServiceSpec, resolved: Iterable[Resolved], served: Collection[str], settings: Settings
) -> Finding | None:
    """What of all this the cluster lacks: claims of devices, groups, Ray, images as volumes.

    `served`: the optional kinds and the features that it has. `resolved`: what was filled in of the spec.
    """
    if spec.accelerator.device_class is not None and "ResourceClaimTemplate" not in served:
        return Reason.DEVICE_CLAIMS_UNSERVED, _NO_CLAIMS
    if spec.nodes > 1 and "LeaderWorkerSet" not in served:
        return Reason.LEADER_WORKER_SETS_UNSERVED, _NO_GROUPS
    if spec.on_ray and RAY_KIND not in served:
        return Reason.RAY_SERVICES_UNSERVED, _NO_RAY
    offered = ((one.field, one.source) for one in resolved)
    if spec.on_ray and not settings.images.ray and ("image", OPERATOR) in offered:
        return Reason.RAY_IMAGE_MISSING, _NO_RAY_IMAGE
    missing = model_image(spec.model) and IMAGE_VOLUMES not in served
    return (Reason.IMAGE_VOLUMES_MISSING, _OLD) if missing else None

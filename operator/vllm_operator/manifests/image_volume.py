"""An image that holds a model, as a volume: of the pods, and of the Job that inspects it. Kubernetes 1.35 or newer.

The kubelet pulls it with the pod's secrets: https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/
"""

from ..vllm.paths import MODEL_IMAGE_DIR
from .metadata import Manifest

IMAGE_VOLUMES = "ImageVolume"
"""The feature of Kubernetes, by the name of its gate."""
_NAME = "model-image"
IMAGE_MOUNT: Manifest = {"name": _NAME, "mountPath": MODEL_IMAGE_DIR, "readOnly": True}


def image_volume(image: str) -> Manifest:
    """The volume. A tag may move, so the registry is asked each time; what a digest names never changes."""
    policy = "IfNotPresent" if "@" in image else "Always"
    return {"name": _NAME, "image": {"reference": image, "pullPolicy": policy}}

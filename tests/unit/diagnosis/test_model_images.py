"""Why a model's image (oci://) is not there, as kubelet 1.36 says it with containerd 1.6 and 2.4: bench/images.py."""

from typing import Any

import pytest

from support.pod_status import found, pod
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import refusals
from vllm_operator.snapshots.inspection_pod import InspectionPod, snapshot
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.snapshots.pod import pod as pod_of

IMAGE = "localhost:5057/models/tiny:none"
VOLUME = {"name": "model-image", "image": {"reference": IMAGE, "pullPolicy": "Always"}}
NO_TAG = (
    f'rpc error: code = NotFound desc = failed to pull and unpack image "{IMAGE}": failed to resolve image: '
    f"{IMAGE}: not found"
)
NO_SECRET = (
    f'failed to pull and unpack image "{IMAGE}": failed to resolve image: pull access denied, repository does not '
    "exist or may require authorization: authorization failed: no basic auth credentials"
)
NO_TLS = (
    f'failed to pull and unpack image "{IMAGE}": failed to resolve image: failed to do request: Head '
    '"https://localhost:5057/v2/models/tiny/manifests/none": tls: first record does not look like a TLS handshake'
)
NO_ROUTE = (
    f'failed to pull and unpack image "{IMAGE}": failed to do request: Head "http://localhost:5057/v2/models/tiny/'
    'manifests/none": dial tcp 127.0.0.1:5057: connect: connection refused'
)
MOUNTS_NONE = (
    'failed to generate container "d5ac3f6d05f8f97c1ff9250bb63b9ef2b109dfdc246d6e6415c1acaa7ceedae5" spec: failed to '
    'generate spec: failed to mkdir "": mkdir : no such file or directory'
)


def body(reason: str, message: str, name: str = "vllm") -> dict[str, Any]:
    return {
        "metadata": {"name": "llama-0", "labels": {"inspected": "0a1b"}},
        "spec": {
            "nodeName": "gpu-1",
            "containers": [{"name": "vllm", "image": "registry/vllm:1"}],
            "volumes": [VOLUME],
        },
        "status": {
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [
                {"name": name, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}
            ],
        },
    }


def waiting(reason: str, message: str) -> PodSnapshot:
    return pod_of(body(reason, message))


def inspecting(reason: str, message: str) -> InspectionPod:
    seen = snapshot(body(reason, message, "inspect"), "inspected")
    assert seen
    return seen


@pytest.mark.parametrize(
    ("message", "told"),
    [(NO_TAG, "it does not exist: check name and tag"), (NO_SECRET, "pod.imagePullSecrets for a private registry")],
)
def test_a_model_image_that_is_not_pulled_is_named_and_not_that_of_vllm(message: str, told: str) -> None:
    back_off = f'Back-off pulling image "{IMAGE}": ErrImagePull: {message}'
    for reason, said in (("ErrImagePull", message), ("ImagePullBackOff", back_off)):
        assert found(waiting(reason, said))[0] is Reason.IMAGE_PULL_FAILED
        text = found(waiting(reason, said))[1]
        assert text.startswith(f"the model's image {IMAGE} cannot be pulled for pod llama-0: "), text
        assert told in text
        finding = refusals.inspected_image(IMAGE, inspecting(reason, said))
        assert finding
        assert finding[0] is Reason.IMAGE_PULL_FAILED
        assert told in finding[1]


def test_vllms_own_image_is_named_where_it_is_that_one() -> None:
    said = 'failed to pull and unpack image "registry/vllm:1": not found'
    assert "image registry/vllm:1 cannot be pulled" in found(waiting("ErrImagePull", said))[1]
    assert refusals.inspected_image(IMAGE, inspecting("ErrImagePull", said)) is None, "that is the operator's own image"


@pytest.mark.parametrize("message", [NO_ROUTE, NO_TLS])
def test_what_may_pass_is_waited_for(message: str) -> None:
    assert "cannot reach the registry" in found(waiting("ErrImagePull", message))[1]
    assert refusals.inspected_image(IMAGE, inspecting("ErrImagePull", message)) is None
    assert refusals.inspected_image(IMAGE, inspecting("ContainerCreating", "")) is None


def test_a_runtime_that_mounts_no_images_is_told_with_what_to_do() -> None:
    reason, text = found(waiting("CreateContainerError", MOUNTS_NONE))
    assert reason is Reason.IMAGE_VOLUMES_MISSING
    assert "the container runtime of node gpu-1 mounts no images" in text
    assert "containerd 2.1 or newer" in text
    assert refusals.inspected_image(IMAGE, inspecting("CreateContainerError", MOUNTS_NONE)) == (reason, text)
    # Without an image among the volumes, the words mean something else.
    other = pod({"state": {"waiting": {"reason": "CreateContainerError", "message": MOUNTS_NONE}}})
    assert found(other)[0] is Reason.CONTAINER_CONFIG


DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("image", "spelled"),
    [
        (f"localhost:5057/models/tiny:v1@{DIGEST}", f"localhost:5057/models/tiny@{DIGEST}"),
        ("docker.io/tiny:v1", "docker.io/library/tiny:v1"),
        (f"docker.io/tiny:v1@{DIGEST}", f"docker.io/library/tiny@{DIGEST}"),
    ],
)
def test_the_image_is_known_in_containerds_spelling_too(image: str, spelled: str) -> None:
    for shown in (image, spelled):
        message = NO_TAG.replace(IMAGE, shown)
        verdict = refusals.inspected_image(image, inspecting("ErrImagePull", message))
        assert verdict is not None, shown
        assert f"the model's image {image} cannot be pulled" in verdict[1]

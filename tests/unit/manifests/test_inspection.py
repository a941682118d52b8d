"""What the inspect Job's pod needs beside the service's own: what the operator's image is pulled with."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.manifests import inspection
from vllm_operator.manifests.image_volume import image_volume
from vllm_operator.settings import Images, Settings


@pytest.mark.parametrize(
    ("own", "setting", "expected"),
    [
        ([], (), None),
        (["team"], (), ["team"]),
        ([], ("platform",), ["platform"]),
        (["team", "platform"], ("platform", "mirror"), ["team", "platform", "mirror"]),
    ],
)
def test_the_operators_image_is_pulled_with_the_settings_secrets_too(
    own: list[str], setting: tuple[str, ...], expected: list[str] | None
) -> None:
    pod: dict[str, Any] = {"imagePullSecrets": [{"name": name} for name in own]} if own else {}
    settings = Settings(images=Images(operator="vllm-operator:1"), image_pull_secrets=setting)
    found = inspection(service(pod=pod), settings)["spec"]["template"]["spec"].get("imagePullSecrets")
    assert found == ([{"name": name} for name in expected] if expected else None)


def test_a_model_in_an_image_is_read_from_the_same_volume() -> None:
    model = {"uri": "oci://registry.example.com/llama:1", "imagePath": "models/a"}
    settings = Settings(images=Images(operator="vllm-operator:1"))
    pod = inspection(service(model=model), settings)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:2] == ["inspect", "--folder=/model-image/models/a"]
    held = {"name": "model-image", "image": {"reference": "registry.example.com/llama:1", "pullPolicy": "Always"}}
    assert held in pod["volumes"]
    assert {"name": "model-image", "mountPath": "/model-image", "readOnly": True} in container["volumeMounts"]
    assert "HF_TOKEN" not in {variable["name"] for variable in container["env"]}


def test_what_a_digest_names_is_not_pulled_anew() -> None:
    image = f"registry.example.com/llama@sha256:{'0' * 64}"
    assert image_volume(image)["image"] == {"reference": image, "pullPolicy": "IfNotPresent"}

"""What the inspect Job's pod needs beside the service's own: what the operator's image is pulled with."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.manifests import inspection
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

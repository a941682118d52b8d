"""What vLLM's container has in its environment, and that none of it leads to code on a volume that others write."""

from typing import Any

import pytest

from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests import pod_template
from vllm_operator.settings import Settings


def pod_with(spec: dict[str, Any]) -> Any:
    """The pod of a spec beside its model."""
    spec = {"model": {"uri": "hf://org/name"}, **spec}
    return pod_template(
        InferenceService("default", "test", "7f0c", 1, InferenceServiceSpec.model_validate(spec)), Settings()
    )["spec"]


def test_python_takes_no_code_from_a_claim() -> None:
    pod = pod_with({"cache": {"existingClaim": "shared"}, "model": {"uri": "pvc://models/one"}})
    (container,) = pod["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    claims = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    written = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in claims]
    assert sorted(written) == ["/cache", "/models/models"]
    assert variables["PYTHONNOUSERSITE"] == "1"
    home = next(mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == variables["HOME"])
    assert {"name": home, "emptyDir": {}} in pod["volumes"]
    for name in ("HOME", "PYTHONPATH"):
        assert not any(f"{variables[name]}/".startswith(f"{path}/") for path in written), name


def test_what_is_downloaded_and_compiled_stays_on_the_cache() -> None:
    (container,) = pod_with({"cache": {"existingClaim": "shared"}})["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    for name in ("HF_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE", "CUDA_CACHE_PATH"):
        assert variables[name].startswith("/cache/"), name


@pytest.mark.parametrize(
    ("accelerator", "said"),
    [
        ({"resource": "cpu"}, ["void"]),
        ({"resource": "amd.com/gpu"}, ["void"]),
        ({"deviceClass": "gpu.nvidia.com"}, ["void"]),
        ({}, []),
        ({"resource": "nvidia.com/mig-1g.10gb"}, []),
        ({"resource": "nvidia.com/gpu.shared", "count": 2}, []),
    ],
)
def test_an_image_for_cuda_sees_no_gpu_that_kubernetes_did_not_give(
    accelerator: dict[str, Any], said: list[str]
) -> None:
    """Images say `all`; NVIDIA's device plugin says which, and a value of ours would go before its."""
    (container,) = pod_with({"image": "vllm/vllm-openai:v0.32.0", "accelerator": accelerator})["containers"]
    assert [one["value"] for one in container["env"] if one["name"] == "NVIDIA_VISIBLE_DEVICES"] == said

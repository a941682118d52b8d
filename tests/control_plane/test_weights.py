"""Where weights come from, with a real API server, scheduler and Job controller: downloaded before pods, or mounted."""

from collections.abc import Iterator

import pytest

from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_8B
from support.operator_process import OperatorProcess
from support.services import reason, service

pytestmark = pytest.mark.control_plane
H100 = {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}
SHARED = {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany"}}


@pytest.fixture(autouse=True, scope="module")
def inspecting(operator: OperatorProcess) -> Iterator[None]:
    """An operator that knows the image of its Jobs."""
    operator.restart(images={"operator": "vllm-operator:test"})
    yield
    operator.restart()


def cached(name: str = "llama", **spec: object) -> Object:
    """A service of a model that the fake nodes know, with a cache."""
    return service(name, **{"model": {"uri": f"hf://{LLAMA_8B}"}, "accelerator": H100, "cache": SHARED, **spec})


def said(kube: Kube, word: str) -> list[Object]:
    """The Events of the Job controller about Jobs of downloads, by their reason."""
    events = kube.list("events")
    return [
        one for one in events if one["reason"] == word and one["involvedObject"]["name"].startswith("llama-download-")
    ]


def test_the_model_is_there_before_the_pods_are_made(kube: Kube) -> None:
    kube.apply(cached())
    kube.ready("llama", 60)
    (begun,) = said(kube, "SuccessfulCreate")
    deployment = kube.get("deployment", "llama")
    assert deployment
    assert deployment["metadata"]["creationTimestamp"] >= begun["lastTimestamp"]
    assert any(one["reason"] == "Downloading" for one in kube.list("events"))
    kube.wait("the Job is gone", 30, lambda: not kube.list("jobs"))
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 4096}})
    kube.wait(
        "the pods are replaced", 60, lambda: (kube.get("vis", "llama") or {})["status"]["observedGeneration"] == 2
    )
    kube.ready("llama", 60)
    assert len(said(kube, "SuccessfulCreate")) == 1


def test_a_download_that_cannot_begin_is_told_and_takes_no_gpu(kube: Kube) -> None:
    larger_than_any = {"claim": {"storage": "100Gi", "accessMode": "ReadWriteMany"}}
    kube.apply(cached(cache=larger_than_any))
    kube.wait("it is told", 30, lambda: "unbound immediate PersistentVolumeClaims" in ready_message(kube))
    assert reason(kube) == "Downloading"
    assert kube.get("deployment", "llama") is None
    assert "Downloading" in kube.run("get", "vis", "llama")


def ready_message(kube: Kube) -> str:
    return str(conditions(kube.get("vis", "llama") or {}).get("Ready", {}).get("message", ""))


def test_services_that_share_a_claim_do_not_depend_on_each_other(kube: Kube) -> None:
    kube.apply(cached())
    kube.ready("llama", 60)
    kube.run("delete", "vis", "llama")
    kube.apply(cached("other", cache={"existingClaim": "llama-cache"}))
    kube.ready("other", 60)


def test_a_model_in_an_image_is_mounted(kube: Kube) -> None:
    kube.apply(service(model={"uri": "oci://registry.example.com/models/llama:1"}))
    kube.ready("llama", 60)
    deployment = kube.get("deployment", "llama")
    assert deployment
    pod = deployment["spec"]["template"]["spec"]
    assert {"reference": "registry.example.com/models/llama:1", "pullPolicy": "Always"} in [
        one.get("image") for one in pod["volumes"]
    ]
    assert pod["containers"][0]["args"][0] == "/model-image"

"""A service on Ray Serve where nobody acts on RayServices: which one there is, and when it is taken away."""

from collections.abc import Iterator
from typing import Any

import pytest

from support import kuberay
from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess
from support.services import LABEL, children, reason, service

pytestmark = pytest.mark.control_plane

ON_RAY: dict[str, Any] = {"runtime": "RayServe", "image": "vllm/vllm-openai:v0.32.0"}
SECONDS = 30


@pytest.fixture
def installed(operator: OperatorProcess) -> Iterator[None]:
    """KubeRay's kinds are served."""
    with operator.beside(kuberay.install_api, kuberay.remove_api):
        yield


def uids(kube: Kube) -> set[str]:
    return {one["metadata"]["uid"] for one in ray_services(kube)}


def ray_services(kube: Kube) -> list[Object]:
    return kube.list("rayservices", f"{LABEL}=llama")


def test_without_kuberay_it_is_said_what_to_install(kube: Kube) -> None:
    kube.apply(service(**ON_RAY))
    kube.wait("it says so", SECONDS, lambda: reason(kube) == "RayServicesUnserved")
    assert "install KubeRay" in conditions(kube.get("vis", "llama") or {})["Ready"]["message"]
    assert "Deployment" not in children(kube)


@pytest.mark.usefixtures("installed")
def test_there_is_one_at_a_time_and_none_where_nothing_is_on_ray(kube: Kube) -> None:
    kube.apply(service(**ON_RAY))
    kube.wait("it is made", SECONDS, lambda: len(uids(kube)) == 1)
    first = uids(kube)
    kube.apply(service(**ON_RAY, maxModelLen=1024))
    told = "max_model_len: 1024"
    kube.wait("it is changed", SECONDS, lambda: told in ray_services(kube)[0]["spec"]["serveConfigV2"])
    assert uids(kube) == first
    kube.apply(service(**ON_RAY, env=[{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}]))
    kube.wait("another one follows", SECONDS, lambda: len(uids(kube)) == 1 and uids(kube) != first)
    kube.apply(service(**ON_RAY, suspend=True))
    kube.wait("it is taken away", SECONDS, lambda: not uids(kube))
    kube.apply(service(**ON_RAY))
    kube.wait("it is made again", SECONDS, lambda: len(uids(kube)) == 1)
    kube.apply(service())
    kube.wait("pods without Ray serve", SECONDS, lambda: kube.get("deployment", "llama") and not uids(kube))
    kube.ready("llama", SECONDS)
    kube.apply(service(**ON_RAY))
    kube.wait("it is on Ray", SECONDS, lambda: len(uids(kube)) == 1 and not kube.get("deployment", "llama"))
